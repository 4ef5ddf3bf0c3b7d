"""Copies of a tumor in another scan: shifted, flipped, scaled, with other HU and noise."""

import numpy as np
import pytest
from scipy import ndimage

from freetumor_runtime.realism import copies
from freetumor_runtime.realism.patches import surroundings_patch, tumor_patch
from freetumor_runtime.realism.zones import FoundTumor, Zones, zones_of

ORGAN, TUMOR = 1, 2


def made_tumor(seed: int, side: int = 44) -> tuple[np.ndarray, np.ndarray]:
    """Return HU and mask of a lobed tumor with a texture of its own."""
    draw = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(draw.normal(size=(side,) * 3), 4)
    distance = np.sqrt(((np.indices((side,) * 3) - (side - 1) / 2) ** 2).sum(0))
    mask = distance < 11 + 2.5 * field / field.std()
    texture = ndimage.gaussian_filter(draw.normal(size=(side,) * 3), 1.5)
    hu = 110 + draw.normal(0, 5, (side,) * 3) + np.where(mask, -50 + 15 * texture / texture.std(), 0)
    return hu.astype(np.float32), mask


def zones(hu: np.ndarray, mask: np.ndarray) -> Zones:
    parts, _ = ndimage.label(mask)
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    (box,) = ndimage.find_objects(largest.astype(np.uint8))
    label = np.where(largest, TUMOR, ORGAN).astype(np.uint8)
    return zones_of(hu, label, FoundTumor(1, "liver", ORGAN, TUMOR, box, largest[box]), [1.0] * 3, 1.0)


def planted(seed: int, draw: np.random.Generator) -> Zones:
    hu, mask = made_tumor(seed)
    flips = tuple(axis for axis in range(3) if draw.random() < 0.5)
    scale = draw.uniform(0.8, 1.25)
    start = (np.array(hu.shape) - 1) / 2 * (1 - 1 / scale) + draw.uniform(-0.5, 0.5, 3)

    def moved(array: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(np.flip(array, flips), [1 / scale] * 3, start, order=1, mode="nearest")

    inside = moved(mask.astype(np.float32)) >= 0.5
    host, _ = made_tumor(1000 + seed)
    return zones(np.where(inside, moved(hu) + draw.uniform(-30, 30) + draw.normal(0, 5, hu.shape), host), inside)


@pytest.fixture(scope="module")
def library() -> np.ndarray:
    return np.stack([tumor_patch(zones(*made_tumor(seed))).ravel() for seed in range(40)])


def nearest(patch: np.ndarray, library: np.ndarray, without: int | None = None) -> copies.Nearest:
    found = copies.nearest(patch, library, np.arange(len(library)) != without)
    assert found is not None
    return found


def test_every_planted_copy_is_found_and_no_other_tumor(library):
    draw = np.random.default_rng(0)
    side = (copies.SIDE,) * 3
    real = [nearest(patch.reshape(side), library, at) for at, patch in enumerate(library)]
    limit = copies.threshold_of(np.array([one.similarity for one in real]))
    lead = copies.lead_threshold_of(np.array([one.lead for one in real]))
    assert limit is not None and lead is not None
    for seed in range(0, 40, 4):
        one = nearest(tumor_patch(planted(seed, draw)), library)
        assert one.row == seed and (one.similarity > limit or one.lead > lead)
    others = [nearest(tumor_patch(zones(*made_tumor(seed))), library) for seed in range(100, 110)]
    assert not any(one.similarity > limit or one.lead > lead for one in others)


def test_the_same_patch_has_similarity_1(library):
    side = (copies.SIDE,) * 3
    assert nearest(library[7].reshape(side), library).similarity == pytest.approx(1, abs=1e-4)
    flipped = np.flip(library[7].reshape(side), (0, 2))
    found = nearest(flipped, library)
    assert found.row == 7 and found.similarity == pytest.approx(1, abs=1e-4)


def test_a_shift_of_the_patch_does_not_matter(library):
    patch = library[3].reshape((copies.SIDE,) * 3)
    found = nearest(np.roll(patch, (2, -3, 1), (0, 1, 2)), library)
    assert found.row == 3 and found.similarity > 0.9


def test_a_tumor_without_texture_is_compared_by_its_shape():
    hu, mask = made_tumor(1)
    patch = tumor_patch(zones(np.where(mask, 60, 110).astype(np.float32), mask))
    assert np.linalg.norm(patch) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("side", "compared"), [(1, False), (3, False), (4, True)])
def test_a_tumor_of_a_few_voxels_is_like_every_other_one_and_not_compared(side, compared):
    hu, _ = made_tumor(2)
    mask = np.zeros(hu.shape, bool)
    mask[20 : 20 + side, 20 : 20 + side, 20 : 20 + side] = True
    assert tumor_patch(zones(hu, mask)).any() == compared


def test_nothing_is_nearest_without_candidates(library):
    patch = library[0].reshape((copies.SIDE,) * 3)
    assert copies.nearest(patch, library, np.zeros(len(library), bool)) is None
    assert copies.nearest(np.zeros_like(patch), library, np.ones(len(library), bool)) is None


def test_thresholds_need_enough_reals():
    assert copies.threshold_of(np.full(copies.MIN_REALS - 1, 0.5)) is None
    assert copies.lead_threshold_of(np.full(copies.MIN_REALS - 1, 0.1)) is None
    values = np.tanh(np.linspace(0.4, 0.6, 101))
    assert np.tanh(0.6) < copies.threshold_of(values) < 1


def test_the_surroundings_of_a_synthetic_tumor_are_those_of_its_host():
    hosts = [made_tumor(seed)[0] for seed in range(5)]
    mask = made_tumor(50)[1]
    painted = [np.where(mask, hu - 60, hu) for hu in hosts]
    scans = [zones(hu, mask) for hu in painted]
    library = np.stack(
        [surroundings_patch(one, one.image_XYZ * 0 + _crop(hu, one)) for hu, one in zip(hosts, scans, strict=True)]
    )
    flat = library.reshape(len(library), -1)
    for at, one in enumerate(scans):
        found = nearest(surroundings_patch(one, one.image_XYZ), flat)
        assert found.row == at and found.similarity > 0.99


def _crop(hu: np.ndarray, one: Zones) -> np.ndarray:
    """Return the host on the grid of the zones, which start at the margin around the tumor."""
    assert one.image_XYZ.shape == hu.shape
    return hu
