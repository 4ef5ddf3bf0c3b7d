"""Segment a scan with an nnU-Net as nnunetv2 does: its grid, normalization, windows and half-precision sums.

nnunetv2 adds logits in half precision. Ours does too, because the masks should agree voxel by voxel.
Arrays are those of nnU-Net: slices, rows, columns of the file (the last NIfTI axis first), then transposed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.functional import pad

from freetumor_runtime.checkpoints.nnunet_plans import NnUNetPlans, Normalization, Resampling
from freetumor_runtime.data.grids import AxisOrder, reordered, to_ras_axes
from freetumor_runtime.errors import DataError

WindowCount = Callable[[int, int], None]
_SIGMA_SCALE, _LARGEST_WEIGHT = 1 / 8, 10
_ANISOTROPY = 3
_SMALLEST_DEVIATION = 1e-8
_MOST_VOXELS = 2**31


@dataclass(frozen=True)
class NnUNetLogits:
    """`logits` half [C, ...] on the scan's voxels within `box`, transposed; voxels outside it are background."""

    logits: np.ndarray
    box: tuple[slice, ...]
    shape: tuple[int, ...]
    transpose: tuple[int, ...]
    # from RAS axes to those of the file; None: the axes are those of the file already
    to_file: AxisOrder | None
    windows: int

    def on_scan(self, values: np.ndarray, outside: float) -> np.ndarray:
        """Return values of the box as an array [I, J, K] of the file."""
        whole = np.full(self.shape, outside, values.dtype)
        whole[self.box] = values
        scan = whole.transpose(np.argsort(self.transpose)).transpose(2, 1, 0)
        return np.asfortranarray(scan if self.to_file is None else reordered(scan, self.to_file))


def segment_scan(
    networks: Sequence[nn.Module],
    plans: NnUNetPlans,
    image_IJK: np.ndarray,
    affine: np.ndarray,
    *,
    mirror_axes: Sequence[int],
    overlap: float,
    device: torch.device,
    precision: str,
    on_windows: WindowCount | None = None,
) -> NnUNetLogits:
    """Return the mean logits of the folds. `affine` voxel to RAS mm; `mirror_axes` of the transposed array."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    to_file = None
    if plans.reorients:
        to_ras, to_file = to_ras_axes(affine)
        image_IJK = reordered(image_IJK, to_ras)
        spacing_mm = [spacing_mm[axis] for axis in np.argsort(to_ras[:, 0])]
    image = image_IJK.transpose(2, 1, 0).transpose(plans.transpose).astype(np.float32)
    spacing = [spacing_mm[::-1][axis] for axis in plans.transpose]
    mask = np.asarray(ndimage.binary_fill_holes(image != 0))
    if not mask.any():
        raise DataError("the scan has no voxel other than 0", "name a CT scan in HU")
    box = _bounds(mask)
    cropped = _normalized(image[box], mask[box], plans.normalization)
    shape = tuple(
        round(own / wanted * side) for own, wanted, side in zip(spacing, plans.spacing_mm, cropped.shape, strict=True)
    )
    if min(shape) < 1 or np.prod(shape, dtype=np.float64) * len(plans.label_names) > _MOST_VOXELS:
        raise DataError(
            f"wrong size on the grid of the plans (expected 1 to {_MOST_VOXELS} logits, found {shape} voxels)",
            "check the spacing of the scan and of the model",
        )
    resampled = _resampled(cropped, shape, spacing, plans.spacing_mm, plans.image_resampling)
    windows = _Windows(plans.patch, overlap, mirror_axes, device, precision, on_windows)
    total: Tensor | None = None
    for network in networks:
        logits = windows.segment(network, torch.from_numpy(resampled), len(plans.label_names))
        total = logits if total is None else total.add_(logits)
    assert total is not None
    if len(networks) > 1:
        total /= len(networks)
    on_grid = total.numpy()
    back = [_resampled(one, cropped.shape, plans.spacing_mm, spacing, plans.logit_resampling) for one in on_grid]
    return NnUNetLogits(np.stack(back), box, image.shape, plans.transpose, to_file, windows.count * len(networks))


def winners_of(logits: np.ndarray) -> np.ndarray:
    """Return the largest output of each voxel, uint8; the first of equal ones."""
    best, winners = logits[0].copy(), np.zeros(logits.shape[1:], np.uint8)
    for output in range(1, len(logits)):
        better = logits[output] > best
        winners[better] = output
        np.maximum(best, logits[output], out=best)
    return winners


def _bounds(mask: np.ndarray) -> tuple[slice, ...]:
    places = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        places.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(places)


def _normalized(image: np.ndarray, mask: np.ndarray, rule: Normalization) -> np.ndarray:
    image = image.copy()
    if rule.scheme == "CTNormalization":
        np.clip(image, *rule.clip, out=image)
        image -= rule.mean
        image /= max(rule.deviation, _SMALLEST_DEVIATION)
    elif rule.scheme == "ZScoreNormalization":
        where = mask if rule.in_mask else np.ones_like(mask)
        mean, deviation = image[where].mean(), image[where].std()
        image[where] = (image[where] - mean) / max(deviation, _SMALLEST_DEVIATION)
    elif rule.scheme == "RescaleTo01Normalization":
        image -= image.min()
        image /= max(image.max(), _SMALLEST_DEVIATION)
    return image


def _resampled(
    volume: np.ndarray, shape: Sequence[int], spacing: Sequence[float], wanted: Sequence[float], rule: Resampling
) -> np.ndarray:
    """Return a volume with another shape in its type; slices one by one if nnU-Net separates their axis."""
    if volume.shape == tuple(shape):
        return volume
    axis = _slice_axis(spacing, wanted, rule)
    values = volume.astype(np.float64)
    if axis is None:
        return _resized(values, shape, rule.order).astype(volume.dtype)
    flat = [side for other, side in enumerate(shape) if other != axis]
    planes = np.stack([_resized(plane, flat, rule.order) for plane in np.moveaxis(values, axis, 0)], axis)
    if planes.shape == tuple(shape):
        return planes.astype(volume.dtype)
    scales = [old / new for old, new in zip(planes.shape, shape, strict=True)]
    places = [scale * (np.arange(side) + 0.5) - 0.5 for scale, side in zip(scales, shape, strict=True)]
    return ndimage.map_coordinates(
        planes, np.array(np.meshgrid(*places, indexing="ij")), order=rule.order_z, mode="nearest"
    ).astype(volume.dtype)


def _slice_axis(spacing: Sequence[float], wanted: Sequence[float], rule: Resampling) -> int | None:
    """Return the axis that is resampled separately: the one with the largest spacing, if it alone has it."""
    if rule.separate_z is False:
        return None
    coarse = next((one for one in (spacing, wanted) if max(one) / min(one) > _ANISOTROPY), None)
    if rule.separate_z:
        coarse = spacing
    if coarse is None:
        return None
    axes = [axis for axis, side in enumerate(coarse) if max(coarse) / side == 1]
    return axes[0] if len(axes) == 1 else None


def _resized(values: np.ndarray, shape: Sequence[int], order: int) -> np.ndarray:
    """Compute skimage.transform.resize(values, shape, order, mode="edge", anti_aliasing=False)."""
    factors = [1 / (old / new) for old, new in zip(values.shape, shape, strict=True)]
    out = np.asarray(ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True))
    if order > 1:
        np.clip(out, values.min(), values.max(), out=out)
    return out


class _Windows:
    """Windows of a patch with Gaussian weights, as nnunetv2 places and adds them."""

    def __init__(
        self,
        patch: Sequence[int],
        overlap: float,
        mirror_axes: Sequence[int],
        device: torch.device,
        precision: str,
        on_windows: WindowCount | None,
    ) -> None:
        self.count = 0
        self._patch, self._step = tuple(patch), 1 - overlap
        dims = [2 + axis for axis in mirror_axes]
        self._flips = [chosen for n in range(1, len(dims) + 1) for chosen in combinations(dims, n)]
        self._device, self._on_windows = device, on_windows
        self._half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self._weights = _gaussian(self._patch)

    @torch.no_grad()
    def segment(self, network: nn.Module, image: Tensor, outputs: int) -> Tensor:
        padded, inside = _padded(image, self._patch)
        starts = list(product(*(_starts(*sides, self._step) for sides in zip(padded.shape, self._patch, strict=True))))
        self.count = len(starts)
        total = torch.zeros((outputs, *padded.shape), dtype=torch.half)
        weights = torch.zeros(padded.shape, dtype=torch.half)
        for at in starts:
            window = tuple(slice(start, start + side) for start, side in zip(at, self._patch, strict=True))
            logits = self._mirrored(network, padded[window][None, None].to(self._device))[0].float().cpu()
            total[(slice(None), *window)] += logits.mul_(self._weights)
            weights[window] += self._weights
            if self._on_windows is not None:
                self._on_windows(1, len(starts))
        total.div_(weights)
        return total[(slice(None), *inside)].contiguous()

    def _mirrored(self, network: nn.Module, window: Tensor) -> Tensor:
        with torch.autocast(self._device.type, self._half, enabled=self._half is not None):
            total = network(window)
            for axes in self._flips:
                total += network(window.flip(axes)).flip(axes)
        return total.div_(len(self._flips) + 1) if self._flips else total


def _gaussian(patch: tuple[int, ...]) -> Tensor:
    peak = np.zeros(patch)
    peak[tuple(side // 2 for side in patch)] = 1
    weights = ndimage.gaussian_filter(peak, [side * _SIGMA_SCALE for side in patch], mode="constant", cval=0)
    half = torch.from_numpy(weights / (weights.max() / _LARGEST_WEIGHT)).half()
    half[half == 0] = half[half > 0].min()
    return half


def _starts(length: int, side: int, step: float) -> list[int]:
    count = int(np.ceil((length - side) / (side * step))) + 1
    last = length - side
    return [round(last / (count - 1) * number) if count > 1 else 0 for number in range(count)]


def _padded(image: Tensor, patch: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    missing = [max(side - length, 0) for side, length in zip(patch, image.shape, strict=True)]
    inside = tuple(slice(one // 2, one // 2 + length) for one, length in zip(missing, image.shape, strict=True))
    if not any(missing):
        return image, inside
    return pad(image, [part for one in reversed(missing) for part in (one // 2, one - one // 2)]), inside
