"""Scans on the prepared grid, compared with MONAI's transforms."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing, SpatialCrop
from monai.transforms.utils import generate_spatial_bounding_box

from freetumor_runtime.data.volumes import prepared_image

LOWER_HU = -175.0
RNG = np.random.default_rng(5)


def scan(shape, dtype):
    image = RNG.normal(0, 400, shape) if dtype is np.float32 else RNG.integers(-1000, 1500, shape)
    # air around the body, unequal on both sides
    image[:3], image[-1:], image[:, :1], image[..., -2:] = -1000, -1000, -1000, -1000
    return image.astype(dtype)


def placed(spacing_mm, order=(0, 1, 2), signs=(1, 1, 1), oblique=0.0):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing_mm)[:, list(order)] * signs
    affine[1, 2] += oblique
    affine[:3, 3] = 60.3, -40.7, -300.1
    return affine


def by_monai(image, affine, spacing_mm):
    world = torch.as_tensor(affine, dtype=torch.float64)
    meta = MetaTensor(torch.from_numpy(np.ascontiguousarray(image, np.float32))[None], affine=world)
    ras = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(meta)
    resampled = Spacing(pixdim=spacing_mm, mode="bilinear")(ras)
    start, stop = generate_spatial_bounding_box(resampled, lambda values: values > LOWER_HU)
    return ras, resampled, start, SpatialCrop(roi_start=start, roi_end=stop)(resampled)


@pytest.mark.parametrize(
    "affine",
    [
        placed((0.75, 0.75, 2.5)),
        placed((1.0, 1.0, 1.0), signs=(-1, -1, 1)),
        placed((0.6, 1.2, 5.0), (2, 0, 1), (1, -1, -1)),
        placed((1.5, 1.5, 1.5), signs=(-1, 1, 1)),
        placed((0.8, 0.8, 2.0), oblique=0.3),
    ],
    ids=["fine", "ties", "turned", "there already", "oblique"],
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_prepared_image_has_the_voxels_and_the_grids_of_monai(affine, dtype, order):
    image = scan((31, 26, 19), dtype)
    ras, resampled, start, cropped = by_monai(image, affine, (1.5, 1.5, 1.5))
    mine = prepared_image(image.copy(order), affine, (1.5, 1.5, 1.5), LOWER_HU)
    # both compute in float64 and round to float32: the last bit may differ, and a sum near 0 by float64's rounding
    np.testing.assert_allclose(mine.image_hu, cropped.as_tensor()[0], rtol=2**-23, atol=1e-9)
    assert mine.image_hu.is_contiguous()
    grids = mine.grids
    assert (grids.source_shape, grids.ras_shape) == (image.shape, tuple(ras.shape[1:]))
    assert (grids.resampled_shape, grids.prepared_shape) == (tuple(resampled.shape[1:]), tuple(cropped.shape[1:]))
    assert list(grids.crop_start) == [int(one) for one in start]
    assert np.array_equal(grids.ras_affine, ras.affine)
    assert np.array_equal(grids.prepared_affine, cropped.affine)


@pytest.mark.parametrize("crop", [True, False])
def test_a_scan_of_air_or_without_a_crop_keeps_its_extent(crop):
    image = np.full((9, 8, 7), -1000, np.int16)
    if not crop:
        image[4, 4, 4] = 0
    made = prepared_image(image, placed((1.5, 1.5, 1.5)), (1.5, 1.5, 1.5), LOWER_HU, crop)
    assert made.image_hu.shape == made.grids.prepared_shape == (9, 8, 7)
    assert made.grids.crop_start == (0, 0, 0)
