"""Patches of tumors and of their surroundings for the search of copies: [SIDE, SIDE, SIDE], mean 0, norm 1 (or all 0).

The patch of a tumor is centred on it and scaled by its size, so a shifted or scaled copy has the same patch. Mean HU by
depth is removed: two tumors with a dark core are no copies of each other.
"""

import numpy as np
from scipy import ndimage

from freetumor_runtime.realism.zones import Zones

SIDE = 24
# Half the side of a tumor's patch, in radii of a ball of the tumor's spread.
_REACH = 1.6
_LAYERS = 6
# Voxel of the patch of the surroundings, and the border that belongs to the tumor (mm).
_AROUND_MM = 2.0
_SOFT_EDGE_MM = 3.0


def tumor_patch(zones: Zones) -> np.ndarray:
    """Return the texture within the tumor, float32."""
    mask = zones.tumor_XYZ
    depth = zones.inside_mm / max(float(zones.inside_mm.max()), 1e-6)
    layers = np.minimum((depth * _LAYERS).astype(int), _LAYERS - 1)
    residual = _without_layers(zones.image_XYZ, mask, layers)
    places = np.argwhere(mask) * zones.spacing_mm
    centre = places.mean(0)
    radius = max(float(np.sqrt(5 / 3 * ((places - centre) ** 2).sum(1).mean())), zones.spacing_mm)
    return _sampled(residual, centre, 2 * _REACH * radius / SIDE, zones.spacing_mm)


def surroundings_patch(zones: Zones, image_XYZ: np.ndarray) -> np.ndarray:
    """Return what `image_XYZ` (the scan or its host, on the grid of the zones) shows around the tumor, without it."""
    around = zones.outside_mm > _SOFT_EDGE_MM
    centre = np.argwhere(zones.tumor_XYZ).mean(0) * zones.spacing_mm
    clipped = np.clip(image_XYZ, -200, 300)
    residual = np.where(around, clipped - clipped[around].mean(), 0) if around.any() else np.zeros_like(clipped)
    return _sampled(residual, centre, _AROUND_MM, zones.spacing_mm)


def _without_layers(image_XYZ: np.ndarray, mask: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Return HU minus the mean of all voxels of the same depth; 0 outside."""
    at = layers[mask]
    values = image_XYZ[mask].astype(np.float64)
    counts = np.bincount(at, minlength=_LAYERS)
    means = np.bincount(at, values, _LAYERS) / np.maximum(counts, 1)
    # a layer of few voxels would remove the texture itself
    means = np.where(counts >= 8, means, values.mean())
    residual = np.zeros(image_XYZ.shape, np.float32)
    residual[mask] = values - means[at]
    return residual


def _sampled(residual: np.ndarray, centre_mm: np.ndarray, voxel_mm: float, grid_mm: float) -> np.ndarray:
    # A patch voxel that is wider than the grid must not pick single voxels.
    sigma = max(0.6, 0.5 * voxel_mm / grid_mm) if voxel_mm > grid_mm else 0.6
    smooth = ndimage.gaussian_filter(residual, sigma, mode="constant")
    scale = voxel_mm / grid_mm
    offset = centre_mm / grid_mm - scale * (SIDE - 1) / 2
    patch = ndimage.affine_transform(smooth, [scale] * 3, offset, (SIDE,) * 3, order=1, mode="constant")
    return normalised(patch)


def normalised(patch: np.ndarray) -> np.ndarray:
    """Return a patch with norm 1; one without texture stays 0."""
    norm = float(np.linalg.norm(patch))
    return (patch / norm if norm > 1e-6 else np.zeros_like(patch)).astype(np.float32)
