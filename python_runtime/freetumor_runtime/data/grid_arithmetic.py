"""The grids of MONAI's Spacing and the nearest voxels of PyTorch's grid_sample, in NumPy with the same roundings.

A coordinate midway between two voxels goes to one of them by its last bit. So only the same operations in the same
order give the same masks. The imports of PyTorch and MONAI take seconds; tests/data/test_grid_arithmetic.py compares
the results bit by bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

# MONAI's AFFINE_TOL: below this difference a spacing or a grid is taken as equal.
AFFINE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class SpacedGrid:
    """The grid that MONAI's Spacing gives a volume."""

    shape: tuple[int, ...]
    # voxel to millimetres, 4x4
    affine: np.ndarray
    # voxel of this grid to voxel of the volume, 4x4
    to_source: np.ndarray
    # the volume has this grid
    unchanged: bool


def spaced_grid(shape: Sequence[int], affine: np.ndarray, spacing_mm: Sequence[float]) -> SpacedGrid:
    """Return the grid of a volume after Spacing; `shape` [3], `affine` 4x4, without an oblique axis."""
    own_mm = voxel_sides(affine)
    wanted_mm = np.array(spacing_mm, np.float64)
    wanted_mm = np.where(np.abs(own_mm - wanted_mm) <= AFFINE_TOLERANCE, own_mm, wanted_mm)
    made = with_voxel_sides(affine, wanted_mm)
    made_shape, made[:3, 3] = covering_grid(shape, affine, made)
    to_source = np.linalg.solve(affine, made)
    unchanged = made_shape == tuple(shape) and are_alike(affine, made, to_source)
    return SpacedGrid(made_shape, affine if unchanged else affine @ to_source, to_source, unchanged)


def are_alike(affine: np.ndarray, other: np.ndarray, between: np.ndarray) -> bool:
    """Return whether MONAI takes two grids of one shape as equal; `between` is solve(affine, other)."""
    return any(np.allclose(*pair, atol=AFFINE_TOLERANCE) for pair in ((affine, other), (between, np.eye(4))))


def voxel_sides(affine: np.ndarray) -> np.ndarray:
    """Return the sides of a voxel in mm, float64 [3]; 1 for a side of 0."""
    axes = np.asarray(affine, np.float64)[:3, :3]
    sides_mm = np.sqrt(np.sum(axes * axes, axis=0))
    return np.where(sides_mm == 0, 1.0, sides_mm)


def with_voxel_sides(affine: np.ndarray, sides_mm: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the rotation of an affine with other sides of a voxel, without its shear and its origin."""
    axes = np.array(affine, np.float64)[:3, :3]
    stretch = np.linalg.cholesky(axes.T @ axes).T
    made = np.eye(4)
    made[:3, :3] = axes @ np.linalg.inv(stretch) @ np.diag(np.sign(np.diag(stretch)) * np.abs(sides_mm))
    return made


def covering_grid(shape: Sequence[int], affine: np.ndarray, made: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and origin (mm) of the grid with the axes of `made` that covers a volume from corner to corner."""
    lengths = np.array(shape, np.float64)
    ends = np.meshgrid(*((0.0, length - 1.0) for length in lengths), indexing="ij")
    corners = np.concatenate((np.reshape(ends, (3, -1)), np.ones((1, 8))))
    there = (np.linalg.solve(made, affine) @ corners)[:3]
    corners_mm = (affine @ corners)[:3]
    made_lengths = np.round(np.ptp(there, axis=1) + 1.0)
    made_shape = tuple(int(length) for length in made_lengths)
    for corner, corner_mm in zip(there.T, corners_mm.T, strict=True):
        if np.allclose(np.min(there - corner[:, None], 1), 0.0):
            return made_shape, corner_mm
    # no corner is first along all axes: the grids share their middle
    middle_mm = affine[:3, :3] @ (lengths / 2.0) + affine[:3, 3]
    return made_shape, middle_mm - made[:3, :3] @ (made_lengths / 2.0)


def normalised(to_source: np.ndarray, source: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    """Return a map of voxels as a map of coordinates from -1 to 1 at the outer faces, 4x4; first axis first."""
    return _product(_product(_to_faces(source), to_source), np.linalg.inv(_to_faces(wanted)))


def nearest_along_axis(scale: float, shift: float, source: int, wanted: int) -> np.ndarray:
    """Return the voxel of a line of `source` voxels nearest to `scale * n + shift` for each n below `wanted`, int64.

    Ties are those of grid_sample. A place outside the line has the voxel at its end.
    """
    to_source = np.eye(4)
    to_source[0, 0], to_source[0, 3] = scale, shift
    theta = normalised(to_source, (source, 1, 1), (wanted, 1, 1))
    coordinates = _steps(wanted) * theta[0, 0] + theta[0, 3]
    places = ((coordinates + 1) * source - 1) / 2
    return np.rint(np.clip(places, 0, source - 1)).astype(np.int64)


def _to_faces(shape: Sequence[int]) -> np.ndarray:
    lengths = np.array(shape, np.float64)
    faces = np.diag([*(2.0 / lengths), 1.0])
    faces[:3, 3] = 1.0 / lengths - 1.0
    return faces


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Multiply matrices term by term: the fused operations of a BLAS round otherwise."""
    total = left[:, :1] * right[:1]
    for at in range(1, len(right)):
        total = total + left[:, at : at + 1] * right[at : at + 1]
    return total


@lru_cache(maxsize=64)
def _steps(length: int) -> np.ndarray:
    """Return the middles of voxels between the faces at -1 and 1, as affine_grid does."""
    if length <= 1:
        return np.zeros(length)
    # torch.linspace rounds product and sum once, from both ends to the middle
    step = Fraction(2 / (length - 1))
    half = length // 2
    line = [float(n * step - 1) if n < half else float(1 - (length - n - 1) * step) for n in range(length)]
    return np.array(line) * (length - 1) / length
