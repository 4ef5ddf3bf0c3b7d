"""The organ around a tumor, which contrast is measured against."""

import numpy as np
from scipy import ndimage

# The near part, a tumor's soft edge, is excluded.
RING_VOXELS = (2, 6)
_SIX_CONNECTED = ndimage.generate_binary_structure(3, 1)


def organ_around(tumor_XYZ: np.ndarray, organ_XYZ: np.ndarray) -> np.ndarray:
    """Return the organ 2 to 6 voxels around a tumor, bool."""
    near, far = (dilated(tumor_XYZ, voxels) for voxels in RING_VOXELS)
    return far & ~near & organ_XYZ


def dilated(mask_XYZ: np.ndarray, voxels: int) -> np.ndarray:
    """Return a mask and the voxels that are at most this many 6-connected steps away from it."""
    return np.asarray(ndimage.binary_dilation(mask_XYZ, _SIX_CONNECTED, voxels))
