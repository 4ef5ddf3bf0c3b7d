"""Upsampling and the convolution after it as one: the same sums in a third of the multiplications.

A transposed convolution of 2^3 with stride 2 and a 3^3 convolution of [up, skip] have nothing between them, so together
they are a transposed convolution of 4^3 with stride 2 on the coarse features, plus the convolution's other channels on
the skip. Neither the upsampled features nor the joined ones are ever made. Equal to rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from freetumor_runtime.models.convolution import conv3d

# Multiplications that joining the weights takes (8 * 27), and those it spares a fine voxel (27 - 8), by weight.
_JOINING, _SPARED = 216, 19


def pays(coarse_BCXYZ: Tensor) -> bool:
    """Whether joining the weights is cheaper than what it spares. On a GPU it is not known to be."""
    batch, channels = coarse_BCXYZ.shape[:2]
    fine_voxels = batch * 8 * coarse_BCXYZ[0, 0].numel()
    return coarse_BCXYZ.device.type == "cpu" and _SPARED * fine_voxels > _JOINING * channels


def upsample_and_convolve(
    coarse_BCXYZ: Tensor,
    skip_BCXYZ: Tensor,
    *,
    up_weight: Tensor,
    up_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """conv3d(cat([conv_transpose3d(coarse, up_weight, up_bias, stride=2), skip]), weight, bias, padding=1).

    `up_weight` [in, middle, 2, 2, 2]; `weight` [out, middle + skip channels, 3, 3, 3] or of 1^3, without padding then.
    """
    middle = up_weight.shape[1]
    of_up, of_skip = weight[:, :middle], weight[:, middle:]
    padding = weight.shape[-1] // 2
    with torch.autocast(coarse_BCXYZ.device.type, enabled=False):
        joined = join_weights(up_weight, of_up)
    features = functional.conv_transpose3d(coarse_BCXYZ, joined, stride=2, padding=padding)
    features = features.add_(conv3d(skip_BCXYZ, of_skip, bias, padding=padding))
    if up_bias is None:
        return features
    return features.add_(_of_bias(up_bias, of_up, skip_BCXYZ.shape[2:]))


def join_weights(up_weight: Tensor, weight: Tensor) -> Tensor:
    """[in, middle, 2, 2, 2] and then [out, middle, k, k, k] as one transposed kernel [in, out, k+1, k+1, k+1]."""
    side = weight.shape[-1]
    inputs, outputs = up_weight.shape[0], weight.shape[0]
    flipped = weight.flip(2, 3, 4).movedim(1, 0).flatten(1)
    joined = up_weight.new_zeros(inputs, outputs, side + 1, side + 1, side + 1)
    for x in (0, 1):
        for y in (0, 1):
            for z in (0, 1):
                part = (up_weight[:, :, x, y, z] @ flipped).reshape(inputs, outputs, side, side, side)
                joined[:, :, x : x + side, y : y + side, z : z + side] += part
    return joined


def _of_bias(up_bias: Tensor, of_up: Tensor, shape: Sequence[int]) -> Tensor:
    """What the bias of the upsampling adds, [out, X, Y, Z]: less at the faces, outside of which there is nothing."""
    taps = torch.einsum("m,omabc->oabc", up_bias, of_up)
    for length in shape:
        # each turn takes the first tap axis to the back, as an axis of the volume
        inside = _inside(length, of_up.shape[-1]).to(taps)
        # torch hides the overload for pairs of axes from type checkers
        taps = torch.tensordot(taps, inside, dims=([1], [0]))  # pyright: ignore[reportArgumentType]
    return taps


def _inside(length: int, side: int) -> Tensor:
    """[tap, voxel]: whether the tap lies within the volume."""
    place = torch.arange(length) + (torch.arange(side) - side // 2)[:, None]
    return (place >= 0) & (place < length)
