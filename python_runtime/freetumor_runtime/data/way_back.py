"""Label maps on the prepared grid, brought back to the scan's grid by nearest neighbour as MONAI's `Invertd` does.

Half of the voxels of a 0.75 mm scan lie exactly between two voxels of 1.5 mm. MONAI rounds such a coordinate to even,
and a coordinate that rounding errors moved off the tie to the nearer side. Only the same arithmetic gives the
same masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from freetumor_runtime.data.grid_arithmetic import (
    are_alike,
    covering_grid,
    nearest_along_axis,
    normalised,
    with_voxel_sides,
)
from freetumor_runtime.data.plain_nibabel import nibabel

# Off-diagonal parts of the map below this cannot move a float64 coordinate: the axes are then resampled one by one.
_NO_EFFECT = 2.0**-80
# Voxels of the scan whose coordinates are in memory together.
_SLAB_VOXELS = 4 << 20


@dataclass(frozen=True)
class ScanGrids:
    """The grids a scan passed through on its way to a network; affines 4x4 float64, voxel to RAS millimetres.

    `source`: the scan's own. `ras`: axes permuted and flipped. `resampled_shape`: at the wanted spacing, before the
    crop that starts at `crop_start`. `prepared`: after the crop.
    """

    source_shape: tuple[int, ...]
    source_affine: np.ndarray
    ras_shape: tuple[int, ...]
    ras_affine: np.ndarray
    resampled_shape: tuple[int, ...]
    crop_start: tuple[int, ...]
    prepared_shape: tuple[int, ...]
    prepared_affine: np.ndarray


def scan_grids(
    scan_shape: Sequence[int],
    scan_affine: np.ndarray,
    prepared_shape: Sequence[int],
    prepared_affine: np.ndarray,
    crop_start: Sequence[int],
    spacing_mm: Sequence[float],
) -> ScanGrids:
    """Return the grids of a scan that is prepared already, from what its cache records."""
    orientation = nibabel.io_orientation(scan_affine)
    ras_shape = [0, 0, 0]
    for source, (axis, _) in enumerate(orientation):
        ras_shape[int(axis)] = scan_shape[source]
    # as MONAI's Orientation: a product of float64 in this order
    ras_affine = np.asarray(scan_affine, np.float64) @ nibabel.orientations.inv_ornt_aff(orientation, scan_shape)
    resampled_shape, _ = covering_grid(ras_shape, ras_affine, with_voxel_sides(ras_affine, spacing_mm))
    return ScanGrids(
        source_shape=tuple(scan_shape),
        source_affine=np.asarray(scan_affine),
        ras_shape=tuple(ras_shape),
        ras_affine=ras_affine,
        resampled_shape=resampled_shape,
        crop_start=tuple(crop_start),
        prepared_shape=tuple(prepared_shape),
        prepared_affine=np.asarray(prepared_affine),
    )


def nearest_on_scan(mask_XYZ: np.ndarray, grids: ScanGrids, patch: Sequence[int]) -> np.ndarray:
    """Return the mask [I, J, K] in its type (integer or bool) on the scan's own grid; 0 outside the crop.

    `patch`: the side that the network pads a smaller image to, [3].
    """
    whole_XYZ = np.zeros(grids.resampled_shape, mask_XYZ.dtype)
    inside = zip(grids.crop_start, mask_XYZ.shape, strict=True)
    whole_XYZ[tuple(slice(start, start + length) for start, length in inside)] = mask_XYZ
    padding = [max(0, side - length) // 2 for side, length in zip(patch, mask_XYZ.shape, strict=True)]
    # MONAI pads and crops the affine as well, and that rounds an origin: (x - 1.5 n) + 1.5 n is not always x
    affine = _shifted(_shifted(_shifted(grids.prepared_affine, padding, -1), padding, 1), grids.crop_start, -1)
    to_scan = nibabel.io_orientation(grids.source_affine)
    ras = _resampled(whole_XYZ, affine, grids.ras_shape, grids.ras_affine)
    return np.asfortranarray(nibabel.apply_orientation(ras, _reversed(to_scan)))


def _shifted(affine: np.ndarray, voxels: Sequence[int], sign: int) -> np.ndarray:
    shift = np.eye(4)
    shift[:3, 3] = np.multiply(sign, voxels)
    return affine @ shift


def _reversed(orientation: np.ndarray) -> np.ndarray:
    return nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), orientation)


def _resampled(mask_XYZ: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], wanted: np.ndarray) -> np.ndarray:
    to_mask = np.linalg.solve(affine, wanted)
    if mask_XYZ.shape == shape and are_alike(affine, wanted, to_mask):
        return mask_XYZ
    off_axis = to_mask[:3, :3] - np.diag(np.diag(to_mask)[:3])
    if np.abs(off_axis).max() < _NO_EFFECT:
        sides = zip(np.diag(to_mask)[:3], to_mask[:3, 3], mask_XYZ.shape, shape, strict=True)
        return mask_XYZ[np.ix_(*(nearest_along_axis(*side) for side in sides))]
    return _by_slabs(mask_XYZ, to_mask, shape)


def _by_slabs(mask_XYZ: np.ndarray, to_mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    # PyTorch has the last axis first
    theta = torch.from_numpy(normalised(to_mask, mask_XYZ.shape, shape)[np.ix_((2, 1, 0, 3), (2, 1, 0, 3))])[None]
    source = torch.from_numpy(mask_XYZ.astype(np.float64))[None, None]
    found = np.empty(shape, mask_XYZ.dtype)
    depth = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], depth):
        part = slice(start, min(start + depth, shape[0]))
        found[part] = _sampled(source, _coordinates(theta, shape, part))[0, 0].numpy()
    return found


def _coordinates(theta: Tensor, shape: tuple[int, ...], part: slice) -> Tensor:
    """`affine_grid` of some slices along the first axis, in the same operations: [1, slices, Y, Z, 3]."""
    steps = [_steps(length) for length in shape]
    steps[0] = steps[0][part]
    base = torch.ones(*map(len, steps), 4, dtype=torch.float64)
    base[..., 0], base[..., 1], base[..., 2] = steps[2], steps[1][:, None], steps[0][:, None, None]
    return (base.view(1, -1, 4) @ theta[:, :3].transpose(1, 2)).view(1, *base.shape[:3], 3)


def _steps(length: int) -> Tensor:
    if length <= 1:
        return torch.zeros(length, dtype=torch.float64)
    return torch.linspace(-1, 1, length, dtype=torch.float64) * (length - 1) / length


def _sampled(source: Tensor, grid: Tensor) -> Tensor:
    return grid_sample(source, grid, mode="nearest", padding_mode="border", align_corners=False)
