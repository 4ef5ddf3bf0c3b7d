"""Join an upsampling and the convolution after it: the same sums with a third of the multiplications.

No activation separates a transposed convolution of 2^3 with stride 2 from the 3^3 convolution of [up, skip] after it.
So together they are a transposed convolution of 4^3 with stride 2 on the coarse features, plus the convolution's other
channels on the skip. Neither the upsampled nor the concatenated features are in memory. Equal up to rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from freetumor_runtime.models.convolution import add_conv3d, conv_transpose3d, without_gradients

# multiplications to join the weights (8 * 27), and those saved for each fine voxel (27 - 8), for each weight
_JOINING, _SPARED = 216, 19
# coarse planes of a slab
_SLAB = 2


def pays(coarse_BCXYZ: Tensor) -> bool:
    """Return whether joining the weights saves more time than it takes; False on a GPU, where this is not measured."""
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
    """Compute conv3d(cat([conv_transpose3d(coarse, up_weight, up_bias, stride=2), skip]), weight, bias, padding=1).

    `up_weight` [in, middle, 2, 2, 2]; `weight` [out, middle + skip channels, 3, 3, 3], or 1^3 without padding.
    """
    middle = up_weight.shape[1]
    of_up, of_skip = weight[:, :middle], weight[:, middle:]
    padding = weight.shape[-1] // 2

    def joined_weights() -> Tensor:
        with torch.autocast(coarse_BCXYZ.device.type, enabled=False):
            return join_weights(up_weight, of_up)

    joined = _kept(weight, "weights", up_weight, (), joined_weights)
    features = conv_transpose3d(coarse_BCXYZ, joined, None, stride=2, padding=padding)
    features = add_conv3d(features, skip_BCXYZ, of_skip, bias, padding)
    if up_bias is None:
        return features
    shape = skip_BCXYZ.shape[2:]

    def joined_bias() -> Tensor:
        added = _of_bias(up_bias, of_up, shape)[None]
        # a sum of two layouts takes ten times as long
        quick = without_gradients(coarse_BCXYZ)
        return added.contiguous(memory_format=torch.channels_last_3d) if quick else added

    added = _kept(weight, "bias", up_bias, tuple(shape), joined_bias)
    return features.add_(added)


def upsample_and_project_in_place(
    coarse_BCXYZ: Tensor, skip_BCXYZ: Tensor, *, up_weight: Tensor, weight: Tensor
) -> Tensor:
    """Compute upsample_and_convolve for `weight` [skip channels, ..., 1, 1, 1] in the memory of a channels-last skip.

    Without gradients and biases. Only slabs of the result are in memory twice.
    """
    middle, matrix = up_weight.shape[1], weight.flatten(1)
    of_coarse = torch.einsum("imxyz,om->ixyzo", up_weight, matrix[:, :middle]).flatten(1)
    of_skip = matrix[:, middle:].t()
    for coarse_XYZC, skip_XYZC in zip(coarse_BCXYZ.movedim(1, -1), skip_BCXYZ.movedim(1, -1), strict=True):
        for coarse_part, part in zip(coarse_XYZC.split(_SLAB), skip_XYZC.split(2 * _SLAB), strict=True):
            up = torch.mm(coarse_part.flatten(0, 2), of_coarse).view(*coarse_part.shape[:3], 2, 2, 2, -1)
            projected = torch.mm(part.flatten(0, 2), of_skip)
            up = up.permute(0, 3, 1, 4, 2, 5, 6)
            part.copy_(projected.view(up.shape).add_(up).view(part.shape))
    return skip_BCXYZ


# Frozen weights of a layer -> what its last call without gradients made of them: name -> (tensor, states, result).
# A frozen network sees thousands of windows.
_KEPT = WeakIdKeyDictionary()


def _kept(weight: Tensor, name: str, other: Tensor, key: tuple[Any, ...], make: Callable[[], Tensor]) -> Tensor:
    """Return what the last call made of the same tensors and key, or make it; keep nothing of trained weights."""
    if torch.compiler.is_compiling():
        return make()
    # fused optimizers change weights without a sign of it, but frozen weights do not change
    is_trained = weight.requires_grad or other.requires_grad or torch.is_grad_enabled()
    if is_trained or torch.is_autocast_enabled(weight.device.type):
        _KEPT.pop(weight, None)
        return make()
    state = _state_of(weight), _state_of(other), key
    results: dict[str, tuple[Tensor, Any, Tensor]] = _KEPT.get(weight) or {}
    _KEPT[weight] = results
    if name not in results or results[name][0] is not other or results[name][1] != state:
        # the other tensor is kept, so that no new one takes its place in memory
        results[name] = other, state, make()
    return results[name][2]


def _state_of(tensor: Tensor) -> tuple[Any, ...]:
    """Return what changes with the content of a tensor: its memory, and the number of changes in place."""
    return tensor.data_ptr(), tensor.dtype, None if tensor.is_inference() else tensor._version


def join_weights(up_weight: Tensor, weight: Tensor) -> Tensor:
    """Join [in, middle, 2, 2, 2] and [out, middle, k, k, k] into one transposed kernel [in, out, k+1, k+1, k+1]."""
    return conv_transpose3d(up_weight, weight.flip(2, 3, 4).transpose(0, 1), None, stride=1)


def _of_bias(up_bias: Tensor, of_up: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the contribution of the upsampling's bias, [out, X, Y, Z]: smaller at the faces because of the padding."""
    taps = torch.einsum("m,omabc->oabc", up_bias, of_up)
    for length in shape:
        # each round replaces the first tap axis by an axis of the volume at the end
        inside = _inside(length, of_up.shape[-1]).to(taps)
        # torch hides the overload for pairs of axes from type checkers
        taps = torch.tensordot(taps, inside, dims=([1], [0]))  # pyright: ignore[reportArgumentType]
    return taps


def _inside(length: int, side: int) -> Tensor:
    """Return [tap, voxel]: True if the tap lies within the volume."""
    place = torch.arange(length) + (torch.arange(side) - side // 2)[:, None]
    return (place >= 0) & (place < length)
