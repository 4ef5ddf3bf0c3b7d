"""Features of one tumor: HU, texture, edge, spectrum, shape and position. A feature that cannot be measured is NaN."""

import numpy as np
from scipy import ndimage

from freetumor_runtime.realism import radiomics
from freetumor_runtime.realism.zones import MIN_ZONE_VOXELS, Zones

NAN = float("nan")
ZONES = ("tumor", "rim", "surroundings")
# Levels of the GLCM: a fixed width, so that noise and contrast change them.
LEVEL_HU = 25.0
_LEVEL_RANGE_HU = (-1200.0, 2000.0)
# Histograms: bins of equal width.
BIN_HU = 5.0
BINS = 640
# Bands of the local spectrum: differences of Gaussians of these widths (mm).
_BANDS_MM = {"fine": (0.0, 1.0), "middle": (1.0, 2.0), "coarse": (2.0, 4.0)}

_FIRST_ORDER = ("mean", "sd", "skewness", "kurtosis", "p10", "p50", "p90")
_TEXTURE = ("contrast", "correlation", "jointEntropy", "inverseDifferenceMoment")
_SHAPE = ("sphericity", "compactness2", "elongation", "flatness", "spiculation")
POSITION = ("depth", "x", "y", "z")

FEATURES = (
    *(f"{zone}.{name}" for zone in ZONES for name in _FIRST_ORDER),
    *(f"{zone}.{name}" for zone in ZONES for name in _TEXTURE),
    *(f"spectrum.{zone}.{band}" for zone in ("tumor", "rim") for band in _BANDS_MM),
    "edge.contrast",
    "edge.sharpness",
    "edge.width",
    "edge.roughness",
    *(f"shape.{name}" for name in _SHAPE),
    *(f"position.{name}" for name in POSITION),
)

# At most 15 each: the bias of the Frechet distance grows with their number.
TUMOR_SET = (
    *("tumor.mean", "tumor.sd", "tumor.skewness", "tumor.kurtosis", "tumor.p10", "tumor.p90"),
    *("tumor.contrast", "tumor.correlation", "tumor.jointEntropy", "spectrum.tumor.fine", "spectrum.tumor.middle"),
    *("edge.contrast", "edge.sharpness", "shape.sphericity", "shape.spiculation"),
)
RIM_SET = (
    *("rim.mean", "rim.sd", "rim.skewness", "rim.kurtosis", "rim.p10", "rim.p90"),
    *("rim.contrast", "rim.correlation", "rim.jointEntropy", "spectrum.rim.fine", "spectrum.rim.middle"),
    *("edge.contrast", "edge.sharpness", "edge.width", "edge.roughness"),
)
SHAPE_SET = tuple(f"shape.{name}" for name in _SHAPE)
POSITION_SET = tuple(f"position.{name}" for name in POSITION)
SPECTRUM_SET = tuple(f"spectrum.{zone}.{band}" for zone in ("tumor", "rim") for band in _BANDS_MM)


def features_of(zones: Zones, position: dict[str, float]) -> dict[str, float]:
    """Return all features of a tumor."""
    masks = {"tumor": zones.tumor_XYZ, "rim": zones.rim_XYZ, "surroundings": zones.surroundings_XYZ}
    found = dict.fromkeys(FEATURES, NAN)
    levels = _levels(zones.image_XYZ)
    for zone, mask in masks.items():
        if np.count_nonzero(mask) < MIN_ZONE_VOXELS:
            continue
        found |= _named(zone, radiomics.first_order(zones.image_XYZ[mask].astype(np.float64)), _FIRST_ORDER)
        texture = radiomics.co_occurrence(*_within(levels, mask))
        if texture is not None:
            found |= _named(zone, texture, _TEXTURE)
    found |= _spectrum(zones, masks) | _edge(zones, found["tumor.mean"] - found["surroundings.mean"])
    mask, _ = _within(zones.tumor_XYZ, zones.tumor_XYZ)
    found |= _named("shape", radiomics.shape(mask, [zones.spacing_mm] * 3), _SHAPE)
    return found | _named("position", position, POSITION)


def histograms_of(zones: Zones) -> np.ndarray:
    """Return the shares of HU in bins for tumor, rim and surroundings [3, BINS]; zeros for an empty zone."""
    shares = np.zeros((3, BINS), np.float32)
    for row, mask in enumerate((zones.tumor_XYZ, zones.rim_XYZ, zones.surroundings_XYZ)):
        if mask.any():
            at = np.clip((zones.image_XYZ[mask] - _LEVEL_RANGE_HU[0]) / BIN_HU, 0, BINS - 1).astype(int)
            shares[row] = np.bincount(at, minlength=BINS) / len(at)
    return shares


def _named(group: str, values: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    return {f"{group}.{name}": float(values[name]) for name in names}


def _levels(image_XYZ: np.ndarray) -> np.ndarray:
    low, high = _LEVEL_RANGE_HU
    return (np.clip(image_XYZ, low, high - 1) - low).astype(np.int32) // int(LEVEL_HU) + 1


def _within(array: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return array[box], mask[box]


def _spectrum(zones: Zones, masks: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the log ratio of the power in each band to that of the tissue around, the scan's own noise."""
    powers = {zone: _powers(zones.image_XYZ, mask, zones.spacing_mm) for zone, mask in masks.items()}
    own = powers["surroundings"]
    return {
        f"spectrum.{zone}.{band}": float(np.log(powers[zone][band] / own[band]))
        if powers[zone].get(band, 0) > 0 and own.get(band, 0) > 0
        else NAN
        for zone in ("tumor", "rim")
        for band in _BANDS_MM
    }


def _powers(image_XYZ: np.ndarray, mask: np.ndarray, spacing_mm: float) -> dict[str, float]:
    """Return the variance of each band within a mask; voxels outside take no part."""
    if np.count_nonzero(mask) < MIN_ZONE_VOXELS:
        return {}
    image, inside = _within(image_XYZ, mask)
    centred = np.where(inside, image - image[inside].mean(), 0.0)

    def smooth(mm: float) -> np.ndarray:
        if mm == 0:
            return centred
        sigma = mm / spacing_mm
        weight = ndimage.gaussian_filter(inside.astype(np.float64), sigma, mode="constant")
        return ndimage.gaussian_filter(centred, sigma, mode="constant") / np.maximum(weight, 1e-6)

    smoothed = {mm: smooth(mm) for mm in {end for band in _BANDS_MM.values() for end in band}}
    return {name: float((smoothed[low] - smoothed[high])[inside].var()) for name, (low, high) in _BANDS_MM.items()}


def _edge(zones: Zones, contrast: float) -> dict[str, float]:
    """Return contrast (HU), slope across the border (HU/mm), its width (mm), and how uneven the slope is (HU/mm)."""
    signed_mm = np.where(zones.tumor_XYZ, -zones.inside_mm, zones.outside_mm)
    border = np.abs(signed_mm) <= 1.5 * zones.spacing_mm
    if min(zones.image_XYZ.shape) < 3 or np.count_nonzero(border) < MIN_ZONE_VOXELS:
        return {"edge.contrast": contrast}
    outward = np.array(np.gradient(ndimage.gaussian_filter(signed_mm, 1.0)))
    outward /= np.maximum(np.linalg.norm(outward, axis=0), 1e-6)
    slope = np.array(np.gradient(zones.image_XYZ.astype(np.float64), zones.spacing_mm))
    across = (slope * outward).sum(0)[border]
    sharpness = abs(float(across.mean()))
    return {
        "edge.contrast": contrast,
        "edge.sharpness": sharpness,
        "edge.width": min(30.0, abs(contrast) / sharpness) if sharpness > 0 else NAN,
        "edge.roughness": float(across.std()),
    }
