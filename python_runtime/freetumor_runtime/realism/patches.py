"""Patches of tumors and of their surroundings for the search of copies: [SIDE, SIDE, SIDE], norm 1 (or all 0).

The patch of a tumor is centred on it and scaled by its size, so a shifted or scaled copy has the same patch. It holds
the texture and the shape, each without the part that all tumors share: the mean HU by depth, and a ball.
"""

import numpy as np
from scipy import ndimage

from freetumor_runtime.realism.zones import Zones

SIDE = 24
# Half the side of a tumor's patch, in radii of a ball of the tumor's spread.
_REACH = 1.6
_LAYERS = 6
# Texture beyond this is clipped (standard deviations): a vessel or a calcification would decide alone.
_CLIP = 2.5
# Voxels at the border mix with the tissue around, which a copy has from its new host: the weight of the texture grows
# with the square of the depth up to `_TAPER_MM`. Its standard deviation is that of the core.
_TAPER_MM = 2.5
_CORE_MM = 1.5
_MIN_CORE_VOXELS = 30
# A smaller tumor is a few voxels of a scan: it has neither texture nor shape, and is like every other one.
LEAST_DIAMETER_MM = 4.0
# Weight of the shape, in standard deviations of the texture.
_SHAPE_WEIGHT = 2.0
# The spectrum is made flat up to this number of waves in a patch: smooth parts resemble each other.
_WAVES = 7.0
# Voxel of the patch of the surroundings, and the border that belongs to the tumor (mm).
_AROUND_MM = 2.0
_SOFT_EDGE_MM = 3.0


_FULL = np.fft.fftfreq(SIDE, 1 / SIDE)
_FREQUENCY = np.sqrt(
    _FULL[:, None, None] ** 2 + _FULL[:, None] ** 2 + np.fft.rfftfreq(SIDE, 1 / SIDE) ** 2,
)


def tumor_patch(zones: Zones) -> np.ndarray:
    """Return texture and shape of the tumor, float32; 0 for one below `LEAST_DIAMETER_MM` (ball of equal volume)."""
    mask = zones.tumor_XYZ
    if np.count_nonzero(mask) * zones.spacing_mm**3 < np.pi / 6 * LEAST_DIAMETER_MM**3:
        return np.zeros((SIDE,) * 3, np.float32)
    depth = zones.inside_mm / max(float(zones.inside_mm.max()), 1e-6)
    layers = np.minimum((depth * _LAYERS).astype(int), _LAYERS - 1)
    texture = _without_layers(zones.image_XYZ, mask, layers)
    core = zones.inside_mm > _CORE_MM
    spread = float(texture[core if np.count_nonzero(core) > _MIN_CORE_VOXELS else mask].std())
    weight = np.clip(zones.inside_mm / _TAPER_MM, 0, 1) ** 2
    texture = weight * np.clip(texture / spread, -_CLIP, _CLIP) if spread > 1e-3 else texture * 0
    places = np.argwhere(mask) * zones.spacing_mm
    centre = places.mean(0)
    radius = max(float(np.sqrt(5 / 3 * ((places - centre) ** 2).sum(1).mean())), zones.spacing_mm)
    offsets = [np.arange(size) * zones.spacing_mm - mid for size, mid in zip(mask.shape, centre, strict=True)]
    squares = [axis**2 for axis in offsets]
    ball = squares[0][:, None, None] + squares[1][:, None] + squares[2] <= radius**2
    both = texture + _SHAPE_WEIGHT * (mask.astype(np.float32) - ball)
    return _flattened(_sampled(both, centre, 2 * _REACH * radius / SIDE, zones.spacing_mm))


def surroundings_patch(zones: Zones, image_XYZ: np.ndarray) -> np.ndarray:
    """Return what `image_XYZ` (the scan or its host, on the grid of the zones) shows around the tumor, without it."""
    around = zones.outside_mm > _SOFT_EDGE_MM
    centre = np.argwhere(zones.tumor_XYZ).mean(0) * zones.spacing_mm
    clipped = np.clip(image_XYZ, -200, 300)
    residual = np.where(around, clipped - clipped[around].mean(), 0) if around.any() else np.zeros_like(clipped)
    return normalised(_sampled(residual, centre, _AROUND_MM, zones.spacing_mm))


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
    # scipy documents a sequence, its types only a number
    return ndimage.affine_transform(smooth, [scale] * 3, offset, (SIDE,) * 3, order=1, mode="constant")  # pyright: ignore[reportArgumentType]


def _flattened(patch: np.ndarray) -> np.ndarray:
    """Return the patch with weights that grow with frequency, as the spectra of tumors fall, and a smooth end."""
    weight = (_FREQUENCY + 0.5) * np.exp(-((_FREQUENCY / _WAVES) ** 2))
    return normalised(np.fft.irfftn(np.fft.rfftn(patch) * weight, s=patch.shape, axes=(0, 1, 2)))


def normalised(patch: np.ndarray) -> np.ndarray:
    """Return a patch with norm 1; one without texture stays 0."""
    norm = float(np.linalg.norm(patch))
    return (patch / norm if norm > 1e-6 else np.zeros_like(patch)).astype(np.float32)
