"""Statistics against SciPy, and against figures of scikit-learn 1.9.1 on the same random numbers."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import mannwhitneyu, wasserstein_distance

from freetumor_runtime.realism import statistics as st

CLOSE = {"rel": 1e-9, "abs": 1e-9}


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.RandomState(7)  # the legacy generator never changes
    values = draw.normal(size=(60, 5)) @ draw.normal(size=(5, 5))
    return values, values[:, 0] + draw.normal(size=60) > 0


def test_the_shrunk_covariance_is_that_of_scikit_learn(sample):
    covariance, shrinkage = st.ledoit_wolf(sample[0])
    assert shrinkage == pytest.approx(0.066747560895677, **CLOSE)
    assert covariance[0, 0] == pytest.approx(1.4937418587881992, **CLOSE)
    assert covariance[1, 3] == pytest.approx(-1.7709157515246234, **CLOSE)
    assert np.trace(covariance) == pytest.approx(25.113875211634515, **CLOSE)


@pytest.mark.parametrize(
    ("ridge", "weights", "intercept"),
    [
        (
            1.0,
            [0.9249059907467426, -0.3373642554187157, 0.2840718689904959, -0.4760717215453471, 0.5956453574470518],
            -0.5347384995274236,
        ),
        (
            0.1,
            [1.1312593213032947, -0.31524914302484225, 0.6948130471570138, -0.5789683007920916, 1.0870125752319264],
            -0.5559086470174768,
        ),
    ],
)
def test_the_logistic_regression_is_that_of_scikit_learn(sample, ridge, weights, intercept):
    found, constant = st.logistic_regression(*sample, ridge=ridge)
    assert found == pytest.approx(weights, **CLOSE)
    assert constant == pytest.approx(intercept, **CLOSE)


def test_the_logistic_regression_of_separable_rows_is_finite():
    values = np.array([[-2.0], [-1.0], [1.0], [2.0]]) * 1000
    weights, _ = st.logistic_regression(values, values[:, 0] > 0)
    assert np.isfinite(weights).all() and weights[0] > 0


def test_the_area_under_the_curve_is_that_of_scikit_learn_and_scipy(sample):
    scores, positive = np.round(sample[0][:, 0], 1), sample[1]
    area = st.area_under_curve(scores, positive)
    assert area == pytest.approx(0.8290246768507639, **CLOSE)
    test = mannwhitneyu(scores[positive], scores[~positive])
    assert area == pytest.approx(test.statistic / (positive.sum() * (~positive).sum()), **CLOSE)
    folds = np.zeros(len(scores), int)
    assert st.area_within_folds(scores, positive, folds) == pytest.approx(area, **CLOSE)


def sample_of_patients(features: int) -> tuple[st.Sample, np.ndarray]:
    """Return rows of 20 patients and their folds; scikit-learn got the same ones."""
    draw = np.random.RandomState(11)
    values = draw.normal(size=(60, 6)) @ draw.normal(size=(6, features)) + 0.5 * draw.normal(size=(60, features))
    patients = np.repeat(np.arange(20), 3)
    synthetic = patients % 2 == 0
    values[synthetic] += 0.7 * draw.normal(size=features)
    return st.Sample(values, synthetic, patients), patients // 2 % 5


@pytest.mark.parametrize(
    ("features", "expected", "area"),
    [
        # fewer features than rows, and more
        (12, [1.6311125787757754, 0.8661173041197943, 0.6363975538081119], 0.6333333333333333),
        (90, [0.46093480589692226, -0.43764544863206156, 0.3348997931211078], 0.5),
    ],
)
def test_scores_by_principal_components_are_those_of_scikit_learn(features, expected, area):
    """StandardScaler, PCA(4), StandardScaler, LogisticRegression on components and squares, fitted on each training."""
    sample, folds = sample_of_patients(features)
    scores = st.cross_validated_scores(sample, folds, components=4)
    assert scores[[0, 31, 59]] == pytest.approx(expected, **CLOSE)
    assert st.area_within_folds(scores, sample.synthetic, folds) == pytest.approx(area, **CLOSE)


def test_a_held_out_row_does_not_change_the_components():
    sample, folds = sample_of_patients(90)
    before = st.cross_validated_scores(sample, folds, components=4)
    held = np.flatnonzero(folds == folds[0])
    values = sample.values.copy()
    values[held[1:]] *= 1000
    after = st.cross_validated_scores(st.Sample(values, sample.synthetic, sample.patients), folds, components=4)
    assert after[held[0]] == before[held[0]]
    assert (after[folds != folds[0]] != before[folds != folds[0]]).all()


def test_components_without_variance_are_left_out():
    values = np.outer(np.arange(10.0), [1.0, 2.0, 0.0])
    mean, axes = st.principal_components(values, 8)
    assert axes == pytest.approx(np.array([[1, 2, 0]]) / np.sqrt(5)) or axes == pytest.approx(
        np.array([[-1, -2, 0]]) / np.sqrt(5)
    )
    assert st.principal_components(values * 0, 8)[1].shape == (0, 3)
    assert mean == pytest.approx([4.5, 9, 0])


def test_the_frechet_distance_is_that_of_a_matrix_square_root(sample):
    first, second = sample[0][:35], sample[0][35:] + 0.3
    one, other = st.ledoit_wolf(first)[0], st.ledoit_wolf(second)[0]
    mean = first.mean(0) - second.mean(0)
    expected = mean @ mean + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert st.frechet_distance(first, second) == pytest.approx(expected, **CLOSE)
    assert st.frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_wasserstein_distances_are_those_of_scipy(sample):
    first, second = np.round(sample[0][:20], 1), np.round(sample[0][20:], 1)
    expected = [wasserstein_distance(one, other) for one, other in zip(first.T, second.T, strict=True)]
    assert st.wasserstein(first, second) == pytest.approx(expected, **CLOSE)
    bins = np.arange(40) * 5.0
    one, other = np.abs(sample[0][:40, 0]), np.abs(sample[0][:40, 1])
    assert st.wasserstein_of_histograms(one, other, 5.0) == pytest.approx(
        wasserstein_distance(bins, bins, one, other), **CLOSE
    )


def test_the_p_value_counts_the_observation():
    assert st.p_value(3.0, np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(3 / 5)
    assert st.p_value(9.0, np.zeros(99)) == pytest.approx(0.01)


def test_folds_keep_a_patient_together_and_spread_both_sides():
    draw = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 3)
    synthetic = patients % 2 == 0
    folds = st.folds_of_patients(synthetic, patients, draw)
    assert all(len(np.unique(folds[patients == one])) == 1 for one in range(30))
    for fold in range(st.FOLDS):
        assert 6 <= synthetic[folds == fold].sum() <= 12


def test_no_patient_stays_on_both_sides():
    patients = np.repeat(np.arange(20), 2)
    synthetic = np.tile([True, False], 20)
    synthetic[patients >= 16] = True
    keep = st.one_side_each(synthetic, patients, np.random.default_rng(1))
    for one in range(16):
        assert len(np.unique(synthetic[keep & (patients == one)])) == 1
    assert keep[patients >= 16].all()
    assert synthetic[keep & (patients < 16)].sum() == 8


def test_an_exchange_moves_whole_patients():
    patients = np.array([0, 0, 1, 2, 2, 3])
    synthetic = np.array([True, True, False, False, False, True])
    for seed in range(20):
        moved = st.permuted_sides(synthetic, patients, np.random.default_rng(seed))
        assert moved[0] == moved[1] and moved[3] == moved[4]
        assert len({(patients[row], moved[row]) for row in range(6)}) == 4


def test_a_held_out_patient_does_not_help_the_classifier():
    """Rows of a patient are alike; without folds of patients, the classifier would know them."""
    draw = np.random.default_rng(3)
    patients = np.repeat(np.arange(40), 5)
    synthetic = patients % 2 == 0
    values = draw.normal(size=(40, 8))[patients] + 0.01 * draw.normal(size=(200, 8))
    folds = st.folds_of_patients(synthetic, patients, draw)
    scores = st.cross_validated_scores(st.Sample(values, synthetic, patients), folds)
    area = st.area_within_folds(scores, synthetic, folds)
    assert area is not None and 0.25 < area < 0.75


def test_the_basic_interval_mirrors_the_resamples():
    assert st.basic_interval(5.0, np.linspace(5, 7, 101)) == pytest.approx((3.05, 4.95))
    assert st.basic_interval(1.0, np.linspace(2, 3, 101)) == (0.0, 0.0)
    assert st.percentile_interval(np.array([])) is None
