"""Connected components of masks."""

import numpy as np
from scipy import ndimage


def components(mask_XYZ: np.ndarray, structure: np.ndarray | None = None) -> np.ndarray:
    """Return each voxel's component number, from 1, int32; 0 outside the mask. 6-connected without a structure."""
    # SciPy declares the result for an output of one's own, too
    numbers_XYZ, _ = ndimage.label(mask_XYZ, structure)  # pyright: ignore[reportGeneralTypeIssues]
    return numbers_XYZ
