"""Masks of label maps, and the boxes that hold them: passes over a whole CT, so each is one that vector units do."""

from collections.abc import Sequence

import numpy as np

Box = tuple[slice, ...]


def is_any(label_XYZ: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Return a bool mask of the voxels with one of the ids, in the label's order of memory."""
    found_XYZ = np.zeros_like(label_XYZ, bool)
    # a hundredth of the time of np.isin
    for id in ids:
        found_XYZ |= label_XYZ == id
    return found_XYZ


def box_around(*arrays_XYZ: np.ndarray) -> Box | None:
    """Return the smallest box with all nonzero voxels of the arrays (bool or integer); None if there are none."""
    union_XYZ = arrays_XYZ[0]
    for other_XYZ in arrays_XYZ[1:]:
        union_XYZ = union_XYZ | other_XYZ
    box: list[slice] = []
    for axis in range(union_XYZ.ndim):
        others = tuple(other for other in range(union_XYZ.ndim) if other != axis)
        found = np.flatnonzero(union_XYZ.any(axis=others))
        if len(found) == 0:
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(box)
