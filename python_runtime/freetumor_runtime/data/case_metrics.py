"""Measures of one mask against its label (METHOD 11): counts, surface Dice, lesions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_surface_dice
from scipy import ndimage

from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.errors import DataError

_TOUCHING = np.ones((3, 3, 3), bool)


def measure_files(
    prediction: str,
    label: str,
    *,
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    nsd_tolerance_mm: float | None,
    lesions: bool,
    spacing_mm: Sequence[float] | None,
) -> dict[str, Any]:
    """Both masks brought to the label's grid (axes by affine), or to `spacing_mm` by nearest neighbour, and measured.

    Raises DataError that names both files when they are not one grid in the world.
    """
    truth_XYZ, truth_affine = load_nifti(label)
    predicted_XYZ, predicted_affine = load_nifti(prediction)
    aligned = align_to(predicted_XYZ, predicted_affine, truth_XYZ.shape, truth_affine)
    if aligned is None:
        raise DataError(
            f"{prediction}: its grid ({list(predicted_XYZ.shape)} voxels) is not that of {label} "
            f"({list(truth_XYZ.shape)} voxels) in the world",
            "predict on the scan that the label belongs to",
        )
    found_mm = np.sqrt((truth_affine[:3, :3] ** 2).sum(0))
    grid = "original"
    if spacing_mm is not None and not np.allclose(found_mm, spacing_mm, rtol=1e-3):
        grid = "resampled"
        factors = found_mm / np.asarray(spacing_mm)
        truth_XYZ, aligned = (ndimage.zoom(mask, factors, order=0) for mask in (truth_XYZ, aligned))
        found_mm = np.asarray(spacing_mm, float)
    measures = measure_masks(
        aligned.astype(np.int16),
        truth_XYZ.astype(np.int16),
        found_mm.tolist(),
        labels=labels,
        tumor_labels=tumor_labels,
        nsd_tolerance_mm=nsd_tolerance_mm,
        lesions=lesions,
    )
    return {"grid": grid, "spacingMm": found_mm.tolist(), **measures}


def measure_masks(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    nsd_tolerance_mm: float | None,
    lesions: bool,
) -> dict[str, Any]:
    """Counts of every label, its surface Dice where a tolerance is given, and the lesions of the tumor labels."""
    return {
        "labels": [
            _measure_label(predicted_XYZ == label, truth_XYZ == label, label, spacing_mm, nsd_tolerance_mm)
            for label in labels
        ],
        "lesions": [
            lesion
            for label in (tumor_labels if lesions else ())
            for lesion in find_lesions(predicted_XYZ == label, truth_XYZ == label, label, spacing_mm)
        ],
    }


def find_lesions(
    predicted_XYZ: np.ndarray, truth_XYZ: np.ndarray, label: int, spacing_mm: Sequence[float]
) -> list[dict[str, Any]]:
    """26-connected lesions: the true ones (detected by any overlap), then the predicted ones that touch none."""
    found = []
    for kind, own, other in (("true", truth_XYZ, predicted_XYZ), ("falsePositive", predicted_XYZ, truth_XYZ)):
        components, count = ndimage.label(own, _TOUCHING)
        touched = set(np.unique(components[other & own])) - {0}
        voxels = np.bincount(components.ravel(), minlength=count + 1)
        for component in range(1, count + 1):
            detected = component in touched
            if kind == "falsePositive" and detected:
                continue
            volume_mm3 = float(voxels[component] * np.prod(spacing_mm))
            found.append(
                {
                    "kind": kind,
                    "label": label,
                    "volumeMl": volume_mm3 / 1000,
                    "diameterMm": float((6 * volume_mm3 / np.pi) ** (1 / 3)),
                    "detected": detected and kind == "true",
                }
            )
    return found


def align_to(
    mask_XYZ: np.ndarray, mask_affine: np.ndarray, shape: Sequence[int], affine: np.ndarray
) -> np.ndarray | None:
    """The mask on another grid that is the same in the world, by permuting and flipping axes; None when it is not."""
    from freetumor_runtime.jobs.prepare import align_label

    return align_label(mask_XYZ, mask_affine, shape, affine)


def _measure_label(
    predicted: np.ndarray, truth: np.ndarray, label: int, spacing_mm: Sequence[float], tolerance_mm: float | None
) -> dict[str, Any]:
    return {
        "label": label,
        "truePositive": int((predicted & truth).sum()),
        "falsePositive": int((predicted & ~truth).sum()),
        "falseNegative": int((~predicted & truth).sum()),
        "nsd": None if tolerance_mm is None else _surface_dice(predicted, truth, spacing_mm, tolerance_mm),
    }


def _surface_dice(
    predicted: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float
) -> float | None:
    if not truth.any():
        return 0.0 if predicted.any() else None
    if not predicted.any():
        return 0.0
    both = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, truth)]
    value = compute_surface_dice(
        *both, class_thresholds=[tolerance_mm], include_background=True, spacing=list(spacing_mm)
    )
    return float(value[0, 0])
