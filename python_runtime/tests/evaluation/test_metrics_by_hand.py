"""Every measure against a reference that goes voxel by voxel, in plain Python, from its definition."""

import itertools
import math

import numpy as np
import pytest

from freetumor_runtime.evaluation.case_metrics import measure_masks

SPACINGS = {"isotropic": (1.0, 1.0, 1.0), "anisotropic": (0.7, 0.9, 5.0)}
SHAPE = (8, 7, 6)


def noise(seed, share):
    return (np.random.default_rng(seed).random(SHAPE) < share).astype(np.uint8) * 2


def box(*sides):
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(*side) for side in sides)] = 2
    return mask


EMPTY = np.zeros(SHAPE, np.uint8)
PAIRS = {
    "noise": (noise(1, 0.3), noise(2, 0.3)),
    "specks": (noise(3, 0.04), noise(4, 0.04)),
    "half full": (noise(5, 0.6), noise(6, 0.5)),
    "both empty": (EMPTY, EMPTY),
    "nothing predicted": (EMPTY, noise(7, 0.05)),
    "nothing true": (noise(8, 0.05), EMPTY),
    "one voxel each": (box((4, 5), (3, 4), (2, 3)), box((4, 5), (3, 4), (3, 4))),
    "one and the same voxel": (box((0, 1), (0, 1), (0, 1)), box((0, 1), (0, 1), (0, 1))),
    "all of it": (box((0, 8), (0, 7), (0, 6)), box((0, 8), (0, 7), (0, 6))),
    "at the borders": (box((0, 3), (0, 7), (4, 6)), box((0, 2), (0, 7), (3, 6))),
    "corner to corner": (box((0, 2), (0, 2), (0, 2)) + box((2, 4), (2, 4), (2, 4)), box((1, 3), (1, 3), (1, 3))),
    "split in two": (box((1, 3), (1, 6), (1, 3)) + box((5, 8), (1, 6), (1, 3)), box((1, 8), (2, 5), (1, 4))),
    "merged into one": (box((1, 8), (2, 5), (1, 4)), box((1, 3), (1, 6), (1, 3)) + box((5, 8), (1, 6), (1, 3))),
}


@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
@pytest.mark.parametrize(("predicted", "truth"), PAIRS.values(), ids=PAIRS)
def test_measures_are_those_of_their_definitions(predicted, truth, spacing):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = 10, -20, 30
    tolerances = (0.0, 1.0, 2.0, 5.0)
    ours = measure_masks(
        predicted, truth, affine, labels=[1, 2], tumor_labels=[2], nsd_tolerances_mm=tolerances, lesions=True
    )
    mask, label = voxels_of(predicted), voxels_of(truth)
    expected = {
        "truePositive": len(mask & label),
        "falsePositive": len(mask - label),
        "falseNegative": len(label - mask),
        "dice": None if not mask | label else 2 * len(mask & label) / (len(mask) + len(label)),
    }
    for one in (ours["tumor"], ours["labels"][1]):
        assert {key: one[key] for key in expected} == pytest.approx(expected)
        assert one["nsd"] == pytest.approx(surface_dice(mask, label, spacing, tolerances))
    assert ours["labels"][0]["dice"] is None and ours["labels"][0]["nsd"] == [None] * 4
    assert_lesions(ours, pieces_of(mask), pieces_of(label), spacing)


def assert_lesions(ours, predicted, truth, spacing):
    voxel_ml = math.prod(spacing) / 1000
    for kind, pieces, others in (("true", truth, predicted), ("predicted", predicted, truth)):
        found = [one for one in ours["lesions"] if one["kind"] == kind]
        # pieces in the order of their first voxel
        assert [one["voxels"] for one in found] == [len(piece) for piece in pieces]
        for one, piece in zip(found, pieces, strict=True):
            volume_ml = len(piece) * voxel_ml
            centre = [sum(voxel[axis] for voxel in piece) / len(piece) for axis in range(3)]
            assert one["volumeMl"] == pytest.approx(volume_ml)
            assert math.pi / 6 * one["diameterMm"] ** 3 == pytest.approx(1000 * volume_ml)
            world = [origin + mm * at for origin, mm, at in zip((10, -20, 30), spacing, centre, strict=True)]
            assert one["centreMm"] == pytest.approx(world)
            assert one["matched"] == any(piece & other for other in others)
    shared = [(t, p, len(a & b)) for t, a in enumerate(truth) for p, b in enumerate(predicted) if a & b]
    assert sorted(map(tuple, ours["lesionOverlaps"])) == shared


def voxels_of(mask):
    return {at for at in np.ndindex(mask.shape) if mask[at] == 2}


def pieces_of(voxels):
    """26-connected pieces, by flooding from every voxel that none has yet, in the order of the array."""
    pieces, left = [], set(voxels)
    for start in sorted(voxels):
        if start not in left:
            continue
        piece, edge = set(), [start]
        left.discard(start)
        while edge:
            voxel = edge.pop()
            piece.add(voxel)
            for step in itertools.product((-1, 0, 1), repeat=3):
                near = tuple(a + b for a, b in zip(voxel, step, strict=True))
                if near in left:
                    left.discard(near)
                    edge.append(near)
        pieces.append(piece)
    return pieces


def surface_dice(mask, label, spacing, tolerances):
    surfaces = [surface_of(mask), surface_of(label)]
    if not all(surfaces):
        return [0 if any(surfaces) else None] * len(tolerances)
    points = [[[mm * at for mm, at in zip(spacing, voxel, strict=True)] for voxel in one] for one in surfaces]
    distances = [min(math.dist(own, other) for other in b) for a, b in (points, points[::-1]) for own in a]
    return [sum(distance <= limit + 1e-6 for distance in distances) / len(distances) for limit in tolerances]


def surface_of(voxels):
    """Voxels with a face neighbour that is not of the mask; beyond the border nothing is."""
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    return [
        voxel
        for voxel in voxels
        if any(tuple(a + b for a, b in zip(voxel, s, strict=True)) not in voxels for s in steps)
    ]
