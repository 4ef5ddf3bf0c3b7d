"""Resample a volume whose axes stay straight, axis by axis.

Gives what MONAI's Spacing gives for the whole, in less time (scripts/benchmarks/prepare.py) and memory (predict_scan.py
there). Linear values are computed in float64 and rounded to float32, as there. Grids and nearest voxels are those of
grid_arithmetic.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from freetumor_runtime.data.grid_arithmetic import spaced_grid


@dataclass(frozen=True)
class StraightGrid:
    """A grid parallel to that of a volume in RAS order."""

    # voxel to RAS millimetres, 4x4
    affine: np.ndarray
    # for each axis, the place of each new voxel in the volume, in voxels
    places: tuple[np.ndarray, np.ndarray, np.ndarray]
    # the volume has this grid
    unchanged: bool


def straight_grid(shape: Sequence[int], affine: np.ndarray, spacing_mm: Sequence[float]) -> StraightGrid | None:
    """Return the grid that MONAI's Spacing makes of a volume in RAS order; None if an axis of the volume is oblique."""
    if (affine[:3, :3] != np.diag(np.diag(affine)[:3])).any():
        return None
    grid = spaced_grid(shape, affine, spacing_mm)
    if grid.unchanged:
        x, y, z = (np.arange(side, dtype=np.float64) for side in shape)
        return StraightGrid(affine, (x, y, z), True)
    to_source = grid.to_source
    x, y, z = (
        np.clip(np.arange(grid.shape[axis]) * to_source[axis, axis] + to_source[axis, 3], 0, shape[axis] - 1)
        for axis in range(3)
    )
    return StraightGrid(grid.affine, (x, y, z), False)


def interpolate(volume_XYZ: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Return the linear values at a grid of places, float32 [X, Y, Z]."""
    order = _memory_order(volume_XYZ)
    turned = volume_XYZ.transpose(order)
    slow, rows, columns = (_weights(places[axis]) for axis in order)
    made = np.empty((len(slow[0]), len(rows[0]), len(columns[0])), np.float32)
    planes: dict[int, np.ndarray] = {}
    for at, (low, high, share) in enumerate(zip(*slow, strict=True)):
        needed = {int(low), int(high)} if share > 0 else {int(low)}
        planes = {n: planes[n] if n in planes else _resampled_plane(turned[n], rows, columns) for n in needed}
        made[at] = planes[low] if share == 0 else planes[low] * (1 - share) + planes[high] * share
    return made.transpose(np.argsort(order))


def pick(volume_XYZ: np.ndarray, voxels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the values at a grid of voxels, in the type of the volume."""
    order = _memory_order(volume_XYZ)
    turned = volume_XYZ.transpose(order)
    slow, rows, columns = (voxels[axis] for axis in order)
    made = np.empty((len(slow), len(rows), len(columns)), volume_XYZ.dtype)
    for at, plane in enumerate(slow):
        made[at] = turned[plane].take(rows, 0).take(columns, 1)
    return made.transpose(np.argsort(order))


def _memory_order(volume_XYZ: np.ndarray) -> list[int]:
    """Return the axes from the one whose planes lie apart in memory to the one whose voxels are neighbours."""
    return sorted(range(3), key=lambda axis: -abs(volume_XYZ.strides[axis]))


Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


def _weights(places: np.ndarray) -> Weights:
    """Return the voxels below and above each place, and the share of the voxel above."""
    low = np.floor(places).astype(np.intp)
    return low, np.minimum(low + 1, int(np.ceil(places.max()))), places - low


def _resampled_plane(plane: np.ndarray, rows: Weights, columns: Weights) -> np.ndarray:
    # as float32 first: so are the volumes that MONAI gets
    return _mixed(_mixed(np.asarray(plane, np.float32), rows, 0), columns, 1)


def _mixed(plane: np.ndarray, weights: Weights, axis: int) -> np.ndarray:
    low, high, share = weights
    below = plane.take(low, axis)
    if not share.any():
        return below.astype(np.float64, copy=False)
    share = share[:, None] if axis == 0 else share
    return below * (1 - share) + plane.take(high, axis) * share
