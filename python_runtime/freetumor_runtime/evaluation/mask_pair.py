"""Mask and label from their files on one grid in physical space (mm): ids mapped, axes aligned, resampled if asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from freetumor_runtime.config.cases import OperatingPointSpec
from freetumor_runtime.data.grids import align_label, resample_label, spacing_of
from freetumor_runtime.data.label_ids import empty_organ_mask, refuse_wrong_values
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.errors import DataError
from freetumor_runtime.evaluation.lesion_rule import FoundLesions, RemovedLesions, without_lesions
from freetumor_runtime.evaluation.masks import is_any

# Source id -> measured id, as declared; None if the file has the measured ids.
IdMap = Mapping[str, int] | None


@dataclass(frozen=True)
class MaskPair:
    """Label maps of one shape, uint8 or uint16; affine 4x4 float64, voxel to RAS millimetres."""

    predicted_XYZ: np.ndarray
    truth_XYZ: np.ndarray
    affine: np.ndarray
    # original, prepared (they have the asked spacing) or resampled
    grid: str
    # Probabilities 0 to 1 on the same grid; None where there are none.
    score_XYZ: np.ndarray | None
    # Number of predicted tumor voxels outside the organ mask, which were removed.
    removed_voxels: int
    # Voxels without an annotation: bool, background on both sides; None where no id is ignored.
    ignored_XYZ: np.ndarray | None
    # Lesions that the operating point removed; None without one.
    removed_lesions: RemovedLesions | None = None


def load_pair(
    prediction_path: str,
    label_path: str,
    *,
    prediction_map: IdMap,
    label_map: IdMap,
    ignored_ids: Sequence[int],
    labels: Sequence[int],
    tumor_labels: Sequence[int],
    organ_path: str | None,
    score_paths: Sequence[str],
    spacing_mm: Sequence[float] | None,
    operating_point: OperatingPointSpec | None = None,
) -> MaskPair:
    """Both on the label's grid, whatever the order and direction of their axes.

    `ignored_ids` are ids of the label file, before its map. With an organ mask, predicted tumor outside it is
    background; the mask may be empty only if the label shows none of the measured ids, `labels`. With `spacing_mm`
    both are brought to it by nearest neighbour unless they have it. Raises DataError that names the file, or both
    where their grids differ.
    """
    truth_XYZ, affine = load_label_map(label_path, None)
    ignored_XYZ = is_any(truth_XYZ, ignored_ids) if ignored_ids else None
    if label_map is not None:
        truth_XYZ = _mapped(truth_XYZ, label_map, label_path)
    grid_of_label = (label_path, truth_XYZ.shape, affine)
    predicted_XYZ = _on_grid(prediction_path, *load_label_map(prediction_path, prediction_map), *grid_of_label)
    score_XYZ = None
    for path in score_paths:
        part_XYZ = _on_grid(path, *_load_scores(path), *grid_of_label)
        # Tumors of several organs exclude each other.
        score_XYZ = part_XYZ if score_XYZ is None else np.minimum(score_XYZ + part_XYZ, 1)
    removed_voxels = 0
    if organ_path is not None:
        organ_XYZ = _on_grid(organ_path, *load_label_map(organ_path, None), *grid_of_label)
        if not organ_XYZ.any() and is_any(truth_XYZ, labels).any():
            raise empty_organ_mask(organ_path)
        outside_XYZ = is_any(predicted_XYZ, tumor_labels) & (organ_XYZ == 0)
        if ignored_XYZ is not None:
            outside_XYZ &= ~ignored_XYZ
        removed_voxels = int(np.count_nonzero(outside_XYZ))
        predicted_XYZ = predicted_XYZ * ~outside_XYZ
    removed_lesions = None
    if operating_point is not None:
        found = FoundLesions(predicted_XYZ, operating_point.tumorIds)
        if score_XYZ is not None:
            found.add_all_scores(score_XYZ)
        predicted_XYZ, removed_lesions = without_lesions(predicted_XYZ, affine, found, operating_point)
    grid = "original"
    if spacing_mm is not None and np.allclose(spacing_of(affine), spacing_mm, rtol=1e-3, atol=0):
        grid = "prepared"
    elif spacing_mm is not None:
        grid = "resampled"
        if operating_point is not None:
            score_XYZ = None  # they have served
        if score_XYZ is not None:
            raise DataError(
                f"{score_paths[0]}: lesion scores on a grid that is resampled are not supported",
                "score lesions with a profile that keeps the grid of the files",
            )
        predicted_XYZ, _ = resample_label(predicted_XYZ, affine, spacing_mm)
        if ignored_XYZ is not None:
            ignored_XYZ, _ = resample_label(ignored_XYZ, affine, spacing_mm)
        truth_XYZ, affine = resample_label(truth_XYZ, affine, spacing_mm)
    if ignored_XYZ is not None:
        predicted_XYZ, truth_XYZ = predicted_XYZ * ~ignored_XYZ, truth_XYZ * ~ignored_XYZ
    return MaskPair(predicted_XYZ, truth_XYZ, affine, grid, score_XYZ, removed_voxels, ignored_XYZ, removed_lesions)


def load_label_map(path: str, id_map: IdMap) -> tuple[np.ndarray, np.ndarray]:
    """Label ids [X, Y, Z], mapped, and the affine. Raises DataError for a file of no ids, or an id outside the map."""
    array, affine = load_nifti(path)
    ids_XYZ = _whole_ids(array, path)
    return (ids_XYZ if id_map is None else _mapped(ids_XYZ, id_map, path)), affine


def count_ids(label_XYZ: np.ndarray) -> dict[int, int]:
    """Voxels of each id that occurs."""
    counts = np.zeros(1 << (8 * label_XYZ.dtype.itemsize), np.int64)
    # Slab by slab: bincount makes 64-bit integers of what it counts.
    for slab in _slabs(label_XYZ):
        found = np.bincount(slab.ravel(order="K"))
        counts[: len(found)] += found
    return {int(id): int(counts[id]) for id in np.flatnonzero(counts)}


def _slabs(array_XYZ: np.ndarray) -> np.ndarray:
    """Return the slices of an array along the axis that is slowest in memory."""
    return np.moveaxis(array_XYZ, int(np.argmax(np.abs(array_XYZ.strides))), 0)


def _whole_ids(array: np.ndarray, path: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        refuse_wrong_values(np.unique(array), path)
    if high > 0xFFFF:
        raise DataError(f"{path}: wrong label ids (expected 0 to 65535, found {low:g} to {high:g})", "name a mask")
    ids = array.astype(np.uint8 if high <= 0xFF else np.uint16)
    if array.dtype.kind == "f" and any((a != b).any() for a, b in zip(_slabs(array), _slabs(ids), strict=True)):
        refuse_wrong_values(np.unique(array), path)
    return ids


def _mapped(ids_XYZ: np.ndarray, id_map: Mapping[str, int], path: str) -> np.ndarray:
    known = {0: 0} | {int(source): target for source, target in id_map.items()}
    unknown = [id for id in count_ids(ids_XYZ) if id not in known]
    if unknown:
        raise DataError(
            f"{path}: ids {', '.join(map(str, unknown[:10]))} occur and are not in the declared map",
            "map every id that occurs, 0 for what is background",
        )
    table = np.zeros(1 << (8 * ids_XYZ.dtype.itemsize), np.uint8)
    for source, target in known.items():
        if source < len(table):
            table[source] = target
    return table[ids_XYZ]


def _load_scores(path: str) -> tuple[np.ndarray, np.ndarray]:
    array, affine = load_nifti(path)
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{path}: wrong probabilities (expected 0 to 1, found {low:g} to {high:g})", "name a file of probabilities"
        )
    return array.astype(np.float32), affine


def _on_grid(
    path: str, array_XYZ: np.ndarray, affine: np.ndarray, label_path: str, shape: Sequence[int], onto: np.ndarray
) -> np.ndarray:
    aligned_XYZ = align_label(array_XYZ, affine, shape, onto)
    if aligned_XYZ is None:
        raise DataError(
            f"{path}: its grid ({_described(array_XYZ.shape, affine)}) is not that of {label_path} "
            f"({_described(shape, onto)}) in physical space",
            "write both on one grid: that of the scan, or the prepared grid",
        )
    return aligned_XYZ


def _described(shape: Sequence[int], affine: np.ndarray) -> str:
    spacing = " x ".join(f"{mm:.3g}" for mm in spacing_of(affine))
    first = ", ".join(f"{mm:.1f}" for mm in affine[:3, 3])
    return f"{' x '.join(map(str, shape))} voxels of {spacing} mm, the first at ({first})"
