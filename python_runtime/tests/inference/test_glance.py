"""Windows side by side choose the windows of the full pass."""

import pytest
import torch

from freetumor_runtime.inference.glance import glance
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


@pytest.mark.parametrize("overlap", [0.5, 0.75])
def test_the_mask_of_the_chosen_windows_is_that_of_all(overlap):
    image_XYZ, network = image((20, 5, 9), (24, 30, 25)), Bright()
    seen = glance(network, image_XYZ, PATCH, [1, 2])
    all_windows = plan_windows(image_XYZ, PATCH, overlap)
    some = plan_windows(image_XYZ, PATCH, overlap, wanted_XYZ=seen.wanted_XYZ)
    assert seen.computed == network.windows == 6 * 3 * 3
    expected, found = logits(network, all_windows), logits(network, some)
    assert torch.equal(expected[:, seen.wanted_XYZ], found[:, seen.wanted_XYZ])
    assert torch.equal(expected.argmax(0), found.argmax(0)) and bool(expected.argmax(0).any())
    assert some.counts.left_out > all_windows.counts.windows / 3


def test_outputs_of_the_glance_are_not_computed_again_and_keep_their_bits():
    image_XYZ, network = image((20, 5, 9)), Bright()
    seen = glance(network, image_XYZ, PATCH, [1])
    some = plan_windows(image_XYZ, PATCH, 0.5, wanted_XYZ=seen.wanted_XYZ)
    again, network.windows = logits(network, some), 0
    reused = logits(network, some, seen.known)
    assert seen.known and set(seen.known) <= set(some.asked)
    assert network.windows == len(some.asked) - len(seen.known)
    assert torch.equal(again, reused)


def test_an_output_that_is_not_wanted_is_no_finding():
    seen = glance(Bright(), image((20, 5, 9)), PATCH, [2])
    assert not seen.wanted_XYZ.any() and not seen.known


def test_the_glance_stays_within_the_given_voxels():
    within_XYZ = torch.zeros(SHAPE, dtype=torch.bool)
    within_XYZ[:30] = True
    network = Bright()
    seen = glance(network, image((20, 5, 9), (70, 5, 9)), PATCH, [1], within_XYZ=within_XYZ)
    assert network.windows == 2 * 3 * 3
    assert seen.wanted_XYZ.any() and not seen.wanted_XYZ[30:].any()


def test_a_scan_smaller_than_a_patch_has_one_window():
    image_XYZ = torch.full((9, 30, 12), 0.25)
    image_XYZ[3, 7, 5] = 0.9
    seen = glance(Bright(), image_XYZ, PATCH, [1], padding_value=0.25)
    assert seen.wanted_XYZ.shape == image_XYZ.shape and seen.wanted_XYZ[3, 7, 5]
    assert not seen.wanted_XYZ[3, 20, 5]
