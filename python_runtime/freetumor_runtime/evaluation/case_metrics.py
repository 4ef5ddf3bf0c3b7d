"""Measures of one mask against its label (docs/method.md 11): voxel counts, Dice, surface Dice, lesions.

The result is JSON-safe; its form is `CaseMeasures` of src/evaluation/measures.ts, which aggregates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from freetumor_runtime.config.cases import OperatingPointSpec
from freetumor_runtime.data.grids import align_label, spacing_of
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.errors import DataError
from freetumor_runtime.evaluation.lesion_place import lesion_places
from freetumor_runtime.evaluation.lesions import find_lesions
from freetumor_runtime.evaluation.lesions import lesion_features as of_lesions
from freetumor_runtime.evaluation.mask_pair import IdMap, MaskPair, count_ids, load_pair
from freetumor_runtime.evaluation.masks import Box, box_around, is_any

# About 250 bytes each in a message of at most 16 MiB.
_MAX_LESIONS = 50_000
_NOWHERE = (slice(0, 0),) * 3


def measure_files(
    prediction_path: str,
    label_path: str,
    *,
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    nsd_tolerances_mm: Sequence[float],
    lesions: bool,
    spacing_mm: Sequence[float] | None,
    prediction_map: IdMap = None,
    label_map: IdMap = None,
    ignored_ids: Sequence[int] = (),
    organ_path: str | None = None,
    score_paths: Sequence[str] = (),
    lesion_features: bool = False,
    operating_point: OperatingPointSpec | None = None,
    organ_of_tumor: IdMap = None,
    image_path: str | None = None,
) -> dict[str, Any]:
    """Measure two files on one grid in physical space (mm); `load_pair` brings them together.

    `organ_of_tumor`: tumor id to the id of its organ; then `lesion_places` measures the true lesions. Without a
    readable scan on the label's grid, their contrast is unknown.

    Raises DataError that names the file, or both where their grids differ.
    """
    pair = load_pair(
        prediction_path,
        label_path,
        prediction_map=prediction_map,
        label_map=label_map,
        ignored_ids=ignored_ids,
        labels=labels,
        tumor_labels=tumor_labels,
        organ_path=organ_path,
        score_paths=score_paths,
        spacing_mm=spacing_mm,
        operating_point=operating_point,
    )
    measures = measure_masks(
        pair.predicted_XYZ,
        pair.truth_XYZ,
        pair.affine,
        labels=labels,
        tumor_labels=tumor_labels,
        nsd_tolerances_mm=nsd_tolerances_mm,
        lesions=lesions,
        score_XYZ=pair.score_XYZ,
        ignored_XYZ=pair.ignored_XYZ,
        lesion_features=lesion_features,
    )
    if len(measures["lesions"]) > _MAX_LESIONS:
        raise DataError(
            f"{prediction_path}: too many lesions (expected at most {_MAX_LESIONS}, found {len(measures['lesions'])})",
            "is the mask noise? smooth it, or use a profile without lesions",
        )
    if lesions and organ_of_tumor:
        image_XYZ = None if image_path is None else _scan(image_path, pair)
        organs = {int(tumor): organ for tumor, organ in organ_of_tumor.items()}
        places = lesion_places(pair.truth_XYZ, pair.affine, tumor_labels, organs, image_XYZ, pair.ignored_XYZ)
        true = [lesion for lesion in measures["lesions"] if lesion["kind"] == "true"]
        for lesion, place in zip(true, places, strict=True):
            lesion |= place
    facts = {
        "grid": pair.grid,
        "spacingMm": spacing_of(pair.affine),
        "removedVoxels": pair.removed_voxels,
        "ignoredVoxels": 0 if pair.ignored_XYZ is None else int(np.count_nonzero(pair.ignored_XYZ)),
    }
    if pair.removed_lesions is not None:
        facts["removedLesions"] = pair.removed_lesions.removed
    return {**facts, **measures}


def _scan(path: str, pair: MaskPair) -> np.ndarray | None:
    """Return the scan on the grid of the pair; None if it has another grid or cannot be read: no figure needs it."""
    try:
        image_XYZ, affine = load_nifti(path)
    except DataError:
        return None
    return align_label(image_XYZ, affine, pair.truth_XYZ.shape, pair.affine)


def measure_masks(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    affine: np.ndarray,
    *,
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    nsd_tolerances_mm: Sequence[float],
    lesions: bool,
    score_XYZ: np.ndarray | None = None,
    ignored_XYZ: np.ndarray | None = None,
    lesion_features: bool = False,
) -> dict[str, Any]:
    """Measure two label maps on one grid: every label, all tumor labels as one, and the tumor's lesions.

    Both maps are 0 on voxels of `ignored_XYZ`.
    """
    box = box_around(predicted_XYZ, truth_XYZ) or _NOWHERE
    if ignored_XYZ is not None:
        box = _with_neighbours(box)
        ignored_XYZ = np.ascontiguousarray(ignored_XYZ[box])
    # Most of a scan is neither organ nor tumor, and a file's first axis is fastest, which filters are slow on.
    predicted_XYZ, truth_XYZ = (np.ascontiguousarray(ids[box]) for ids in (predicted_XYZ, truth_XYZ))
    affine = _moved(affine, box)
    spacing_mm = spacing_of(affine)

    def overlap(of: Sequence[int]) -> dict[str, Any]:
        masks = is_any(predicted_XYZ, of), is_any(truth_XYZ, of)
        return measure_overlap(*masks, spacing_mm, nsd_tolerances_mm, ignored_XYZ)

    measured = {0, *labels, *tumor_labels}
    measures = {
        "labels": [{"label": label, **overlap([label])} for label in labels],
        "tumor": overlap(tumor_labels) if tumor_labels else None,
        "unmeasuredIds": {
            "predicted": sorted(count_ids(predicted_XYZ).keys() - measured),
            "true": sorted(count_ids(truth_XYZ).keys() - measured),
        },
    }
    if not lesions:
        return measures | {"lesions": [], "lesionOverlaps": []}
    inner = box_around(is_any(predicted_XYZ, tumor_labels), is_any(truth_XYZ, tumor_labels)) or _NOWHERE
    scores = None if score_XYZ is None else score_XYZ[box][inner]
    found = find_lesions(predicted_XYZ[inner], truth_XYZ[inner], _moved(affine, inner), tumor_labels, scores)
    if lesion_features:
        features = of_lesions(predicted_XYZ, affine, tumor_labels, None if score_XYZ is None else score_XYZ[box])
        predicted = [lesion for lesion in found["lesions"] if lesion["kind"] == "predicted"]
        for lesion, own in zip(predicted, features, strict=True):
            lesion["features"] = own
    return measures | found


def measure_overlap(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    spacing_mm: Sequence[float],
    nsd_tolerances_mm: Sequence[float],
    ignored_XYZ: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return counts, Dice and the NSD at each tolerance of two bool masks. None if both are empty; 0 if one is.

    Both are False on ignored voxels. A face towards such a voxel is no surface, since its class is unknown.
    """
    box = box_around(predicted_XYZ, truth_XYZ) or _NOWHERE
    ignored = None
    if ignored_XYZ is not None:
        box = _with_neighbours(box)
        ignored = ignored_XYZ[box]
    predicted, truth = predicted_XYZ[box], truth_XYZ[box]
    shared = int(np.count_nonzero(predicted & truth))
    wrong, missed = int(np.count_nonzero(predicted)) - shared, int(np.count_nonzero(truth)) - shared
    total = 2 * shared + wrong + missed
    return {
        "truePositive": shared,
        "falsePositive": wrong,
        "falseNegative": missed,
        "dice": None if total == 0 else 2 * shared / total,
        "nsd": _surface_dice(predicted, truth, ignored, spacing_mm, nsd_tolerances_mm),
    }


def _with_neighbours(box: Box) -> Box:
    """Return a box with the voxels around it: ignored ones decide where the surfaces within are."""
    return tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)


def _moved(affine: np.ndarray, box: Sequence[slice]) -> np.ndarray:
    """Return the affine of a box of an array."""
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return moved


def _surface_dice(
    predicted: np.ndarray,
    truth: np.ndarray,
    ignored: np.ndarray | None,
    spacing_mm: Sequence[float],
    tolerances_mm: Sequence[float],
) -> list[float | None]:
    if not (predicted.any() and truth.any()):
        return [0.0 if predicted.any() or truth.any() else None] * len(tolerances_mm)
    if len(tolerances_mm) == 0:
        return []
    surfaces = [_surface(mask, ignored) for mask in (predicted, truth)]
    # what both share is 0 away; farther than the largest tolerance is far
    shared = int(np.count_nonzero(surfaces[0] & surfaces[1]))
    places = [np.argwhere(surface) * np.asarray(spacing_mm, np.float64) for surface in surfaces]
    alone = [np.argwhere(a & ~b) * np.asarray(spacing_mm, np.float64) for a, b in (surfaces, surfaces[::-1])]
    reach = max(tolerances_mm) * (1 + 1e-5) + 1e-9
    distances = np.concatenate([_distances(a, b, reach) for a, b in zip(alone, places[::-1], strict=True)])
    total = sum(len(side) for side in places)
    if total == 0:  # all faces are towards ignored voxels
        return [None] * len(tolerances_mm)
    return [(2 * shared + int((distances <= limit).sum())) / total for limit in tolerances_mm]


def _surface(mask: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Return voxels with a face outside the mask and towards no ignored voxel; outside the array nothing is mask."""
    padded = np.pad(mask, 1)
    inside = padded if ignored is None else padded | np.pad(ignored, 1)
    return padded & np.logical_not(binary_erosion(inside))


def _distances(from_mm: np.ndarray, to_mm: np.ndarray, reach: float) -> np.ndarray:
    # as MONAI's compute_surface_dice, rounding included: it decides of distances that are a tolerance
    found, _ = KDTree(to_mm, leafsize=32).query(from_mm, distance_upper_bound=reach)
    return found.astype(np.float32)
