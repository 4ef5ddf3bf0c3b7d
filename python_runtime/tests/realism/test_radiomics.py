"""The digital phantom of the IBSI (arXiv 1612.07003, ibsi_1_digital_phantom): published values and tolerances."""

import numpy as np
import pytest

from freetumor_runtime.realism import radiomics

# [z, y, x]; 0 is outside the mask
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
).transpose(2, 1, 0)
MASK = PHANTOM > 0


@pytest.mark.parametrize(
    ("name", "published"),
    [("mean", 2.15), ("skewness", 1.08), ("kurtosis", -0.355), ("p10", 1), ("p50", 1), ("p90", 4)],
)
def test_first_order_features_are_those_of_the_ibsi(name, published):
    assert radiomics.first_order(PHANTOM[MASK].astype(float))[name] == pytest.approx(published, abs=0.005)


def test_the_variance_is_that_of_the_ibsi():
    assert radiomics.first_order(PHANTOM[MASK].astype(float))["sd"] ** 2 == pytest.approx(3.05, abs=0.005)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("jointAverage", 2.15),
        ("jointEntropy", 2.57),
        ("angularSecondMoment", 0.291),
        ("contrast", 5.12),
        ("differenceAverage", 1.38),
        ("inverseDifferenceMoment", 0.631),
        ("correlation", 0.183),
    ],
)
def test_co_occurrence_features_are_those_of_the_ibsi(name, published):
    """3-D, merged."""
    found = radiomics.co_occurrence(PHANTOM, MASK)
    assert found is not None
    assert found[name] == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        ("meshVolume", 556, 4),
        ("surface", 388, 3),
        ("compactness1", 0.0411, 0.0003),
        ("compactness2", 0.599, 0.004),
        ("sphericity", 0.843, 0.005),
        ("majorAxis", 11.4, 0.1),
        ("elongation", 0.816, 0.005),
        ("flatness", 0.749, 0.005),
    ],
)
def test_shape_features_are_those_of_the_ibsi(name, published, tolerance):
    assert radiomics.shape(MASK, [2, 2, 2])[name] == pytest.approx(published, abs=tolerance)


def test_a_ball_is_rounder_than_a_spiked_ball():
    grid = np.indices((41, 41, 41)) - 20
    distance = np.sqrt((grid**2).sum(0))
    ball = distance <= 15
    spiked = (distance <= 11) | ((np.abs(grid).sum(0) - np.abs(grid).max(0) <= 2) & (distance <= 19))
    round_one, spiky = (radiomics.shape(mask, [1, 1, 1]) for mask in (ball, spiked))
    assert round_one["sphericity"] > spiky["sphericity"] + 0.1
    assert round_one["spiculation"] < 0.05 < spiky["spiculation"]


def test_the_mesh_of_a_box_has_nearly_its_volume_and_surface():
    box = np.zeros((14, 14, 14), bool)
    box[2:12, 2:12, 2:12] = True
    for spacing in ([1, 1, 1], [0.7, 1.1, 3]):
        volume, surface = radiomics.mesh_volume_and_surface(box, spacing)
        x, y, z = (10 * mm for mm in spacing)
        assert volume == pytest.approx(x * y * z, rel=0.02)
        assert surface == pytest.approx(2 * (x * y + y * z + x * z), rel=0.08)


def test_a_region_without_neighbours_has_no_co_occurrence():
    levels = np.ones((3, 3, 3), int)
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    assert radiomics.co_occurrence(levels, mask) is None
