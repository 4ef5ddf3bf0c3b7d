"""Lesions: 26-connected components of all tumor labels together, and the voxels that mask and label share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from freetumor_runtime.data.components import components
from freetumor_runtime.evaluation.lesion_rule import TOUCHING, FoundLesions
from freetumor_runtime.evaluation.masks import is_any


def find_lesions(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    affine: np.ndarray,
    tumor_labels: Sequence[int],
    score_XYZ: np.ndarray | None = None,
) -> dict[str, list]:
    """`lesions`, true ones first; `lesionOverlaps`, rows (true, predicted, shared voxels) by place within each kind.

    `matched` by any voxel of the other side. The score of a predicted lesion is the highest in it; else None.
    """
    predicted, truth = (is_any(ids, tumor_labels) for ids in (predicted_XYZ, truth_XYZ))
    if not (predicted.any() or truth.any()):
        return {"lesions": [], "lesionOverlaps": []}
    predicted_pieces, truth_pieces = (components(mask, TOUCHING) for mask in (predicted, truth))
    shared = (predicted_pieces > 0) & (truth_pieces > 0)
    pairs, voxels = np.unique(np.stack([truth_pieces[shared], predicted_pieces[shared]]), axis=1, return_counts=True)
    matched_true, matched_predicted = (set(numbers.tolist()) for numbers in pairs)
    return {
        "lesions": [
            *_pieces("true", truth_pieces, truth_XYZ, matched_true, affine, None),
            *_pieces("predicted", predicted_pieces, predicted_XYZ, matched_predicted, affine, score_XYZ),
        ],
        "lesionOverlaps": [
            [int(one) - 1, int(other) - 1, int(count)] for (one, other), count in zip(pairs.T, voxels, strict=True)
        ],
    }


def _pieces(
    kind: str,
    pieces_XYZ: np.ndarray,
    ids_XYZ: np.ndarray,
    matched: set[int],
    affine: np.ndarray,
    score_XYZ: np.ndarray | None,
) -> list[dict[str, Any]]:
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    found = []
    for number, box in enumerate(ndimage.find_objects(pieces_XYZ), start=1):
        piece = pieces_XYZ[box] == number
        voxels = np.argwhere(piece)
        centre = voxels.mean(0) + [side.start for side in box]
        volume_mm3 = len(voxels) * voxel_mm3
        found.append(
            {
                "kind": kind,
                "label": int(np.bincount(ids_XYZ[box][piece]).argmax()),
                "voxels": len(voxels),
                "volumeMl": volume_mm3 / 1000,
                "diameterMm": float((6 * volume_mm3 / np.pi) ** (1 / 3)),
                "centreMm": (affine[:3, :3] @ centre + affine[:3, 3]).tolist(),
                "score": None if score_XYZ is None else float(score_XYZ[box][piece].max()),
                "matched": number in matched,
            }
        )
    return found


def lesion_features(
    predicted_XYZ: np.ndarray,
    affine: np.ndarray,
    tumor_labels: Sequence[int],
    score_XYZ: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Return the features of predicted lesions that an operating point may use, in the order of `find_lesions`."""
    found = FoundLesions(predicted_XYZ, tumor_labels)
    if score_XYZ is not None:
        found.add_all_scores(score_XYZ)
    kept = ("meanProbability", "elongation", "compactness", "organContact")
    return [{name: lesion.features[name] for name in kept} for lesion in found.features(predicted_XYZ, affine)]
