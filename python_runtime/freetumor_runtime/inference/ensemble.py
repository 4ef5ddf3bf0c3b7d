"""One segmentor or several as one: mirrored averaging, half precision, mean of probabilities (docs/method.md 11)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from freetumor_runtime.inference.sliding_windows import Planes

Predictor = Callable[[Tensor], Tensor]
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
# planes whose probabilities are made at a time
_SLAB_VOXELS = 16


def predictor_of(network: nn.Module, mirror_axes: Sequence[int], precision: str) -> Predictor:
    """windows [B, 1, X, Y, Z] -> logits [B, C, X, Y, Z] in the network's type.

    `mirror_axes`: logits are means over all 2^n ways to mirror these spatial axes (0, 1, 2); none for no mirroring.
    `precision`: fp32, or bf16 or fp16 by autocast.
    """
    dims = [2 + axis for axis in mirror_axes]
    flips = [chosen for n in range(len(dims) + 1) for chosen in combinations(dims, n)]

    def predict(windows_B1XYZ: Tensor) -> Tensor:
        with torch.autocast(windows_B1XYZ.device.type, _HALF.get(precision), enabled=precision in _HALF):
            if len(flips) == 1:
                return network(windows_B1XYZ)
            total_BCXYZ = network(windows_B1XYZ).float()
            for axes in flips[1:]:
                total_BCXYZ += network(windows_B1XYZ.flip(axes)).flip(axes)
            return total_BCXYZ.div_(len(flips))

    return predict


def ensemble_planes(members: Sequence[Iterator[Planes]]) -> Iterator[Planes]:
    """Yield the logits of one member, or the mean probabilities of several: members need not be equally sure.

    All members walk through the windows of one plan, so their planes arrive together.
    """
    if len(members) == 1:
        yield from members[0]
        return
    for together in zip(*members, strict=True):
        shares = [to_probabilities(values_CXYZ).div_(len(members)) for _, values_CXYZ in together]
        for share_CXYZ in shares[1:]:
            shares[0].add_(share_CXYZ)
        yield together[0][0], shares[0]


def to_probabilities(logits_CXYZ: Tensor) -> Tensor:
    """Softmax over the outputs, in place."""
    for at in range(0, logits_CXYZ.shape[1], _SLAB_VOXELS):
        slab = logits_CXYZ[:, at : at + _SLAB_VOXELS]
        slab.copy_(slab.softmax(0))
    return logits_CXYZ
