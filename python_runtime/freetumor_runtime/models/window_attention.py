"""Compute the attention of a SwinUNETR window by window, in float32 on a CPU.

The scores of all windows are never in memory together, neither in the forward nor in the backward pass. Results are
equal up to rounding.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import cast

import torch
from monai.networks.blocks import MLPBlock
from monai.networks.nets.swin_unetr import BasicLayer, WindowAttention, compute_mask, get_window_size
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from freetumor_runtime.models.convolution import without_gradients

# windows and voxels in memory together without gradients
_WINDOWS, _VOXELS = 64, 16384


class BlockwiseAttention(WindowAttention):
    """MONAI's module under the same keys."""

    def forward(self, x: Tensor, mask: "Tensor | ShiftedWindows | None") -> Tensor:
        mixed, compiled = torch.is_autocast_enabled("cpu"), torch.compiler.is_compiling()
        by_kind = isinstance(mask, ShiftedWindows)
        if not by_kind and (x.device.type != "cpu" or mixed or compiled or self.attn_drop.p > 0):
            return super().forward(x, cast(Tensor, mask))
        voxels = x.shape[1]
        index = cast(Tensor, self.relative_position_index)
        places = index[:voxels, :voxels].reshape(-1)
        bias = self.relative_position_bias_table[places].reshape(voxels, voxels, -1).permute(2, 0, 1).contiguous()
        if by_kind or (mask is None and not torch.is_grad_enabled()):
            attended = torch.empty_like(x)
            for ones, added in _parts(len(x), bias, mask if by_kind else None):
                found = scaled_dot_product_attention(*self._split(x[ones]), attn_mask=added[None], scale=self.scale)
                attended[ones] = self.proj(found.transpose(1, 2).flatten(2))
            return self.proj_drop(attended)
        queries, keys, values = self._split(x).contiguous()
        if mask is None and not bias.requires_grad:
            attended = scaled_dot_product_attention(queries, keys, values, attn_mask=bias[None], scale=self.scale)
        else:
            attended = _ByWindow.apply(queries, keys, values, bias, mask, self.scale)
        return self.proj_drop(self.proj(attended.transpose(1, 2).reshape(x.shape)))

    def _split(self, x: Tensor) -> Tensor:
        """Return queries, keys and values [3, windows, heads, voxels, channels]."""
        return self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)


class ShiftedWindows:
    """The masks of shifted windows. They differ between the last window along an axis and the others: 8 kinds at most.

    MONAI's masks of all windows take 161 MB at the resolution of 48^3.
    """

    def __init__(self, sides: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> None:
        counts = [side // length for side, length in zip(sides, window, strict=True)]
        self.windows = torch.Size(counts).numel()
        least = [min(side, 2 * length) for side, length in zip(sides, window, strict=True)]
        masks = compute_mask(least, window, shift, torch.device("cpu"))
        kinds = torch.zeros(1, dtype=torch.long)
        for count in counts:
            is_last = torch.arange(count) == count - 1
            kinds = (kinds[:, None] * min(count, 2) + is_last * (min(count, 2) - 1)).flatten()
        self.kinds = [(torch.nonzero(kinds == kind).flatten(), mask) for kind, mask in enumerate(masks)]


_shifted_windows = lru_cache(maxsize=8)(ShiftedWindows)


class MlpByParts(MLPBlock):
    """MONAI's module under the same keys; without gradients the hidden features of all voxels are never in memory."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not without_gradients(x):
            return super().forward(x)
        parts = x.flatten(0, -2).split(_VOXELS)
        return torch.cat([MLPBlock.forward(self, part) for part in parts]).view(x.shape)


class BlockwiseLayer(BasicLayer):
    """MONAI's stage under the same keys; without gradients its masks are made once."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not without_gradients(x):
            return super().forward(x)
        sides = x.shape[2:]
        window, shift = get_window_size(sides, self.window_size, self.shift_size)
        padded = tuple(-(-side // length) * length for side, length in zip(sides, window, strict=True))
        masks = _shifted_windows(padded, window, shift)
        x = x.permute(0, 2, 3, 4, 1)
        for block in self.blocks:
            x = block(x, masks)
        if self.downsample is not None:
            x = self.downsample(x)
        return x.permute(0, 4, 1, 2, 3)


def attend_blockwise(network: nn.Module) -> nn.Module:
    """Replace the attention of a network in place and return it: modules keep their weights and names."""
    for module in network.modules():
        if type(module) is WindowAttention:
            module.__class__ = BlockwiseAttention
        elif type(module) is BasicLayer:
            module.__class__ = BlockwiseLayer
        elif type(module) is MLPBlock:
            module.__class__ = MlpByParts
    return network


def _parts(windows: int, bias: Tensor, shifted: ShiftedWindows | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a few windows [n] of the same mask, and what is added to their scores [heads, voxels, voxels]."""
    if shifted is None:
        yield from ((ones, bias) for ones in torch.arange(windows).split(_WINDOWS))
        return
    firsts = torch.arange(0, windows, shifted.windows)[:, None]
    for places, mask in shifted.kinds:
        added = bias + mask
        yield from ((ones, added) for ones in (firsts + places).flatten().split(_WINDOWS))


class _ByWindow(torch.autograd.Function):
    """`queries, keys, values` [windows, heads, voxels, channels], `bias` [heads, voxels, voxels], `mask` [m, voxels,
    voxels] of shifted windows (window w has mask w modulo m) or None."""

    @staticmethod
    def forward(ctx, queries, keys, values, bias, mask, scale):
        ctx.save_for_backward(queries, keys, values, bias, mask)
        ctx.scale = scale
        attended = torch.empty_like(queries)
        for window in range(len(queries)):
            one = slice(window, window + 1)
            added = _added(bias, mask, window)[None]
            attended[one] = scaled_dot_product_attention(
                queries[one], keys[one], values[one], attn_mask=added, scale=scale
            )
        return attended

    @staticmethod
    def backward(ctx, upstream):
        queries, keys, values, bias, mask = ctx.saved_tensors
        of_queries, of_keys, of_values = (torch.empty_like(queries) for _ in range(3))
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[3] else None
        for window in range(len(queries)):
            query, key, gradient = queries[window] * ctx.scale, keys[window], upstream[window]
            shares = torch.baddbmm(_added(bias, mask, window), query, key.transpose(1, 2)).softmax(-1)
            torch.bmm(shares.transpose(1, 2), gradient, out=of_values[window])
            of_scores = torch.bmm(gradient, values[window].transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_scores, shares, -1, shares.dtype)
            torch.bmm(of_scores, key, out=of_queries[window])
            torch.bmm(of_scores.transpose(1, 2), query, out=of_keys[window])
            if of_bias is not None:
                of_bias += of_scores
        return of_queries.mul_(ctx.scale), of_keys, of_values, of_bias, None, None


def _added(bias: Tensor, mask: Tensor | None, window: int) -> Tensor:
    return bias if mask is None else bias + mask[window % len(mask)]
