"""Features of lesions against NumPy by hand, and the lesions that an operating point removes."""

import math

import numpy as np
import pytest

from freetumor_runtime.config.cases import OperatingPointSpec, RuleTermSpec
from freetumor_runtime.evaluation.case_metrics import measure_masks
from freetumor_runtime.evaluation.lesion_rule import FoundLesions, rule_value, without_lesions

AFFINE = np.array([[-0.8, 0, 0, 40], [0, 0, 1.2, 30], [0, -2.5, 0, -20], [0, 0, 0, 1.0]])
TUMORS = (2, 4)


@pytest.fixture
def ids():
    """A liver (1) with a rod of tumor (2), one tumor voxel in its corner, and a tumor (4) in air at the border."""
    ids = np.zeros((30, 24, 20), np.uint8)
    ids[4:20, 4:20, 4:16] = 1
    ids[6:16, 8:10, 6:8] = 2
    ids[4, 4, 4] = 2
    ids[28:30, 20:23, 0:3] = 4
    return ids


def rule(*terms, intercept=0.0, threshold=0.0):
    return OperatingPointSpec(TUMORS, tuple(RuleTermSpec(*term) for term in terms), intercept, threshold)


def lesions_of(ids, scores=None):
    found = FoundLesions(ids, TUMORS)
    if scores is not None:
        found.add_all_scores(scores)
    return found.features(ids, AFFINE)


def test_features_equal_those_by_hand(ids):
    scores = np.random.default_rng(0).random(ids.shape, np.float32)
    voxel, rod, block = lesions_of(ids, scores)
    assert (voxel.label, rod.label, block.label) == (2, 2, 4)
    volume = 0.8 * 1.2 * 2.5
    # a box of a voxel: the variance of a uniform distribution is side^2 / 12
    sides = np.array([0.8, 1.2, 2.5])
    assert voxel.features["elongation"] == pytest.approx(sides.max() / sides.min(), abs=1e-12)
    assert voxel.features["volumeMl"] == pytest.approx(volume / 1000, abs=1e-15)
    assert voxel.features["organContact"] == 7 / 26
    assert voxel.around == 0
    rod_mm = np.array([10 * 0.8, 2 * 2.5, 2 * 1.2])
    assert rod.features["elongation"] == pytest.approx(rod_mm.max() / rod_mm.min(), abs=1e-12)
    ellipsoid = 4 / 3 * math.pi * math.sqrt(5**3) * np.prod(rod_mm / math.sqrt(12))
    assert rod.features["compactness"] == pytest.approx(np.prod(rod_mm) / ellipsoid, abs=1e-12)
    assert (rod.features["organContact"], rod.around) == (1, 1)
    values = scores[ids == 2][1:].astype(np.float64)
    assert rod.features["probability"] == scores[6:16, 8:10, 6:8].max()
    assert rod.features["meanProbability"] == pytest.approx(scores[6:16, 8:10, 6:8].astype(float).mean(), abs=1e-15)
    assert len(values) == 40
    assert (block.features["organContact"], block.around) == (0, 0)


def test_shape_of_a_slanted_lesion_equals_its_principal_axes():
    ids = np.zeros((40, 40, 40), np.uint8)
    for at in range(5, 30):
        ids[at, at : at + 3, at : at + 2] = 2
    places = np.argwhere(ids == 2) @ AFFINE[:3, :3].T
    centred = places - places.mean(0)
    covariance = centred.T @ centred / len(places) + AFFINE[:3, :3] @ AFFINE[:3, :3].T / 12
    axes = np.sqrt(np.linalg.svd(covariance, compute_uv=False))
    (lesion,) = lesions_of(ids)
    assert lesion.features["elongation"] == pytest.approx(axes[0] / axes[2], rel=1e-12)


def test_features_do_not_depend_on_the_order_of_axes_or_on_the_parts_of_the_scores(ids):
    scores = np.random.default_rng(1).random(ids.shape, np.float32)
    turned = ids.transpose(2, 0, 1)[::-1]
    found = FoundLesions(turned, TUMORS)
    found.add_all_scores(scores.transpose(2, 0, 1)[::-1])
    moved = AFFINE.copy()
    moved[:3, :3] = AFFINE[:3, :3][:, [2, 0, 1]] * [-1, 1, 1]
    by_volume = sorted(found.features(turned, moved), key=lambda one: one.features["volumeMl"])
    parts = FoundLesions(ids, TUMORS)
    for start in range(0, 30, 7):
        parts.add_scores((slice(start, start + 7), slice(None), slice(None)), scores[start : start + 7])
    expected = sorted(parts.features(ids, AFFINE), key=lambda one: one.features["volumeMl"])
    for one, other in zip(by_volume, expected, strict=True):
        assert one.features == pytest.approx(other.features, rel=1e-12)
        assert one.around == other.around


def test_a_rule_weighs_features_and_the_label(ids):
    scores = np.full(ids.shape, 0.75, np.float32)
    _, rod, block = lesions_of(ids, scores)
    one = rule(("probabilityLogit", None, 2.0), ("logVolumeMl", None, -1.0), ("label", 4, 10.0), intercept=0.5)
    by_hand = 0.5 + 2 * math.log(3) - math.log(40 * 0.8 * 1.2 * 2.5 / 1000)
    assert rule_value(one, rod) == pytest.approx(by_hand, abs=1e-12)
    assert rule_value(one, block) > 10
    # the logarithm of the odds of 1 stays finite
    certain = lesions_of(ids, np.ones(ids.shape, np.float32))[1]
    assert rule_value(rule(("meanProbabilityLogit", None, 1.0)), certain) == pytest.approx(math.log(1e6), rel=1e-5)


def test_removed_lesions_become_what_surrounds_them(ids):
    scores = np.full(ids.shape, 0.9, np.float32)
    scores[6:16, 8:10, 6:8] = 0.4
    found = FoundLesions(ids, TUMORS)
    found.add_all_scores(scores)
    kept, counts = without_lesions(ids, AFFINE, found, rule(("probability", None, 1.0), threshold=0.6))
    assert (counts.kept, counts.removed) == (2, 1)
    assert (kept[6:16, 8:10, 6:8] == 1).all()
    assert np.count_nonzero(kept != ids) == 40
    none, counts = without_lesions(ids, AFFINE, found, rule(("probability", None, 1.0), threshold=2))
    assert (counts.kept, counts.removed) == (0, 3)
    assert not np.isin(none, TUMORS).any() and none[4, 4, 4] == 0


def test_a_mask_without_a_tumor_stays_as_it_is():
    ids = np.ones((4, 4, 4), np.uint8)
    found = FoundLesions(ids, TUMORS)
    found.add_all_scores(np.ones(ids.shape, np.float32))
    kept, counts = without_lesions(ids, AFFINE, found, rule(("volumeMl", None, 1.0), threshold=9))
    assert kept is ids and (counts.kept, counts.removed) == (0, 0)


def test_measures_state_the_features_of_predicted_lesions(ids):
    scores = np.full(ids.shape, 0.5, np.float32)
    measure = {"labels": (1, 2, 4), "tumor_labels": TUMORS, "nsd_tolerances_mm": (), "lesions": True}
    truth = np.where(ids == 4, 0, ids)
    measured = measure_masks(ids, truth, AFFINE, score_XYZ=scores, lesion_features=True, **measure)
    predicted = [lesion for lesion in measured["lesions"] if lesion["kind"] == "predicted"]
    for lesion, own in zip(predicted, lesions_of(ids, scores), strict=True):
        assert lesion["features"] == pytest.approx({name: own.features[name] for name in lesion["features"]})
        assert lesion["volumeMl"] == pytest.approx(own.features["volumeMl"], rel=1e-12)
    assert all("features" not in lesion for lesion in measured["lesions"] if lesion["kind"] == "true")
    plain = measure_masks(ids, truth, AFFINE, score_XYZ=scores, **measure)
    assert all("features" not in lesion for lesion in plain["lesions"])
