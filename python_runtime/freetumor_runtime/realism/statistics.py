"""Two-sample statistics of tumors of patients: distances, a classifier, permutation nulls, bootstrap intervals.

Equal to SciPy and scikit-learn (Ledoit-Wolf, logistic regression, principal components, AUC) to 1e-9. Rows are tumors;
patients are numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.stats import rankdata

LEVEL = 0.95
# of the logistic regression; the inverse of scikit-learn's C
RIDGE = 1.0
FOLDS = 5
_NEWTON_STEPS = 50
# standardised features beyond this are clipped, so that no single tumor decides
_CLIP = 5.0


@dataclass(frozen=True)
class Sample:
    """Values of both sides [N, F], the side of each row (True: synthetic), and its patient."""

    values: np.ndarray
    synthetic: np.ndarray
    patients: np.ndarray


def without_gaps(values: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Return features [N, F] whose missing values are the median of the reals; 0 for a feature without any."""
    medians = np.zeros(values.shape[1])
    for at, column in enumerate(values.T):
        known = column[~synthetic & np.isfinite(column)]
        medians[at] = np.median(known) if len(known) else 0.0
    return np.where(np.isfinite(values), values, medians)


def standardised(values: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """Return features in units of the reals' standard deviation, from their mean, clipped at 5."""
    mean, spread = reals.mean(0), reals.std(0)
    # a constant feature keeps its unit: a difference in it stays a difference
    unit = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, 1.0)
    return np.clip((values - mean) / unit, -_CLIP, _CLIP)


def ledoit_wolf(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the covariance shrunk towards a multiple of the identity, and the shrinkage (Ledoit and Wolf 2004)."""
    n, features = values.shape
    centred = values - values.mean(0)
    covariance = centred.T @ centred / n
    mu = np.trace(covariance) / features
    squares = centred**2
    beta = ((squares.T @ squares).sum() / n - (covariance**2).sum()) / (n * features)
    delta = ((covariance**2).sum() - features * mu**2) / features
    shrinkage = 0.0 if beta <= 0 or delta <= 0 else float(min(beta, delta) / delta)
    return (1 - shrinkage) * covariance + shrinkage * mu * np.eye(features), shrinkage


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the squared Frechet distance of two Gaussians fitted to rows, with shrunk covariances."""
    mean = first.mean(0) - second.mean(0)
    one, other = ledoit_wolf(first)[0], ledoit_wolf(second)[0]
    root = _square_root(one)
    cross = np.linalg.eigvalsh(root @ other @ root)
    distance = mean @ mean + np.trace(one) + np.trace(other) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(max(0.0, distance))


def _square_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def wasserstein_of_histograms(first: np.ndarray, second: np.ndarray, width: float) -> float:
    """Return the Wasserstein-1 distance of two histograms of equal bins, in the unit of the width."""
    difference = np.cumsum(first / first.sum() - second / second.sum())
    return float(np.abs(difference).sum() * width)


def wasserstein(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Wasserstein-1 distance of the rows of both sides, for each column."""
    values = np.concatenate([first, second])
    order = np.argsort(values, axis=0, kind="stable")
    mass = np.concatenate([np.full(len(first), 1 / len(first)), np.full(len(second), -1 / len(second))])
    difference = np.cumsum(mass[order], axis=0)[:-1]
    return (np.abs(difference) * np.diff(np.take_along_axis(values, order, axis=0), axis=0)).sum(0)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the ROC AUC; ties count half (Mann-Whitney)."""
    ranks = rankdata(scores)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def logistic_regression(values: np.ndarray, positive: np.ndarray, ridge: float = RIDGE) -> tuple[np.ndarray, float]:
    """Return weights and intercept of the logistic regression with an L2 penalty (the intercept is free), by Newton."""
    design = np.column_stack([values, np.ones(len(values))])
    penalty = np.diag([ridge] * values.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])

    def loss(at: np.ndarray) -> float:
        margin = design @ at
        return float(np.logaddexp(0, np.where(positive, -margin, margin)).sum() + at @ penalty @ at / 2)

    now = loss(weights)
    for _ in range(_NEWTON_STEPS):
        probability = _logistic(design @ weights)
        gradient = design.T @ (probability - positive) + penalty @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(curvature)), gradient)
        size = 1.0
        while (after := loss(weights - size * step)) > now + 1e-12 * abs(now) and size > 1e-6:
            size /= 2
        weights, now = weights - size * step, after
        if np.abs(step).max() * size < 1e-12:
            break
    return weights[:-1], float(weights[-1])


def _logistic(margin: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -margin))


def folds_of_patients(synthetic: np.ndarray, patients: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return the fold of each row: a patient is in one fold, and both sides are spread over the folds."""
    folds = np.empty(len(patients), int)
    filled = np.zeros((FOLDS, 2))
    names = draw.permutation(np.unique(patients))
    sizes = {name: np.bincount(synthetic[patients == name].astype(int), minlength=2) for name in names}
    for name in sorted(names, key=lambda one: -sizes[one].sum()):
        lacking = filled @ sizes[name]
        fold = int(lacking.argmin())
        filled[fold] += sizes[name]
        folds[patients == name] = fold
    return folds


def principal_components(values: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of rows [N, F] and their first principal axes [at most `number`, F]; none without variance."""
    mean = values.mean(0)
    centred = values - mean
    wide = values.shape[1] > len(values)
    square = centred @ centred.T if wide else centred.T @ centred
    size = len(square)
    squares, vectors = eigh(square, subset_by_index=[max(0, size - number), size - 1])
    kept = squares > 1e-12 * max(float(np.trace(square)), 1e-300)
    axes = vectors[:, kept].T[::-1]
    if wide:
        axes = axes @ centred / np.sqrt(squares[kept][::-1])[:, None]
    return mean, axes


def cross_validated_scores(sample: Sample, folds: np.ndarray, components: int | None = None) -> np.ndarray:
    """Return the score of each row by a classifier that saw no row of its patient; NaN where a fold cannot be judged.

    Features are standardised on the reals of the training folds; their squares are features too. With `components`, the
    first principal components of the training folds replace the features.
    """
    scores = np.full(len(folds), np.nan)
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        if len(np.unique(sample.synthetic[rest])) < 2:
            continue
        scaled = standardised(sample.values, sample.values[rest & ~sample.synthetic])
        if components is not None:
            mean, axes = principal_components(scaled[rest], components)
            reduced = (scaled - mean) @ axes.T
            scaled = standardised(reduced, reduced[rest & ~sample.synthetic])
        design = np.column_stack([scaled, scaled**2 - 1])
        weights, intercept = logistic_regression(design[rest], sample.synthetic[rest])
        scores[held] = design[held] @ weights + intercept
    return scores


def area_within_folds(
    scores: np.ndarray, synthetic: np.ndarray, folds: np.ndarray, weights: np.ndarray | None = None
) -> float | None:
    """Return the share of pairs of one synthetic and one real row of a fold in the right order; None without a pair.

    Scores of two folds come from two classifiers, so they are not compared.
    """
    right, pairs = 0.0, 0.0
    weight = np.ones(len(scores)) if weights is None else weights
    for fold in np.unique(folds):
        one = (folds == fold) & synthetic & np.isfinite(scores)
        other = (folds == fold) & ~synthetic & np.isfinite(scores)
        difference = scores[one][:, None] - scores[other][None, :]
        mass = weight[one][:, None] * weight[other][None, :]
        right += float(((np.sign(difference) + 1) / 2 * mass).sum())
        pairs += float(mass.sum())
    return right / pairs if pairs > 0 else None


def permuted_sides(synthetic: np.ndarray, patients: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return the sides after an exchange of whole patients: each patient is on one side, before and after."""
    names, place = np.unique(patients, return_inverse=True)
    side = np.zeros(len(names), bool)
    side[place] = synthetic
    return draw.permutation(side)[place]


def permutation_null(
    synthetic: np.ndarray,
    patients: np.ndarray,
    statistic: Callable[[np.ndarray], float | None],
    number: int,
    draw: np.random.Generator,
) -> np.ndarray:
    """Return the statistic of `number` exchanges of patients, each with two rows a side or more."""
    values: list[float] = []
    for _ in range(20 * number):
        sides = permuted_sides(synthetic, patients, draw)
        if min(sides.sum(), (~sides).sum()) < 2:
            continue
        value = statistic(sides)
        if value is not None:
            values.append(value)
        if len(values) == number:
            break
    return np.array(values)


def p_value(observed: float, null: np.ndarray) -> float:
    """Return the share of the null, with the observation, that is at least as large."""
    return float((1 + (null >= observed - 1e-12).sum()) / (1 + len(null)))


def bootstrap(
    synthetic: np.ndarray,
    patients: np.ndarray,
    statistic: Callable[[np.ndarray], float | None],
    number: int,
    draw: np.random.Generator,
) -> np.ndarray:
    """Return the statistic of the rows of resampled patients, drawn with replacement, each side by itself."""
    sides = [_rows_by_patient(np.flatnonzero(rows), patients) for rows in (synthetic, ~synthetic)]
    values = []
    for _ in range(number):
        drawn = [side[at] for side in sides for at in draw.integers(len(side), size=len(side))]
        value = statistic(np.concatenate(drawn))
        if value is not None and np.isfinite(value):
            values.append(value)
    return np.array(values)


def _rows_by_patient(rows: np.ndarray, patients: np.ndarray) -> list[np.ndarray]:
    return [rows[patients[rows] == name] for name in np.unique(patients[rows])]


def percentile_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return the percentile interval; None without values."""
    if len(values) == 0:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def basic_interval(value: float, values: np.ndarray) -> tuple[float, float] | None:
    """Return the interval mirrored at the figure, not below 0: it takes off the upward bias that resampling adds."""
    percentiles = percentile_interval(values)
    if percentiles is None:
        return None
    return max(0.0, 2 * value - percentiles[1]), max(0.0, 2 * value - percentiles[0])


def one_side_each(synthetic: np.ndarray, patients: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return the rows to keep so that no patient is on both sides: of each such patient, one side that is drawn."""
    keep = np.ones(len(patients), bool)
    shared: Sequence = [one for one in np.unique(patients) if len(np.unique(synthetic[patients == one])) == 2]
    for at, name in enumerate(draw.permutation(shared) if len(shared) else []):
        keep[(patients == name) & (synthetic == bool(at % 2))] = False
    return keep
