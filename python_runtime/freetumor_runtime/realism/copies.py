"""Search for copies: the most similar patch of a library, whatever the shift, flip and scale of the copy.

Similarity is the normalised cross-correlation of two patches, at most 1. The lead is its distance to the similarity of
the second (Fisher's z): a copy stands out. Both thresholds come from the reals, each compared with other patients.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.fft import irfftn, rfftn

from freetumor_runtime.realism.patches import SIDE, normalised

# Relative to the scale by size, which is nearly right already.
SCALES = (0.9, 1.0, 1.1)
FLIPS = [axes for number in range(4) for axes in itertools.combinations(range(3), number)]
# Candidates of each query that are aligned; shifts of a candidate (voxels of a patch).
CANDIDATES = 6
_SHIFT = 4
# Shifts of the choice of candidates, in voxels of half the resolution.
_COARSE_SHIFTS = list(itertools.product((-1, 0, 1), repeat=3))
# Flips and scales whose peak is interpolated between the shifts.
_REFINED = 4
# An interpolated peak is at most this much higher: a neighbour outside the allowed shifts may be higher than the peak.
_MOST_GAIN = 0.15
_PADDED = 32
# Below this number of real tumors, there is no threshold.
MIN_REALS = 20
# Robust standard deviations above the middle of the reals (Fisher's z).
_DEVIATIONS = 4.0
# Chance of a lead above its threshold, if leads of tumors that are no copies fall exponentially.
_LEAD_CHANCE = 1e-3


@dataclass(frozen=True)
class Nearest:
    """The row of the most similar patch, its similarity, and its lead over the second."""

    row: int
    similarity: float
    lead: float


def nearest(query: np.ndarray, library: np.ndarray, allowed: np.ndarray) -> Nearest | None:
    """Return the most similar patch of the library [N, SIDE^3] among the allowed ones.

    Candidates are chosen on patches of half the resolution, over all flips and shifts by one of their voxels. None
    without a texture or a candidate.
    """
    rows = np.flatnonzero(allowed)
    if len(rows) == 0 or not query.any():
        return None
    half = _halved(query[None])[0]
    moved = np.stack(
        [np.roll(np.flip(half, axes), shift, (0, 1, 2)).ravel() for axes in FLIPS for shift in _COARSE_SHIFTS]
    )
    coarse = np.concatenate(
        [(_halved(library[part].astype(np.float32)).reshape(len(part), -1) @ moved.T).max(1) for part in _parts(rows)],
    )
    order = np.argsort(-coarse, kind="stable")[:CANDIDATES]
    spectra = _spectra(query)
    found = [(int(rows[at]), aligned_similarity(spectra, library[rows[at]].reshape((SIDE,) * 3))) for at in order]
    found.sort(key=lambda one: -one[1])
    lead = _fisher(found[0][1]) - _fisher(found[1][1]) if len(found) > 1 else 0.0
    return Nearest(found[0][0], found[0][1], float(lead))


def _halved(patches: np.ndarray) -> np.ndarray:
    """Return patches [N, ...] of half the resolution [N, SIDE/2, SIDE/2, SIDE/2]."""
    half = SIDE // 2
    return patches.reshape(-1, half, 2, half, 2, half, 2).mean((2, 4, 6))


def _fisher(similarity: float | np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(similarity, -0.999999, 0.999999))


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), 256):
        yield rows[start : start + 256]


def _spectra(query: np.ndarray) -> np.ndarray:
    """Return the conjugate spectra of the query in all flips and scales."""
    turned = [np.flip(_scaled(query, scale), axes) for scale in SCALES for axes in FLIPS]
    padded = np.zeros((len(turned), _PADDED, _PADDED, _PADDED), np.float32)
    padded[:, :SIDE, :SIDE, :SIDE] = np.stack(turned)
    return np.conj(np.asarray(rfftn(padded, axes=(1, 2, 3))))


def _scaled(patch: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return patch
    offset = (SIDE - 1) / 2 * (1 - 1 / scale)
    return normalised(ndimage.affine_transform(patch, [1 / scale] * 3, offset, order=1, mode="constant"))


def aligned_similarity(spectra: np.ndarray, candidate: np.ndarray) -> float:
    """Return the largest correlation over flips, scales and shifts."""
    padded = np.zeros((_PADDED,) * 3, np.float32)
    padded[:SIDE, :SIDE, :SIDE] = candidate
    spectrum = np.asarray(rfftn(padded))
    correlation = np.asarray(irfftn(spectra * spectrum[None], s=(_PADDED,) * 3, axes=(1, 2, 3)))
    near = np.r_[0 : _SHIFT + 1, _PADDED - _SHIFT : _PADDED]
    allowed = correlation[:, near][:, :, near][:, :, :, near].reshape(len(spectra), -1)
    best = 0.0
    for turn in np.argsort(-allowed.max(1))[:_REFINED]:
        peak = near[list(np.unravel_index(int(allowed[turn].argmax()), (len(near),) * 3))]
        best = max(best, _between_voxels(correlation[turn], peak))
    return min(1.0, best)


def _between_voxels(correlation: np.ndarray, peak: np.ndarray) -> float:
    """Return the top of the parabolas through the peak and its neighbours along each axis."""
    top = float(correlation[tuple(peak)])
    gain = 0.0
    for step in np.eye(3, dtype=int):
        above = float(correlation[tuple((peak + step) % _PADDED)])
        below = float(correlation[tuple((peak - step) % _PADDED)])
        curvature = 2 * top - above - below
        if curvature > 0:
            gain += min((above - below) ** 2 / (8 * curvature), _MOST_GAIN * abs(top))
    return top + gain


def threshold_of(similarities: np.ndarray) -> float | None:
    """Return the similarity above which a tumor counts as a copy; None with too few reals."""
    if len(similarities) < MIN_REALS:
        return None
    z = _fisher(similarities)
    middle = float(np.median(z))
    spread = 1.4826 * float(np.median(np.abs(z - middle)))
    return float(np.tanh(middle + _DEVIATIONS * max(spread, 0.01)))


def lead_threshold_of(leads: np.ndarray) -> float | None:
    """Return the lead above which a tumor counts as a copy; None with too few reals."""
    if len(leads) < MIN_REALS:
        return None
    return float(-np.log(_LEAD_CHANCE) * max(float(np.median(leads)) / np.log(2), 0.005))
