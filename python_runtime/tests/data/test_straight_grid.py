import numpy as np
import pytest

from freetumor_runtime.data.prepared_case import _resample_and_crop_by_monai, resample_and_crop
from freetumor_runtime.data.straight_grid import straight_grid

RNG = np.random.default_rng(3)


def scan(shape, dtype=np.int16):
    image = RNG.integers(-1000, 1500, shape)
    # air around the body, unequal on both sides
    image[:3], image[-1:], image[:, :1], image[..., -2:] = -1000, -1000, -1000, -1000
    return image.astype(dtype), RNG.integers(0, 7, shape).astype(np.uint8)


def placed(spacing_mm, order=(0, 1, 2), signs=(1, 1, 1)):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing_mm)[:, list(order)] * signs
    affine[:3, 3] = 60.3, -40.7, -300.1
    return affine


@pytest.mark.parametrize(
    "affine",
    [
        placed((0.75, 0.75, 2.5)),
        # every second voxel lies midway between two
        placed((1.0, 1.0, 1.0), signs=(-1, -1, 1)),
        placed((0.6, 1.2, 5.0), (2, 0, 1), (1, -1, -1)),
        placed((0.76171875, 3.1415, 1.4996)),
        placed((1.5, 1.5, 1.5), signs=(-1, 1, 1)),
        placed((1.5, 1.5003, 1.5)),
    ],
    ids=["fine", "ties", "turned", "almost the spacing", "there already", "almost there"],
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_straight_scan_has_the_voxels_and_the_grid_of_monai(affine, dtype):
    image, label = scan((31, 26, 19), dtype)
    for order in ("C", "F"):
        mine = resample_and_crop(image.copy(order), label.copy(order), affine, (1.5, 1.5, 1.5), -175.0)
        theirs = _resample_and_crop_by_monai(image, label, affine, (1.5, 1.5, 1.5), -175.0)
        assert np.array_equal(np.rint(mine[0]), np.rint(theirs[0]))
        assert np.array_equal(mine[1], theirs[1]) and mine[1].dtype == theirs[1].dtype
        assert np.array_equal(mine[2], theirs[2])
        assert mine[3] == theirs[3]


def test_a_scan_without_foreground_is_empty():
    image, label = np.full((9, 8, 7), -1000, np.int16), np.zeros((9, 8, 7), np.uint8)
    assert resample_and_crop(image, label, placed((1.0, 1.0, 1.0)), (1.5, 1.5, 1.5), -175.0)[0].size == 0


def test_an_oblique_axis_has_no_straight_grid():
    affine = placed((0.8, 0.8, 2.0))
    affine[1, 2] = 0.1
    assert straight_grid((9, 8, 7), affine, (1.5, 1.5, 1.5)) is None
