"""Values on the prepared grid, brought back to the scan's own grid by linear interpolation, some planes at a time.

Affines are 4x4, voxel to RAS millimetres. The prepared grid has the scan's axes in another order and spacing unless the
scan's affine is sheared, so an axis is brought back by itself; a sheared grid goes voxel by voxel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

# Off-axis parts of the map between the grids, in voxels at the far corner, below which they are rounding.
_PARALLEL_VOXELS = 0.01
# Half a voxel, and what rounding may add to it.
_HALF = 0.5 + 1e-6
_PLANES = 8


@dataclass(frozen=True)
class GridRoute:
    """From voxels of the scan [I, J, K] to places on the prepared grid [X, Y, Z].

    `axes[s]` is the prepared axis that the scan's axis s runs along, `places[s]` where each of its voxels lies on it;
    both empty when the axes are not parallel. `to_prepared` is the whole map, 4x4.
    """

    shape: tuple[int, ...]
    prepared_shape: tuple[int, ...]
    to_prepared: np.ndarray
    axes: tuple[int, ...]
    places: tuple[np.ndarray, ...]

    @property
    def parallel(self) -> bool:
        return bool(self.axes)


def grid_route(
    prepared_shape: Sequence[int], prepared_affine: np.ndarray, shape: Sequence[int], affine: np.ndarray
) -> GridRoute:
    to_prepared = np.linalg.inv(prepared_affine) @ affine
    linear = to_prepared[:3, :3]
    axes = tuple(int(axis) for axis in np.abs(linear).argmax(axis=0))
    off_axis = linear.copy()
    off_axis[axes, range(3)] = 0
    drift = np.abs(off_axis) @ np.asarray(shape, np.float64)
    if sorted(axes) != [0, 1, 2] or drift.max() > _PARALLEL_VOXELS:
        return GridRoute(tuple(shape), tuple(prepared_shape), to_prepared, (), ())
    places = tuple(
        linear[axis, source] * np.arange(shape[source]) + to_prepared[axis, 3] for source, axis in enumerate(axes)
    )
    return GridRoute(tuple(shape), tuple(prepared_shape), to_prepared, axes, places)


def linear_on_scan(values_CXYZ: Tensor, route: GridRoute) -> Iterator[tuple[slice, Tensor, np.ndarray]]:
    """Interpolate values linearly on the scan's grid, some of its planes k at a time.

    Yields (planes, values [C, I, J, planes], outside [I, J, planes]). Outside is more than half a voxel off the
    prepared grid; closer voxels get the values of the border.
    """
    for start in range(0, route.shape[2], _PLANES):
        planes = slice(start, min(start + _PLANES, route.shape[2]))
        yield planes, *(_lerp_planes if route.parallel else _sheared_planes)(values_CXYZ, route, planes)


def needed_on_prepared(wanted_IJK: np.ndarray, route: GridRoute) -> np.ndarray | None:
    """Prepared voxels (bool) that decide any wanted voxel of the scan, by either interpolation; None where sheared."""
    if not route.parallel:
        return None
    needed = wanted_IJK
    for source in range(3):
        length = route.prepared_shape[route.axes[source]]
        reached = np.zeros((*needed.shape[:source], length, *needed.shape[source + 1 :]), bool)
        low = np.clip(np.floor(route.places[source]).astype(np.int64), 0, length - 1)
        high = np.clip(np.floor(route.places[source]).astype(np.int64) + 1, 0, length - 1)
        lead = (slice(None),) * source
        for at, (first, second) in enumerate(zip(low, high, strict=True)):
            reached[(*lead, first)] |= needed[(*lead, at)]
            reached[(*lead, second)] |= needed[(*lead, at)]
        needed = reached
    return np.transpose(needed, np.argsort(route.axes))


def _lerp_planes(values_CXYZ: Tensor, route: GridRoute, planes: slice) -> tuple[Tensor, np.ndarray]:
    places = [route.places[0], route.places[1], route.places[2][planes]]
    values = values_CXYZ
    # the planes first: the other axes are then interpolated in few of them
    for source in (2, 1, 0):
        values = _lerp(values, route.axes[source] + 1, places[source])
    values_CIJK = values.permute(0, *(axis + 1 for axis in route.axes))
    off = [_off(place, route.prepared_shape[axis]) for place, axis in zip(places, route.axes, strict=True)]
    return values_CIJK, off[0][:, None, None] | off[1][:, None] | off[2]


def _lerp(values: Tensor, dim: int, places: np.ndarray) -> Tensor:
    clipped = np.clip(places, 0, values.shape[dim] - 1)
    low = np.minimum(clipped.astype(np.int64), max(values.shape[dim] - 2, 0))
    high = np.minimum(low + 1, values.shape[dim] - 1)
    share = torch.from_numpy((clipped - low).astype(np.float32)).to(values.device)
    share = share.reshape([-1 if axis == dim else 1 for axis in range(values.ndim)])
    before, after = (values.index_select(dim, torch.from_numpy(index).to(values.device)) for index in (low, high))
    return torch.lerp(before, after, share)


def _off(places: np.ndarray, length: int) -> np.ndarray:
    return (places < -_HALF) | (places > length - 1 + _HALF)


def _places_of_plane(route: GridRoute, k: int) -> np.ndarray:
    i, j = np.meshgrid(np.arange(route.shape[0]), np.arange(route.shape[1]), indexing="ij")
    voxels = np.stack([i.ravel(), j.ravel(), np.full(i.size, k)]).astype(np.float64)
    return route.to_prepared[:3, :3] @ voxels + route.to_prepared[:3, 3:]


def _sheared_planes(values_CXYZ: Tensor, route: GridRoute, planes: slice) -> tuple[Tensor, np.ndarray]:
    values = values_CXYZ.cpu().numpy()
    found = np.empty((values.shape[0], *route.shape[:2], planes.stop - planes.start), np.float32)
    outside = np.empty(found.shape[1:], bool)
    for at, k in enumerate(range(planes.start, planes.stop)):
        places = _places_of_plane(route, k)
        for channel, volume in enumerate(values):
            plane = map_coordinates(volume, places, np.float32, order=1, mode="nearest")
            found[channel, :, :, at] = plane.reshape(route.shape[:2])
        off = np.any([_off(place, side) for place, side in zip(places, route.prepared_shape, strict=True)], axis=0)
        outside[:, :, at] = off.reshape(route.shape[:2])
    return torch.from_numpy(found), outside
