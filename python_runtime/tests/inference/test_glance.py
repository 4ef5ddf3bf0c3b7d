"""A cheap first look chooses the windows of the full pass."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from freetumor_runtime.inference.glance import Findings, glance
from freetumor_runtime.inference.sliding_windows import averaged_planes, plan_windows

PATCH = (16, 16, 16)
SHAPE = (96, 40, 33)


class Bright:
    """Output 1 wins where the image is above 0.5; counts its windows."""

    def __init__(self) -> None:
        self.windows = 0

    def __call__(self, windows_B1XYZ):
        self.windows += len(windows_B1XYZ)
        bright = (windows_B1XYZ > 0.5).float() * 20 - 10
        return torch.cat([torch.zeros_like(bright), bright, torch.full_like(bright, -30)], 1)


def image(*lesions) -> torch.Tensor:
    image_XYZ = torch.full(SHAPE, 0.25)
    for x, y, z in lesions:
        image_XYZ[x : x + 4, y : y + 4, z : z + 4] = 0.9
    return image_XYZ


def logits(network, plan, known=None):
    planes = averaged_planes(network, plan, "constant", 1, known=known)
    return torch.cat([values_CXYZ.clone() for _, values_CXYZ in planes], 1)


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.75])
def test_the_mask_of_the_chosen_windows_is_that_of_all(overlap):
    image_XYZ, network = image((20, 5, 9), (24, 30, 25)), Bright()
    seen = glance(network, image_XYZ, PATCH, [1, 2])
    all_windows = plan_windows(image_XYZ, PATCH, overlap)
    some = plan_windows(image_XYZ, PATCH, overlap, worth=seen.findings.near)
    assert seen.computed == network.windows == 6 * 3 * 3
    expected, found = logits(network, all_windows), logits(network, some)
    # each voxel at most 6 voxels from a finding has all its windows
    near = torch.from_numpy(ndimage.maximum_filter(seen.findings.found_XYZ.numpy(), 13, mode="constant"))
    assert torch.equal(expected[:, near], found[:, near])
    assert torch.equal(expected.argmax(0), found.argmax(0)) and bool(expected.argmax(0).any())
    assert set(some.asked) < set(all_windows.asked)
    assert some.counts.left_out > all_windows.counts.windows / 3


def test_outputs_of_the_glance_are_not_computed_again_and_keep_their_bits():
    image_XYZ, network = image((20, 5, 9)), Bright()
    seen = glance(network, image_XYZ, PATCH, [1])
    some = plan_windows(image_XYZ, PATCH, 0.5, worth=seen.findings.near)
    again, network.windows = logits(network, some), 0
    reused = logits(network, some, seen.known)
    assert seen.known and set(seen.known) <= set(some.asked)
    assert network.windows == len(some.asked) - len(seen.known)
    assert torch.equal(again, reused)


def test_an_output_that_is_not_wanted_is_no_finding():
    seen = glance(Bright(), image((20, 5, 9)), PATCH, [2])
    assert not seen.findings.found_XYZ.any() and not seen.known


def test_the_glance_stays_within_the_given_voxels():
    within_XYZ = torch.zeros(SHAPE, dtype=torch.bool)
    within_XYZ[:30] = True
    network = Bright()
    seen = glance(network, image((20, 5, 9), (70, 5, 9)), PATCH, [1], within_XYZ=within_XYZ)
    assert network.windows == 2 * 3 * 3
    assert seen.findings.found_XYZ.any() and not seen.findings.found_XYZ[30:].any()


def test_windows_of_a_scan_smaller_than_a_patch_are_chosen_by_their_part_of_it():
    image_XYZ = torch.full((9, 40, 12), 0.25)
    image_XYZ[3, 7, 5] = 0.9
    seen = glance(Bright(), image_XYZ, PATCH, [1], padding_value=0.25)
    assert seen.findings.found_XYZ.shape == image_XYZ.shape and seen.findings.found_XYZ.sum() == 1
    plan = plan_windows(image_XYZ, PATCH, 0.5, padding_value=0.25, worth=seen.findings.near)
    assert plan.asked == ((0, 0, 0), (0, 8, 0)) and plan.counts.windows == 4


def test_findings_of_a_coarser_grid_are_near_the_same_places():
    """The grid of the glance has half the resolution and begins 5 voxels (2.5 of its own) later along X."""
    fine, coarse = np.eye(4), np.diag([2.0, 2, 2, 1])
    coarse[0, 3] = 5
    small_XYZ = torch.full((40, 20, 16), 0.25)
    small_XYZ[20, 10, 4] = 0.9
    network = Bright()
    seen = glance(network, small_XYZ, (8, 8, 8), [1], affines=(coarse, fine))
    assert not seen.known and seen.computed == network.windows == 5 * 3 * 2
    place = (45, 20, 8)
    for axis in range(3):
        for distance, is_near in ((0, True), (6, True), (11, False), (-6, True), (-11, False)):
            box = [slice(at, at + 1) for at in place]
            box[axis] = slice(place[axis] + distance, place[axis] + distance + 1)
            assert seen.findings.near((box[0], box[1], box[2])) == is_near, (axis, distance)


def test_a_box_outside_the_grid_of_the_glance_is_near_nothing():
    findings = Findings(torch.ones((4, 4, 4), dtype=torch.bool))
    assert not findings.near((slice(60, 70), slice(0, 4), slice(0, 4)))
    assert findings.near((slice(9, 20), slice(0, 4), slice(0, 4)))


@pytest.mark.parametrize("whole_organs", [False, True])
def test_findings_outside_large_organs_do_not_count(whole_organs):
    """Output 1 is an organ and output 2, from 0.75, a tumor; the first block has 13.8 ml, and the second 1.7."""
    image_XYZ = torch.full(SHAPE, 0.25)
    for x, side in ((10, 16), (60, 8)):
        image_XYZ[x : x + side, 4 : 4 + side, 4 : 4 + side] = 0.6
        image_XYZ[x + 2 : x + 4, 6:8, 6:8] = 0.9

    def network(windows_B1XYZ):
        organ, tumor = ((windows_B1XYZ > low).float() * 20 - 10 for low in (0.5, 0.75))
        return torch.cat([torch.zeros_like(organ), organ, 2 * tumor], 1)

    seen = glance(network, image_XYZ, PATCH, [2], organs=[1, 2], whole_organs=whole_organs, voxel_ml=0.003375)
    found_XYZ = torch.zeros(SHAPE, dtype=torch.bool)
    if whole_organs:
        found_XYZ[10:26, 4:20, 4:20] = True
    else:
        found_XYZ[12:14, 6:8, 6:8] = True
    assert torch.equal(seen.findings.found_XYZ, found_XYZ)
