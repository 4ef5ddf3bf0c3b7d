"""Connected components of masks."""

import numpy as np
from scipy import ndimage


def components(mask_XYZ: np.ndarray, structure: np.ndarray | None = None) -> np.ndarray:
    """Return each voxel's component number, from 1, int32; 0 outside the mask. 6-connected without a structure."""
    # SciPy declares the result for an output of one's own, too
    numbers_XYZ, _ = ndimage.label(mask_XYZ, structure)  # pyright: ignore[reportGeneralTypeIssues]
    return numbers_XYZ


def largest_whole_component(mask_XYZ: np.ndarray) -> np.ndarray | None:
    """Return the largest component that touches no side of the volume, so that none of it is cut; None without one."""
    numbers_XYZ = components(mask_XYZ)
    sizes = np.bincount(numbers_XYZ.ravel())
    sizes[0] = 0
    for axis in range(3):
        for end in (0, -1):
            sizes[np.unique(numbers_XYZ.take(end, axis))] = 0
    return numbers_XYZ == sizes.argmax() if sizes.any() else None
