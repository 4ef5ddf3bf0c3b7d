"""A cheap first look chooses the windows of the full pass."""

import numpy as np
import pytest
import torch

from freetumor_runtime.inference.glance import glance

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


def test_an_output_that_is_not_wanted_is_no_finding():
    seen = glance(Bright(), image((20, 5, 9)), PATCH, [2])
    assert not seen.findings.found_XYZ.any() and not seen.known


def test_the_glance_stays_within_the_given_voxels():
    within_XYZ = torch.zeros(SHAPE, dtype=torch.bool)
    within_XYZ[:30] = True
    network = Bright()
    seen = glance(network, image((20, 5, 9), (70, 5, 9)), PATCH, [1], within_XYZ=within_XYZ)
    assert network.windows == 2 * 3 * 3
    assert seen.findings.found_XYZ.any() and not seen.findings.found_XYZ[30 // 4 + 1 :].any()


def test_findings_of_the_prepared_grid_are_stored_by_cells_of_four_voxels():
    found = glance(Bright(), image((20, 5, 9)), PATCH, [1]).findings
    assert found.found_XYZ.shape == (24, 10, 9)
    # voxels 20 to 23, 5 to 8 and 9 to 12
    assert np.argwhere(found.found_XYZ).tolist() == [[5, y, z] for y in (1, 2) for z in (2, 3)]
    # centres of the cells, the last one inside the image of 33 voxels
    assert found.places(2, slice(0, 33)).tolist() == [2, 6, 10, 14, 18, 22, 26, 30, 32]
    assert found.places(2, slice(5, 38)).tolist() == [7, 11, 15, 19, 23, 27, 31, 35, 37]


def test_findings_of_a_coarser_grid_are_near_the_same_places():
    """The grid of the glance has half the resolution and begins 5 voxels (2.5 of its own) later along X."""
    fine, coarse = np.eye(4), np.diag([2.0, 2, 2, 1])
    coarse[0, 3] = 5
    small_XYZ = torch.full((40, 20, 16), 0.25)
    small_XYZ[20, 10, 4] = 0.9
    network = Bright()
    seen = glance(network, small_XYZ, (8, 8, 8), [1], affines=(coarse, fine))
    assert not seen.known and seen.computed == network.windows == 5 * 3 * 2
    found = seen.findings
    places = [found.places(axis, slice(0, length)) for axis, length in enumerate((85, 40, 32))]
    near = np.argwhere(found.with_margin())
    for axis, (place, voxels) in enumerate(zip((45, 20, 8), places, strict=True)):
        assert sorted({int(voxels[at[axis]]) for at in near}) == list(range(place - 6, place + 7, 2))


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
    found_XYZ = np.zeros((24, 10, 9), bool)
    if whole_organs:
        found_XYZ[2:7, 1:5, 1:5] = True
    else:
        found_XYZ[3, 1, 1] = True
    assert np.array_equal(seen.findings.found_XYZ, found_XYZ)
