"""Measures of one mask against its label (METHOD 11): voxel counts, Dice, surface Dice, lesions.

The result is JSON-safe; its form is `CaseMeasures` of src/evaluation/summary.ts, which aggregates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_surface_dice
from scipy import ndimage

from freetumor_runtime.data.grids import align_label, resample_label, spacing_of
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.errors import DataError

_TOUCHING = np.ones((3, 3, 3), bool)
# About 200 bytes each in a message of at most 16 MiB.
_MAX_LESIONS = 50_000


def measure_files(
    prediction_path: str,
    label_path: str,
    *,
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    nsd_tolerance_mm: float | None,
    lesions: bool,
    spacing_mm: Sequence[float] | None,
) -> dict[str, Any]:
    """Measures of two files of one grid in the world, whatever the order and direction of their axes.

    With `spacing_mm` both are brought to it by nearest neighbour unless they have it. Raises DataError that names the
    file, or both where their grids differ.
    """
    truth_XYZ, affine = _load_label_map(label_path)
    source_XYZ, source_affine = _load_label_map(prediction_path)
    predicted_XYZ = align_label(source_XYZ, source_affine, truth_XYZ.shape, affine)
    if predicted_XYZ is None:
        raise DataError(
            f"{prediction_path}: its grid ({_described(source_XYZ, source_affine)}) is not that of {label_path} "
            f"({_described(truth_XYZ, affine)}) in the world",
            "compare masks with labels on one grid: that of the scan, or for both the prepared one",
        )
    grid = "original"
    if spacing_mm is not None:
        grid = "prepared" if np.allclose(spacing_of(affine), spacing_mm, rtol=1e-3, atol=0) else "resampled"
    if grid == "resampled":
        predicted_XYZ, _ = resample_label(predicted_XYZ, affine, spacing_mm)
        truth_XYZ, affine = resample_label(truth_XYZ, affine, spacing_mm)
    measures = measure_masks(
        predicted_XYZ,
        truth_XYZ,
        affine,
        labels=labels,
        tumor_labels=tumor_labels,
        nsd_tolerance_mm=nsd_tolerance_mm,
        lesions=lesions,
    )
    if len(measures["lesions"]) > _MAX_LESIONS:
        raise DataError(
            f"{prediction_path}: {len(measures['lesions'])} lesions in mask and label, {_MAX_LESIONS} are the limit",
            "is the mask noise? smooth it, or use a profile without lesions",
        )
    return {"grid": grid, "spacingMm": spacing_of(affine), **measures}


def measure_masks(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    affine: np.ndarray,
    *,
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    nsd_tolerance_mm: float | None,
    lesions: bool,
) -> dict[str, Any]:
    """Measures of two label maps on one grid: every label, all tumor labels as one, and the tumor's lesions."""
    predicted_XYZ, truth_XYZ, affine = _cropped(predicted_XYZ, truth_XYZ, affine, (predicted_XYZ > 0) | (truth_XYZ > 0))

    def overlap(of: Sequence[int]) -> dict[str, Any]:
        both = np.isin(predicted_XYZ, of), np.isin(truth_XYZ, of)
        return measure_overlap(*both, spacing_of(affine), nsd_tolerance_mm)

    found = set(np.unique(predicted_XYZ).tolist()) | set(np.unique(truth_XYZ).tolist())
    return {
        "labels": [{"label": label, **overlap([label])} for label in labels],
        "tumor": overlap(tumor_labels) if tumor_labels else None,
        "lesions": find_lesions(predicted_XYZ, truth_XYZ, affine, tumor_labels) if lesions else [],
        "unmeasuredIds": sorted(found - {0, *labels, *tumor_labels}),
    }


def measure_overlap(
    predicted_XYZ: np.ndarray, truth_XYZ: np.ndarray, spacing_mm: Sequence[float], nsd_tolerance_mm: float | None
) -> dict[str, Any]:
    """Counts, Dice and (unless the tolerance is None) NSD of two bool masks. Both empty: None; one of them: 0."""
    box = _box_around(predicted_XYZ | truth_XYZ)
    predicted, truth = predicted_XYZ[box], truth_XYZ[box]
    shared = int(np.count_nonzero(predicted & truth))
    wrong, missed = int(np.count_nonzero(predicted)) - shared, int(np.count_nonzero(truth)) - shared
    total = 2 * shared + wrong + missed
    nsd = None if nsd_tolerance_mm is None else _surface_dice(predicted, truth, spacing_mm, nsd_tolerance_mm)
    return {
        "truePositive": shared,
        "falsePositive": wrong,
        "falseNegative": missed,
        "dice": None if total == 0 else 2 * shared / total,
        "nsd": nsd,
    }


def find_lesions(
    predicted_XYZ: np.ndarray, truth_XYZ: np.ndarray, affine: np.ndarray, tumor_labels: Sequence[int]
) -> list[dict[str, Any]]:
    """26-connected pieces of all tumor labels together, true ones first; `matched` by any voxel of the other side."""
    tumor = np.isin(predicted_XYZ, tumor_labels) | np.isin(truth_XYZ, tumor_labels)
    predicted_XYZ, truth_XYZ, affine = _cropped(predicted_XYZ, truth_XYZ, affine, tumor)
    predicted, truth = np.isin(predicted_XYZ, tumor_labels), np.isin(truth_XYZ, tumor_labels)
    return [
        *_pieces("true", truth, truth_XYZ, predicted, affine),
        *_pieces("predicted", predicted, predicted_XYZ, truth, affine),
    ]


def _load_label_map(path: str) -> tuple[np.ndarray, np.ndarray]:
    array, affine = load_nifti(path)
    if array.dtype.kind == "f":
        whole = np.nan_to_num(array, nan=0.5, posinf=0.5, neginf=0.5).round()
        if not np.array_equal(whole, array):
            raise DataError(f"{path}: whole label ids were expected, found fractions", "give a mask, no probabilities")
        array = whole
    low, high = array.min(), array.max()
    if low < 0 or high > 0xFFFF:
        raise DataError(f"{path}: label ids of 0 to 65535 were expected, found {low:g} to {high:g}", "is this a mask?")
    return array.astype(np.uint8 if high <= 0xFF else np.uint16), affine


def _described(array_XYZ: np.ndarray, affine: np.ndarray) -> str:
    size = " x ".join(map(str, array_XYZ.shape))
    return f"{size} voxels of {' x '.join(f'{mm:.3g}' for mm in spacing_of(affine))} mm"


def _box_around(mask_XYZ: np.ndarray) -> tuple[slice, ...]:
    """The smallest box with all true voxels; an empty box where there is none."""
    if not mask_XYZ.any():
        return (slice(0, 0),) * 3
    return ndimage.find_objects(mask_XYZ.view(np.uint8))[0]


def _cropped(
    predicted_XYZ: np.ndarray, truth_XYZ: np.ndarray, affine: np.ndarray, wanted_XYZ: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both in the box around what is wanted, and the box's affine: most of a scan is neither organ nor tumor."""
    box = _box_around(wanted_XYZ)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return predicted_XYZ[box], truth_XYZ[box], moved


def _surface_dice(
    predicted: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float
) -> float | None:
    if not (predicted.any() and truth.any()):
        return 0.0 if predicted.any() or truth.any() else None
    both = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (predicted, truth))
    nsd = compute_surface_dice(
        *both, class_thresholds=[tolerance_mm], include_background=True, spacing=list(spacing_mm)
    )
    return float(nsd[0, 0])


def _pieces(
    kind: str, own: np.ndarray, ids_XYZ: np.ndarray, other: np.ndarray, affine: np.ndarray
) -> list[dict[str, Any]]:
    if not own.any():
        return []
    pieces_XYZ, _ = ndimage.label(own, _TOUCHING)
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    pieces = []
    for number, box in enumerate(ndimage.find_objects(pieces_XYZ), start=1):
        piece = pieces_XYZ[box] == number
        voxels = np.argwhere(piece)
        centre = voxels.mean(0) + [side.start for side in box]
        volume_mm3 = len(voxels) * voxel_mm3
        pieces.append(
            {
                "kind": kind,
                "label": int(np.bincount(ids_XYZ[box][piece]).argmax()),
                "volumeMl": volume_mm3 / 1000,
                "diameterMm": float((6 * volume_mm3 / np.pi) ** (1 / 3)),
                "centreMm": (affine[:3, :3] @ centre + affine[:3, 3]).tolist(),
                "matched": bool(other[box][piece].any()),
            }
        )
    return pieces
