"""The windows of the full pass near findings: enough of each voxel's blend weight, and few windows."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from freetumor_runtime.inference.glance import Findings, Glance, glance
from freetumor_runtime.inference.sliding_windows import (
    averaged_planes,
    gaussian_weights,
    plan_windows,
    window_at,
)
from freetumor_runtime.inference.window_choice import windows_that_matter
from tests.inference.test_glance import PATCH, Bright, image

LARGE = (48, 48, 48)


def summed_weights(plan, blend):
    weights = gaussian_weights(plan.patch, torch.device("cpu")).numpy() if blend == "gaussian" else 1.0
    sums = np.zeros(plan.padded_XYZ.shape)
    for start in [*plan.asked, *plan.blank]:
        sums[window_at(start, plan.patch)] += weights
    return sums[plan.inside]


def near_of(found_XYZ):
    return ndimage.maximum_filter(found_XYZ, 13, mode="constant")


def organ(shape, *balls):
    """Return a bool image of balls: centre and radius in voxels."""
    grid = np.indices(shape)
    found_XYZ = np.zeros(shape, bool)
    for centre, radius in balls:
        found_XYZ |= ((grid - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) <= radius**2
    return found_XYZ


def seen_at(found_XYZ, known=(), side=4):
    """Return a glance that found these voxels of the prepared grid."""
    padded = np.pad(found_XYZ, [(0, -length % side) for length in found_XYZ.shape])
    x, y, z = (length // side for length in padded.shape)
    pooled = padded.reshape(x, side, y, side, z, side).any((1, 3, 5))
    return Glance(Findings(pooled, ((1 - side) / 2 / side,) * 3, (1 / side,) * 3), dict.fromkeys(known), 0)


def logits(network, plan, known=None, blend="constant"):
    planes = averaged_planes(network, plan, blend, 1, known=known)
    return torch.cat([values_CXYZ.clone() for _, values_CXYZ in planes], 1)


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize(
    "shape",
    [(160, 110, 97), (130, 40, 150)],
    ids=["larger than a patch", "padded along Y"],
)
def test_voxels_near_a_finding_keep_98_percent_of_their_weight(overlap, blend, shape):
    found_XYZ = organ(shape, ((70, 30, 60), 17), ((101, 25, 90), 6), ((0, 39, 0), 1))
    plan = plan_windows(torch.full(shape, 0.5), LARGE, overlap)
    some = windows_that_matter(plan, [seen_at(found_XYZ)], blend)
    share = summed_weights(some, blend) / summed_weights(plan, blend)
    assert share[near_of(found_XYZ)].min() >= 0.98
    assert set(some.asked) < set(plan.asked) and some.counts.left_out == len(plan.asked) - len(some.asked)


def test_windows_with_little_weight_on_a_finding_are_left_out():
    """A finding in the middle of a window needs no other one; one midway between two windows needs both."""
    shape, patch = (240, 96, 96), (96, 96, 96)
    plan = plan_windows(torch.full(shape, 0.5), patch, 0.5)
    for at, needed, reached in ((96, [48], [0, 48, 96]), (120, [48, 96], [48, 96])):
        found = seen_at(organ(shape, ((at, 48, 48), 2)))
        some = {blend: windows_that_matter(plan, [found], blend) for blend in ("gaussian", "constant")}
        assert [start[0] for start in some["gaussian"].asked] == needed
        assert [start[0] for start in some["constant"].asked] == reached


def test_windows_of_all_glances_are_kept_and_known_ones_where_they_reach_a_finding():
    shape, patch = (240, 96, 96), (96, 96, 96)
    plan = plan_windows(torch.full(shape, 0.5), patch, 0.5)
    first, last = (organ(shape, ((at, 48, 48), 2)) for at in (48, 192))
    both = windows_that_matter(plan, [seen_at(first), seen_at(last)], "gaussian")
    assert both.asked == ((0, 0, 0), (144, 0, 0))
    known = [(48, 0, 0), (96, 0, 0)]
    assert windows_that_matter(plan, [seen_at(first, known)], "gaussian").asked == ((0, 0, 0), (48, 0, 0))


def test_no_findings_leave_no_window():
    plan = plan_windows(torch.full((60, 60, 60), 0.5), LARGE, 0.5)
    nothing = seen_at(np.zeros((60, 60, 60), bool))
    assert windows_that_matter(plan, [nothing], "gaussian").counts.left_out == plan.windows


def test_a_blank_window_near_a_finding_stays():
    """The body ends near the finding; windows of air share one output."""
    image_XYZ = torch.zeros((144, 48, 48))
    image_XYZ[:48] = 0.5
    plan = plan_windows(image_XYZ, LARGE, 0.5)
    assert plan.blank == ((48, 0, 0), (72, 0, 0), (96, 0, 0))
    some = windows_that_matter(plan, [seen_at(organ((144, 48, 48), ((44, 24, 24), 3)))], "gaussian")
    assert some.asked == ((0, 0, 0), (24, 0, 0)) and some.blank == ((48, 0, 0),)


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.75])
def test_the_mask_of_the_chosen_windows_is_that_of_all(overlap):
    image_XYZ, network = image((20, 5, 9), (24, 30, 25)), Bright()
    seen = glance(network, image_XYZ, PATCH, [1, 2])
    all_windows = plan_windows(image_XYZ, PATCH, overlap)
    some = windows_that_matter(all_windows, [seen], "constant")
    assert seen.computed == network.windows == 6 * 3 * 3
    expected, found = logits(network, all_windows), logits(network, some)
    assert torch.equal(expected.argmax(0), found.argmax(0)) and bool(expected.argmax(0).any())
    assert set(some.asked) < set(all_windows.asked)
    assert some.counts.left_out > all_windows.counts.windows / 3


def test_outputs_of_the_glance_are_not_computed_again_and_keep_their_bits():
    image_XYZ, network = image((20, 5, 9)), Bright()
    seen = glance(network, image_XYZ, PATCH, [1])
    some = windows_that_matter(plan_windows(image_XYZ, PATCH, 0.5), [seen], "gaussian")
    again, network.windows = logits(network, some), 0
    reused = logits(network, some, seen.known)
    assert seen.known and set(seen.known) <= set(some.asked)
    assert network.windows == len(some.asked) - len(seen.known)
    assert torch.equal(again, reused)


def test_windows_of_a_scan_smaller_than_a_patch_are_chosen_by_their_part_of_it():
    image_XYZ = torch.full((9, 40, 12), 0.25)
    image_XYZ[3, 7, 5] = 0.9
    seen = glance(Bright(), image_XYZ, PATCH, [1], padding_value=0.25)
    assert seen.findings.found_XYZ.shape == (3, 10, 3) and seen.findings.found_XYZ.sum() == 1
    plan = plan_windows(image_XYZ, PATCH, 0.5, padding_value=0.25)
    some = windows_that_matter(plan, [seen], "constant")
    assert plan.windows == 4 and some.asked == ((0, 0, 0), (0, 8, 0))


def test_a_coarser_grid_that_ends_before_the_scan_is_near_its_last_voxels():
    """Voxel 19 of the glance is voxel 58 of 60, and lies near the last ones."""
    shape = (60, 48, 48)
    found_XYZ = np.zeros((20, 16, 16), bool)
    found_XYZ[19, 8, 8] = True
    found = Findings(found_XYZ, (-1 / 3,) * 3, (1 / 3,) * 3)
    plan = plan_windows(torch.full(shape, 0.5), LARGE, 0.5)
    assert plan.asked == ((0, 0, 0), (12, 0, 0))
    assert windows_that_matter(plan, [Glance(found, {}, 0)], "gaussian").asked == ((12, 0, 0),)
    assert found.places(0, slice(0, 60)).tolist()[-1] == 58
