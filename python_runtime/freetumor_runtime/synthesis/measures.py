"""Measure painted tumors for quality policies.

Each measure is a number of one tumor; src/quality/judge.ts has the same names. Arrays are [X, Y, Z] boxes around the
tumor in RAS; images are windowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from freetumor_runtime.data.components import components
from freetumor_runtime.data.surroundings import dilated, organ_around
from freetumor_runtime.synthesis.render import ORGAN, REAL_TUMOR, SYNTHETIC

_SIX_CONNECTED = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True)
class TumorView:
    """`image_XYZ` float32 after painting, windowed to 0..1; `roles_XYZ` uint8 after the tumor was placed."""

    image_XYZ: np.ndarray
    roles_XYZ: np.ndarray
    spacing_mm: Sequence[float]
    window_width_hu: float
    # voxels of the planned shape, organ or not, without ignored ones
    shape_voxels: int
    # physical positions (mm) [N, 3] of the case's real tumor voxels, and of the first voxel of the box
    real_tumor_mm: np.ndarray
    origin_mm: Sequence[float]
    # of the case's real tumors; None if it has none
    real_sharpness_hu_per_mm: float | None


def measure(view: TumorView, wanted: Sequence[str]) -> dict[str, float]:
    """Return the wanted measures, without those that are undefined for this tumor (no organ around it)."""
    synthetic_XYZ = view.roles_XYZ == SYNTHETIC
    if not synthetic_XYZ.any():
        return {}
    taken = {name: _MEASURES[name](view, synthetic_XYZ) for name in wanted}
    return {name: float(value) for name, value in taken.items() if value is not None}


def contrast_hu(view: TumorView, synthetic_XYZ: np.ndarray) -> float | None:
    """Return the mean HU of the tumor minus that of the organ 2 to 6 voxels around it."""
    ring_XYZ = organ_around(synthetic_XYZ, view.roles_XYZ == ORGAN)
    if not ring_XYZ.any():
        return None
    difference = view.image_XYZ[synthetic_XYZ].mean(dtype=np.float64) - view.image_XYZ[ring_XYZ].mean(dtype=np.float64)
    return difference * view.window_width_hu


def volume_ml(view: TumorView, synthetic_XYZ: np.ndarray) -> float:
    return synthetic_XYZ.sum() * float(np.prod(view.spacing_mm)) / 1000


def inside_organ(view: TumorView, synthetic_XYZ: np.ndarray) -> float:
    """Return the share of the planned shape that lies in the organ."""
    return synthetic_XYZ.sum() / max(1, view.shape_voxels)


def distance_to_real_mm(view: TumorView, synthetic_XYZ: np.ndarray) -> float | None:
    """Return the smallest distance (mm) from the tumor to a real tumor; None if the case has none."""
    if len(view.real_tumor_mm) == 0:
        return None
    # imported here: only cases with real tumors need it
    from scipy.spatial import KDTree

    places_mm = np.argwhere(synthetic_XYZ) * np.asarray(view.spacing_mm) + np.asarray(view.origin_mm)
    return KDTree(view.real_tumor_mm).query(places_mm)[0].min()


def edge_sharpness_hu_per_mm(view: TumorView, synthetic_XYZ: np.ndarray) -> float | None:
    """Return the mean length of the HU gradient on the tumor's outermost voxels that touch the organ."""
    inner_XYZ = _eroded(synthetic_XYZ)
    organ_beside_XYZ = dilated(view.roles_XYZ == ORGAN, 1)
    rim_XYZ = synthetic_XYZ & ~inner_XYZ & organ_beside_XYZ
    if not rim_XYZ.any() or min(view.image_XYZ.shape) < 2:
        return None
    gradients = np.gradient(view.image_XYZ.astype(np.float64) * view.window_width_hu, *view.spacing_mm)
    return np.sqrt(sum(axis**2 for axis in gradients))[rim_XYZ].mean()


def edge_sharpness_to_real(view: TumorView, synthetic_XYZ: np.ndarray) -> float | None:
    """Return the ratio of the edge sharpness to that of the case's real tumors; None if the case has none."""
    own = edge_sharpness_hu_per_mm(view, synthetic_XYZ)
    if own is None or not view.real_sharpness_hu_per_mm:
        return None
    return own / view.real_sharpness_hu_per_mm


def component_share(view: TumorView, synthetic_XYZ: np.ndarray) -> float:
    """Return the share of the tumor's voxels in its largest component (6-connected)."""
    pieces_XYZ = components(synthetic_XYZ, _SIX_CONNECTED)
    return np.bincount(pieces_XYZ.ravel())[1:].max() / synthetic_XYZ.sum()


def real_sharpness_hu_per_mm(
    image_XYZ: np.ndarray, roles_XYZ: np.ndarray, spacing_mm: Sequence[float], window_width_hu: float
) -> float | None:
    """Return `edgeSharpnessHuPerMm` of the real tumors in a box of roles; None if there are none."""
    real_XYZ = roles_XYZ == REAL_TUMOR
    view = TumorView(
        image_XYZ=image_XYZ,
        roles_XYZ=roles_XYZ,
        spacing_mm=spacing_mm,
        window_width_hu=window_width_hu,
        shape_voxels=0,
        real_tumor_mm=np.empty((0, 3)),
        origin_mm=(0.0, 0.0, 0.0),
        real_sharpness_hu_per_mm=None,
    )
    return edge_sharpness_hu_per_mm(view, real_XYZ) if real_XYZ.any() else None


def real_tumor_places_mm(roles_XYZ: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Return the positions (mm) [N, 3] of the surface voxels of real tumors, which include the nearest voxel."""
    real_XYZ = roles_XYZ == REAL_TUMOR
    surface_XYZ = real_XYZ & ~_eroded(real_XYZ)
    return np.argwhere(surface_XYZ) * np.asarray(spacing_mm)


def _eroded(mask_XYZ: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.binary_erosion(mask_XYZ, _SIX_CONNECTED))


_MEASURES = {
    "contrastHu": contrast_hu,
    "volumeMl": volume_ml,
    "insideOrgan": inside_organ,
    "distanceToRealMm": distance_to_real_mm,
    "edgeSharpnessHuPerMm": edge_sharpness_hu_per_mm,
    "edgeSharpnessToReal": edge_sharpness_to_real,
    "componentShare": component_share,
}
