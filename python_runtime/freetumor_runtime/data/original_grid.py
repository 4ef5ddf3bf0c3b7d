"""Values on the prepared grid, brought back to the scan's own grid by linear interpolation, some planes at a time.

Affines are 4x4, voxel to RAS millimetres. The prepared grid has the scan's axes in another order and spacing unless the
scan's affine is sheared, so an axis is brought back by itself; a sheared grid goes voxel by voxel.
"""

from collections.abc import Iterable, Iterator, Sequence
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


def linear_on_scan(
    planes: Iterable[tuple[int, Tensor]], route: GridRoute
) -> Iterator[tuple[tuple[slice, ...], Tensor, np.ndarray]]:
    """Interpolate values linearly on the scan's grid, some of its planes at a time.

    `planes`: the first prepared plane along X, and values [C, planes, Y, Z] of it and the next ones; in order, without
    a gap. Only these and one more plane are kept, unless the scan is sheared.
    Yields (place in the scan, values [C, I, J, K] there, outside [I, J, K]). Outside is more than half a voxel off the
    prepared grid; closer voxels get the values of the border.
    """
    if not route.parallel:
        yield from _sheared(torch.cat([values_CXYZ.clone() for _, values_CXYZ in planes], 1), route)
        return
    along_x = route.axes.index(0)
    length = route.prepared_shape[0]
    low, _, _ = _neighbours(route.places[along_x], length)
    last_CXYZ: Tensor | None = None
    for first, values_CXYZ in planes:
        if last_CXYZ is not None:
            values_CXYZ, first = torch.cat([last_CXYZ, values_CXYZ], 1), first - 1
        stop = first + values_CXYZ.shape[1]
        last_CXYZ = values_CXYZ[:, -1:].clone()
        # the upper neighbour of the last plane is yet to come
        ready = np.flatnonzero((low >= first) & ((low < stop - 1) | (stop == length)))
        for at in range(0, len(ready), _PLANES):
            part = slice(int(ready[at]), int(ready[min(at + _PLANES, len(ready)) - 1]) + 1)
            yield _lerp_planes(values_CXYZ, first, route, along_x, part)


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


def _lerp_planes(
    values_CXYZ: Tensor, first: int, route: GridRoute, along_x: int, part: slice
) -> tuple[tuple[slice, ...], Tensor, np.ndarray]:
    """Interpolate the planes `part` of the scan across its axis `along_x`; values begin at prepared plane `first`."""
    places = list(route.places)
    places[along_x] = places[along_x][part]
    low, high, _ = _neighbours(places[along_x], route.prepared_shape[0])
    start = int(low.min())
    values = values_CXYZ[:, start - first : int(high.max()) + 1 - first]
    for source in (2, 1, 0):
        axis = route.axes[source]
        values = _lerp(values, axis + 1, places[source], route.prepared_shape[axis], start if axis == 0 else 0)
    values_CIJK = values.permute(0, *(axis + 1 for axis in route.axes))
    off = [_off(place, route.prepared_shape[axis]) for place, axis in zip(places, route.axes, strict=True)]
    place = tuple(part if source == along_x else slice(None) for source in range(3))
    return place, values_CIJK, off[0][:, None, None] | off[1][:, None] | off[2]


def _lerp(values: Tensor, dim: int, places: np.ndarray, length: int, start: int) -> Tensor:
    """Interpolate along `dim`, where `values` hold the voxels from `start` on of `length`."""
    low, high, shares = _neighbours(places, length)
    share = torch.from_numpy(shares).to(values.device)
    share = share.reshape([-1 if axis == dim else 1 for axis in range(values.ndim)])
    before, after = (
        values.index_select(dim, torch.from_numpy(index - start).to(values.device)) for index in (low, high)
    )
    return torch.lerp(before, after, share)


def _neighbours(places: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the voxels before and after each place along an axis, and the share of the one after."""
    clipped = np.clip(places, 0, length - 1)
    low = np.minimum(clipped.astype(np.int64), max(length - 2, 0))
    return low, np.minimum(low + 1, length - 1), (clipped - low).astype(np.float32)


def _off(places: np.ndarray, length: int) -> np.ndarray:
    return (places < -_HALF) | (places > length - 1 + _HALF)


def _places_of_plane(route: GridRoute, k: int) -> np.ndarray:
    i, j = np.meshgrid(np.arange(route.shape[0]), np.arange(route.shape[1]), indexing="ij")
    voxels = np.stack([i.ravel(), j.ravel(), np.full(i.size, k)]).astype(np.float64)
    return route.to_prepared[:3, :3] @ voxels + route.to_prepared[:3, 3:]


def _sheared(values_CXYZ: Tensor, route: GridRoute) -> Iterator[tuple[tuple[slice, ...], Tensor, np.ndarray]]:
    for start in range(0, route.shape[2], _PLANES):
        planes = slice(start, min(start + _PLANES, route.shape[2]))
        yield (slice(None), slice(None), planes), *_sheared_planes(values_CXYZ, route, planes)


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
