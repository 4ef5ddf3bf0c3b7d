"""Convolve channels-last features of a CPU slab by slab along X, without gradients: half of the multiplications.

Winograd's method F(4, 3) along X: six 2-D convolutions give four planes instead of twelve. Its sums of planes are exact
up to rounding: the largest error is about three times that of a direct convolution. A slab, its transforms and the
copies of oneDNN stay in the cache, and no other tensor is as large as the features.
"""

import torch
from torch import Tensor

# F(4, 3) at the points 0, 1, -1, 2, -2, infinity: transforms of planes, of the kernel's planes, and of results
_OF_PLANES = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_OF_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OF_RESULTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
_STEP, _POINTS = 4, 6
# values of a slab: larger ones leave the cache
_SLAB_VALUES = 1 << 21


def convolve_by_slabs(
    features_BCXYZ: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    out: Tensor | None = None,
    adds: bool = False,
) -> Tensor:
    """Return conv3d(features, weight [out, in, 3, 3, 3], bias, padding=1) in channels-last.

    The result is written into `out` if given, which may be the features themselves. `adds` adds the result to `out`.
    """
    batch, _, *sides = features_BCXYZ.shape
    if out is None:
        out = torch.empty((batch, len(weight), *sides), memory_format=torch.channels_last_3d)
    kernels = torch.einsum("px,oixyz->poiyz", torch.tensor(_OF_KERNEL), weight).contiguous()
    for sample, result in zip(features_BCXYZ.unbind(), out.unbind(), strict=True):
        _convolve(sample.permute(1, 2, 3, 0), kernels, bias, result.permute(1, 2, 3, 0), adds)
    return out


def _convolve(features_XYZC: Tensor, kernels: Tensor, bias: Tensor | None, out_XYZC: Tensor, adds: bool) -> None:
    of_planes, of_results = torch.tensor(_OF_PLANES).float(), torch.tensor(_OF_RESULTS).float()
    length, *plane_YZC = features_XYZC.shape
    plane = features_XYZC[0].numel()
    steps = max(1, min(-(-length // _STEP), _SLAB_VALUES // (_STEP * plane)))
    slab = steps * _STEP
    planes = features_XYZC.new_zeros((slab + 2, plane))
    transformed = features_XYZC.new_empty((_POINTS, steps, plane))
    results = features_XYZC.new_empty((_POINTS, steps, out_XYZC[0].numel()))
    features, out = features_XYZC.flatten(1), out_XYZC.flatten(1)
    planes[1] = features[0]
    for first in range(0, length, slab):
        # planes[0] is the one before the slab; `out` may overwrite it in the features
        new = features[first + 1 : first + slab + 1]
        planes[2 : 2 + len(new)] = new
        planes[2 + len(new) :] = 0
        for step in range(steps):
            at = step * _STEP
            torch.mm(of_planes, planes[at : at + _POINTS], out=transformed[:, step])
        for point in range(_POINTS):
            images_BCYZ = transformed[point].view(steps, *plane_YZC).permute(0, 3, 1, 2)
            # the point 1 has the factor 1 in all planes
            added = bias if point == 1 else None
            found = torch.mkldnn_convolution(images_BCYZ, kernels[point], added, (1, 1), (1, 1), (1, 1), 1)
            results[point] = found.permute(0, 2, 3, 1).flatten(1)
        for step in range(steps):
            to = out[first + step * _STEP : first + (step + 1) * _STEP]
            torch.addmm(to, of_results[: len(to)], results[:, step], beta=int(adds), out=to)
        planes[:2] = planes[slab:].clone()
