"""Lesions of a mask, their features, and an operating point that removes some (docs/method.md#operating-points).

Predictions and evaluations call the same functions, so that both remove the same lesions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from freetumor_runtime.config.cases import OperatingPointSpec
from freetumor_runtime.data.components import components
from freetumor_runtime.evaluation.masks import Box, box_around, is_any

TOUCHING = np.ones((3, 3, 3), bool)
# of the variance of the places in a voxel of side 1
_VOXEL_VARIANCE = 1 / 12
# keeps the logarithm of the odds of probabilities 0 and 1 finite
_LEAST_PROBABILITY = 1e-6
_OF_PROBABILITIES = {"probability", "probabilityLogit", "meanProbability", "meanProbabilityLogit"}

# By name; null where there are no probabilities.
Features = Mapping[str, float | None]


def needs_probabilities(rule: OperatingPointSpec | None) -> bool:
    return rule is not None and any(term.feature in _OF_PROBABILITIES for term in rule.terms)


@dataclass(frozen=True)
class RemovedLesions:
    kept: int
    removed: int


class FoundLesions:
    """The 26-connected components of all tumor ids together, and the probabilities in them."""

    def __init__(self, ids_XYZ: np.ndarray, tumor_ids: Sequence[int]) -> None:
        tumor_XYZ = is_any(ids_XYZ, tumor_ids)
        self.box: Box = box_around(tumor_XYZ) or (slice(0, 0),) * ids_XYZ.ndim
        self.numbers = components(tumor_XYZ[self.box], TOUCHING) if tumor_XYZ.any() else tumor_XYZ[self.box].astype(int)
        self.count = int(self.numbers.max(initial=0))
        self._maxima = np.zeros(self.count + 1)
        self._sums = np.zeros(self.count + 1)
        self.scored = False

    def add_scores(self, place: Sequence[slice], scores: np.ndarray) -> None:
        """Add the tumor probabilities of a part of the volume; each voxel of a lesion is added once."""
        self.scored = True
        overlap = [
            (max(own.start, part.start), min(own.stop, part.stop))
            for own, part in zip(self.box, _starts(place, scores.shape), strict=True)
        ]
        if any(start >= stop for start, stop in overlap):
            return
        parts = zip(overlap, self.box, _starts(place, scores.shape), strict=True)
        of_box, of_part = [], []
        for (start, stop), own, part in parts:
            of_box.append(slice(start - own.start, stop - own.start))
            of_part.append(slice(start - part.start, stop - part.start))
        numbers = self.numbers[tuple(of_box)]
        inside = numbers > 0
        found, values = numbers[inside], scores[tuple(of_part)][inside].astype(np.float64)
        np.maximum.at(self._maxima, found, values)
        self._sums += np.bincount(found, values, self.count + 1)

    def add_all_scores(self, scores_XYZ: np.ndarray) -> None:
        self.add_scores([slice(None)] * scores_XYZ.ndim, scores_XYZ)

    def features(self, ids_XYZ: np.ndarray, affine: np.ndarray) -> list["Lesion"]:
        """Return all lesions in order of their number. Voxels outside the array count as background."""
        voxels = np.bincount(self.numbers.ravel(), minlength=self.count + 1)
        found = []
        for number, within in enumerate(ndimage.find_objects(self.numbers) if self.count else [], start=1):
            piece = self.numbers[within] == number
            box = tuple(
                slice(own.start + side.start, own.start + side.stop) for own, side in zip(self.box, within, strict=True)
            )
            score = float(self._maxima[number]) if self.scored else None
            mean = float(self._sums[number] / voxels[number]) if self.scored else None
            found.append(_lesion(ids_XYZ, box, piece, affine, score, mean))
        return found


@dataclass(frozen=True)
class Lesion:
    box: Box
    piece: np.ndarray
    # the most frequent tumor id in it
    label: int
    features: Features
    # the most frequent id around it
    around: int


def rule_value(rule: OperatingPointSpec, lesion: Lesion) -> float:
    return rule.intercept + sum(term.weight * _value(term.feature, term.label, lesion) for term in rule.terms)


def without_lesions(
    ids_XYZ: np.ndarray, affine: np.ndarray, found: FoundLesions, rule: OperatingPointSpec
) -> tuple[np.ndarray, RemovedLesions]:
    """Return a label map without the lesions below the threshold; they get the most frequent id around them."""
    lesions = found.features(ids_XYZ, affine)
    removed = [lesion for lesion in lesions if rule_value(rule, lesion) < rule.threshold]
    if removed:
        ids_XYZ = ids_XYZ.copy(order="K")
    for lesion in removed:
        ids_XYZ[lesion.box][lesion.piece] = lesion.around
    return ids_XYZ, RemovedLesions(len(lesions) - len(removed), len(removed))


def _lesion(
    ids_XYZ: np.ndarray,
    box: Box,
    piece: np.ndarray,
    affine: np.ndarray,
    probability: float | None,
    mean_probability: float | None,
) -> Lesion:
    elongation, compactness = _shape(piece, affine)
    contact, around = _surroundings(ids_XYZ, box, piece)
    features = {
        "probability": probability,
        "meanProbability": mean_probability,
        "volumeMl": int(np.count_nonzero(piece)) * abs(np.linalg.det(affine[:3, :3])) / 1000,
        "elongation": elongation,
        "compactness": compactness,
        "organContact": contact,
    }
    return Lesion(box, piece, int(np.bincount(ids_XYZ[box][piece]).argmax()), features, around)


def _shape(piece: np.ndarray, affine: np.ndarray) -> tuple[float, float]:
    """Return the longest by the shortest axis of the ellipsoid with the same moments, and volume by its volume."""
    to_mm = affine[:3, :3]
    places = np.argwhere(piece) @ to_mm.T
    # a voxel is a box, not a point, so that one voxel has a size
    covariance = np.cov(places, rowvar=False, bias=True) + _VOXEL_VARIANCE * to_mm @ to_mm.T
    variances = np.linalg.eigvalsh(covariance)
    ellipsoid = 4 / 3 * np.pi * np.sqrt(5**3 * np.prod(variances))
    volume = len(places) * abs(np.linalg.det(to_mm))
    return float(np.sqrt(variances[-1] / variances[0])), float(volume / ellipsoid)


def _surroundings(ids_XYZ: np.ndarray, box: Box, piece: np.ndarray) -> tuple[float, int]:
    """Return the fraction of the voxels around a lesion with an id above 0, and the most frequent id there."""
    padded = np.pad(piece, 1)
    shell = ndimage.binary_dilation(padded, TOUCHING) & ~padded
    ids = np.zeros(padded.shape, ids_XYZ.dtype)
    outer = [
        slice(max(0, side.start - 1), min(side.stop + 1, length))
        for side, length in zip(box, ids_XYZ.shape, strict=True)
    ]
    inner = [slice(one.start - side.start + 1, one.stop - side.start + 1) for one, side in zip(outer, box, strict=True)]
    ids[tuple(inner)] = ids_XYZ[tuple(outer)]
    around = ids[shell]
    return float(np.count_nonzero(around) / around.size), int(np.bincount(around).argmax())


def _value(feature: str, label: int | None, lesion: Lesion) -> float:
    if feature == "label":
        return float(lesion.label == label)
    if feature in ("probabilityLogit", "meanProbabilityLogit"):
        return _log_odds(_number(lesion.features, feature.removesuffix("Logit")))
    if feature in ("logVolumeMl", "logElongation"):
        name = feature.removeprefix("log")
        return math.log(_number(lesion.features, name[0].lower() + name[1:]))
    return _number(lesion.features, feature)


def _number(features: Features, name: str) -> float:
    value = features[name]
    assert value is not None, f"{name} without probabilities"
    return value


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)
    return math.log(clipped / (1 - clipped))


def _starts(place: Sequence[slice], shape: Sequence[int]) -> list[slice]:
    """Return slices with start and stop, also for `slice(None)`."""
    return [slice(side.start or 0, (side.start or 0) + length) for side, length in zip(place, shape, strict=True)]
