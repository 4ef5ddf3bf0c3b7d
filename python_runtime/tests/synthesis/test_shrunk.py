"""Smaller copies of real tumors: contrast, host, determinism. src/simulation/shrunk.ts makes their plans."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from freetumor_runtime.config.common import Organ
from freetumor_runtime.data.boxes import as_box
from freetumor_runtime.data.crops import PlannedTumor, window_intensity
from freetumor_runtime.data.variant_source import ShrunkSource
from freetumor_runtime.synthesis.painting import PlacedTumor, TumorPainter
from freetumor_runtime.synthesis.shrunk import ShrunkPainter, shrunk, without_structures
from freetumor_runtime.synthesis.texture import TextureBank

ORGANS = (Organ("liver", 1, 2, 0), Organ("pancreas", 3, 4, 1))
WINDOW_HU = (-175.0, 250.0)
WIDTH = WINDOW_HU[1] - WINDOW_HU[0]
SIDE = 64
SOURCE_AT, SOURCE_RADIUS = (20, 20, 20), 11.0
TARGET_AT = (44, 40, 42)
CONTRAST_HU, NOISE_HU = -60.0, 12.0


def distance(at) -> np.ndarray:
    grid = np.indices((SIDE, SIDE, SIDE))
    return np.sqrt(sum((grid[axis] - at[axis]) ** 2 for axis in range(3)))


def scan(noise_hu: float = NOISE_HU) -> tuple[np.ndarray, torch.Tensor]:
    """HU of an organ at 100 HU with one real tumor, and the label."""
    label = np.ones((SIDE, SIDE, SIDE), np.uint8)
    label[:2] = label[-2:] = 0
    inside = distance(SOURCE_AT) <= SOURCE_RADIUS
    label[inside] = 2
    hu = np.where(label == 0, -100.0, 100.0) + CONTRAST_HU * inside
    hu += np.random.default_rng(0).normal(0, noise_hu, hu.shape)
    return hu, torch.from_numpy(label)


def plan(factor: float, at=TARGET_AT) -> tuple[PlannedTumor, ShrunkSource]:
    radius = factor * SOURCE_RADIUS
    reach = int(radius) + 1
    offsets = np.indices([2 * reach + 1] * 3) - reach
    shape = torch.from_numpy((np.sqrt((offsets**2).sum(0)) <= radius).astype(np.uint8))
    x, y, z = (one - reach for one in at)
    tumor = PlannedTumor("liver", "tiny", shape, (x, y, z), 0.5, 0, (0, 0, 0), 0.0, 0)
    return tumor, ShrunkSource(SOURCE_AT, SOURCE_AT, at, factor)


def painted(hu: np.ndarray, label: torch.Tensor, factor: float, at=TARGET_AT) -> tuple[np.ndarray, PlacedTumor]:
    """HU after painting, and the placed tumor."""
    image = window_intensity(torch.from_numpy(hu), WINDOW_HU)
    textures = TextureBank("nowhere", (80, 80, 80), 0)
    tumor, source = plan(factor, at)
    placed = TumorPainter("abdomen", ORGANS, False, textures, torch.device("cpu")).place(tumor, label)
    after = image.clone()
    ShrunkPainter(image, label).paint(after, placed, source)
    return (after.numpy() * WIDTH + WINDOW_HU[0]), placed


@pytest.mark.parametrize("diameter_mm", [5.0, 7.5, 10.0])
def test_the_core_has_the_contrast_of_the_source_and_the_label_most_of_it(diameter_mm):
    factor = diameter_mm / (2 * SOURCE_RADIUS * 1.5)
    hu, label = scan(noise_hu=0)
    after, placed = painted(hu, label, factor)
    change = after - window_intensity(torch.from_numpy(hu), WINDOW_HU).numpy() * WIDTH - WINDOW_HU[0]
    assert change[TARGET_AT] == pytest.approx(CONTRAST_HU, rel=0.08)
    inside = np.zeros(label.shape, bool)
    inside[placed.box] = (placed.roles_XYZ == 3).numpy()
    # the rest are partial volumes: a Gaussian of half a voxel takes more of a smaller ball
    assert 0.6 < change[inside].mean() / CONTRAST_HU < 0.9
    # half the contrast is left at the radius of the ball, so its diameter holds to one voxel
    profile = change[TARGET_AT[0] :, TARGET_AT[1], TARGET_AT[2]] / CONTRAST_HU
    half = np.interp(0.5, profile[:8][::-1], np.arange(8)[::-1])
    assert 2 * half * 1.5 == pytest.approx(diameter_mm, abs=1.5)


def test_the_border_is_a_voxel_wide():
    hu, label = scan(noise_hu=0)
    after, _ = painted(hu, label, 0.6)
    profile = (after[TARGET_AT[0] :, TARGET_AT[1], TARGET_AT[2]] - 100) / CONTRAST_HU
    fine = np.interp(np.arange(0, 12, 0.01), np.arange(12), profile[:12])
    assert 0.5 < ((fine > 0.1) & (fine < 0.9)).sum() * 0.01 < 2.5


def test_everything_outside_the_soft_border_keeps_its_bits():
    hu, label = scan()
    image = window_intensity(torch.from_numpy(hu), WINDOW_HU)
    tumor, source = plan(0.4)
    textures = TextureBank("nowhere", (80, 80, 80), 0)
    placed = TumorPainter("abdomen", ORGANS, False, textures, torch.device("cpu")).place(tumor, label)
    after = image.clone()
    ShrunkPainter(image, label).paint(after, placed, source)
    far = torch.from_numpy(distance(TARGET_AT) > 0.4 * SOURCE_RADIUS + 3)
    assert torch.equal(after[far], image[far])
    assert not torch.equal(after, image)
    # beside the border of the organ, what is not organ stays, too
    tumor, source = plan(0.3, (SIDE - 5, 40, 42))
    placed = TumorPainter("abdomen", ORGANS, False, textures, torch.device("cpu")).place(tumor, label)
    after = image.clone()
    ShrunkPainter(image, label).paint(after, placed, source)
    assert torch.equal(after[label != 1], image[label != 1])


def test_the_noise_of_the_host_stays_and_that_of_the_source_is_averaged_out():
    hu, label = scan()
    after, _ = painted(hu, label, 0.3)
    inside = distance(TARGET_AT) <= 2
    host, copy = hu[inside], after[inside]
    assert np.corrcoef(host, copy)[0, 1] > 0.9
    assert copy.std() == pytest.approx(host.std(), rel=0.25)


def test_a_vessel_of_the_host_does_not_show_through():
    hu, label = scan()
    vessel = (np.abs(np.indices(hu.shape)[1] - TARGET_AT[1]) <= 1) & (
        np.abs(np.indices(hu.shape)[2] - TARGET_AT[2]) <= 1
    )
    with_vessel = np.where(vessel & (label.numpy() == 1), hu + 110, hu)
    core = distance(TARGET_AT) <= 2
    clean, _ = painted(hu, label, 0.4)
    crossed, _ = painted(with_vessel, label, 0.4)
    # up to three standard deviations of noise of a structure stay
    assert np.abs(crossed[core] - clean[core]).max() < 3 * NOISE_HU + 3 * NOISE_HU
    assert with_vessel[core].max() - crossed[core].max() > 100
    # outside of the copy the vessel stays
    outside = vessel & (distance(TARGET_AT) > 9)
    image = window_intensity(torch.from_numpy(with_vessel), WINDOW_HU).numpy() * WIDTH + WINDOW_HU[0]
    assert np.array_equal(crossed[outside], image[outside])


def test_a_host_within_its_noise_has_no_structures():
    roles = np.ones((15, 15, 15), np.uint8)
    roles[6:9, 6:9, 6:9] = 3
    host = np.random.default_rng(1).uniform(-1, 1, roles.shape).astype(np.float32)
    # the median absolute deviation of a uniform distribution is half of its largest deviation
    assert not without_structures(host, roles).any()
    host[7, 7, 7] = 50
    taken = without_structures(host, roles)
    assert np.count_nonzero(taken) == 1 and taken[7, 7, 7] < -40
    assert not without_structures(host, np.full(roles.shape, 3, np.uint8)).any()


def test_the_source_is_the_component_of_its_voxel():
    hu, label = scan(noise_hu=0)
    other = distance((48, 16, 16)) <= 6
    hu[other] += 90 * (label.numpy()[other] == 1)
    label[torch.from_numpy(other)] = 2
    after, _ = painted(hu, label, 0.4)
    assert after[TARGET_AT] == pytest.approx(100 + CONTRAST_HU, abs=2)


def test_copies_are_bit_identical():
    hu, label = scan()
    assert np.array_equal(painted(hu, label, 0.37)[0], painted(hu, label, 0.37)[0])


def test_shrinking_smooths_before_it_resamples():
    """A pattern finer than the grid of the copy becomes its mean; sampling without a blur would keep its values."""
    pattern = np.indices((40, 40, 40)).sum(0) % 2 * 2.0
    source = ShrunkSource((0, 0, 0), (19.5, 19.5, 19.5), (5, 5, 5), 0.25)
    copy = shrunk(pattern, (0, 0, 0), source, 0.5, as_box([slice(4, 7)] * 3))
    assert np.abs(copy - 1).max() < 0.01


@pytest.mark.parametrize("axis", range(3))
def test_all_axes_shrink_alike(axis):
    array = np.zeros((60, 60, 60))
    array[20:40, 20:40, 20:40] = 1
    at = [30, 30, 30]
    source = ShrunkSource((0, 0, 0), (29.5, 29.5, 29.5), (30, 30, 30), 0.5)
    copy = shrunk(array, (0, 0, 0), source, 0.5, as_box([slice(0, 60)] * 3))
    profile = copy[tuple(slice(None) if one == axis else at[one] for one in range(3))]
    assert profile.sum() == pytest.approx(10, abs=0.1)
    assert ndimage.center_of_mass(copy)[axis] == pytest.approx(30, abs=0.05)
