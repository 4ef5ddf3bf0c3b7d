"""Compute the attention of a SwinUNETR window by window, in float32 on a CPU.

The scores of all windows are never in memory together, neither in the forward nor in the backward pass. Results are
equal up to rounding.
"""

from typing import cast

import torch
from monai.networks.nets.swin_unetr import WindowAttention
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class BlockwiseAttention(WindowAttention):
    """MONAI's module under the same keys."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        mixed, compiled = torch.is_autocast_enabled("cpu"), torch.compiler.is_compiling()
        if x.device.type != "cpu" or mixed or compiled or self.attn_drop.p > 0:
            return super().forward(x, mask)
        windows, voxels, channels = x.shape
        heads = (windows, voxels, 3, self.num_heads, channels // self.num_heads)
        queries, keys, values = self.qkv(x).reshape(heads).permute(2, 0, 3, 1, 4).contiguous()
        index = cast(Tensor, self.relative_position_index)
        places = index[:voxels, :voxels].reshape(-1)
        bias = self.relative_position_bias_table[places].reshape(voxels, voxels, -1).permute(2, 0, 1).contiguous()
        if mask is None and not bias.requires_grad:
            attended = scaled_dot_product_attention(queries, keys, values, attn_mask=bias[None], scale=self.scale)
        else:
            attended = _ByWindow.apply(queries, keys, values, bias, mask, self.scale)
        return self.proj_drop(self.proj(attended.transpose(1, 2).reshape(windows, voxels, channels)))


def attend_blockwise(network: nn.Module) -> nn.Module:
    """Replace the attention of a network in place and return it: modules keep their weights and names."""
    for module in network.modules():
        if type(module) is WindowAttention:
            module.__class__ = BlockwiseAttention
    return network


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
