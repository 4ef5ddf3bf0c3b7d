import numpy as np
import pytest
import torch
from scipy import ndimage

from freetumor_runtime.synthesis.render import (
    bounding_box,
    edge_mask,
    edge_weight,
    fill_where,
    generator_difference,
    grown,
    paint,
    region_roles,
    with_synthetic,
)

SHAPE = (30, 26, 34)
SIGMA = 1.4
# of a float32 edge weight in an image of about 1
ROUNDING = 3e-7


def ball(centre, radius, shape=SHAPE):
    axes = np.ogrid[tuple(slice(0, side) for side in shape)]
    return torch.from_numpy(sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)) < radius**2)


def some_crop(seed=0):
    """image, raw generator output, texture, roles after placing, edge mask of a tumor half outside the organ."""
    random = torch.Generator().manual_seed(seed)
    image, texture = torch.rand(SHAPE, generator=random), torch.rand(SHAPE, generator=random)
    raw = torch.randn(3, *SHAPE, generator=random)
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[5:, 3:20, 4:] = 3
    label[ball((16, 16, 20), 4)] = 4
    before = region_roles(label, organ_label=3, tumor_labels=(2, 4, 6))
    shape = ball((12, 18, 16), 5)
    return image, raw, texture, with_synthetic(before, shape), edge_mask(before, shape)


def composed(image, weight, difference, texture, roles, region):
    """docs/method.md 6 on the whole crop, float64."""
    sign = {"abdomen": -1, "chest": 1}[region]
    organ = (roles == 1) | (roles == 3)
    return torch.where(organ, image + sign * weight * difference * texture.double(), image.double())


def test_roles_know_one_organ_and_the_real_tumors_of_all():
    label = torch.arange(7, dtype=torch.uint8).reshape(7, 1, 1)
    roles = region_roles(label, organ_label=5, tumor_labels=(2, 4, 6))
    assert roles.flatten().tolist() == [0, 0, 2, 0, 2, 1, 2]
    assert roles.dtype == torch.uint8


def test_a_shape_turns_organ_to_synthetic_and_its_edge_mask_holds_real_tumor_too():
    roles = torch.tensor([0, 1, 2, 1], dtype=torch.uint8).reshape(4, 1, 1)
    shape = torch.tensor([1, 1, 1, 0], dtype=torch.uint8).reshape(4, 1, 1)
    assert with_synthetic(roles, shape).flatten().tolist() == [0, 3, 2, 1]
    assert edge_mask(roles, shape).flatten().tolist() == [False, True, True, False]
    assert roles.flatten().tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("sigma", [1.0, 1.37, 2.0])
@pytest.mark.parametrize(
    "mask",
    [ball((15, 13, 17), 6), ball((0, 25, 33), 5), ball((2, 13, 0), 9), torch.ones(SHAPE, dtype=torch.bool)],
    ids=["inside", "corner", "face", "everywhere"],
)
def test_the_edge_weight_is_scipys_gaussian_filter(mask, sigma):
    expected = ndimage.gaussian_filter(mask.numpy().astype(np.float64), sigma)
    assert edge_weight(mask, sigma).dtype == torch.float64
    assert np.abs(edge_weight(mask, sigma).numpy() - expected).max() < 1e-12


def test_the_edge_weight_mirrors_more_than_once_in_a_thin_crop():
    mask = torch.zeros(20, 3, 1, dtype=torch.bool)
    mask[4:9, 1:] = True
    expected = ndimage.gaussian_filter(mask.numpy().astype(np.float64), 2.0)
    assert np.abs(edge_weight(mask, 2.0).numpy() - expected).max() < 1e-12


def test_no_edge_no_weight():
    assert torch.count_nonzero(edge_weight(torch.zeros(SHAPE, dtype=torch.bool), 1.5)) == 0


def test_the_abdomen_difference_is_zeroed_outside_the_organ_before_the_blur_and_the_chest_one_is_not():
    _, raw, _, roles, _ = some_crop()
    kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2.0)
    kernel = np.einsum("i,j,k->ijk", kernel, kernel, kernel) / kernel.sum() ** 3
    organ = np.isin(roles.numpy(), (1, 3))
    expected = {
        "abdomen": ndimage.convolve(np.tanh(raw[2].double().numpy()) * organ, kernel, mode="constant"),
        "chest": ndimage.convolve(torch.sigmoid(raw[2].double()).numpy(), kernel, mode="constant"),
    }
    for region, values in expected.items():
        ours = generator_difference(raw, roles, channel=2, region=region)
        assert np.abs(ours.numpy() - values).max() < 1e-12


def painted(image, raw, texture, roles, edge, channel=1, region="abdomen", difference=0.4):
    return paint(
        image, raw, edge, texture, roles, sigma=SIGMA, channel=channel, region=region, handcrafted_difference=difference
    )


@pytest.mark.parametrize("region", ["abdomen", "chest"])
def test_only_organ_voxels_change_and_nothing_is_clamped(region):
    image, _, texture, roles, edge = some_crop()
    changed = painted(image, None, texture, roles, edge, region=region, difference=3.0)
    organ = (roles == 1) | (roles == 3)
    assert torch.equal(changed[~organ], image[~organ])
    assert (changed - image)[organ].abs().max() > 0.5
    assert changed.min() < 0 if region == "abdomen" else changed.max() > 1
    assert changed.dtype == torch.float32


@pytest.mark.parametrize("region", ["abdomen", "chest"])
@pytest.mark.parametrize("crafted", [False, True])
def test_painting_in_the_box_that_can_change_equals_painting_the_whole_crop(region, crafted):
    image, raw, texture, roles, edge = some_crop()
    before = image.clone()
    weight = edge_weight(edge, SIGMA)
    difference = 0.4 if crafted else generator_difference(raw, roles, channel=1, region=region)
    whole = composed(image, weight, difference, texture, roles, region)
    boxed = painted(image, None if crafted else raw, texture, roles, edge, region=region)
    assert (whole - boxed).abs().max() < ROUNDING
    assert (boxed - image).abs().max() > 0.01
    assert torch.equal(image, before)
    outside = weight == 0
    assert torch.equal(boxed[outside], image[outside])


@pytest.mark.parametrize("region", ["abdomen", "chest"])
def test_gradients_reach_the_generator_where_the_tumor_is_and_only_on_its_channel(region):
    image, raw, texture, roles, edge = some_crop()
    boxed, whole = raw.clone().requires_grad_(), raw.clone().requires_grad_()
    painted(image, boxed, texture, roles, edge, region=region)[roles == 3].sum().backward()
    difference = generator_difference(whole, roles, channel=1, region=region)
    composed(image, edge_weight(edge, SIGMA), difference, texture, roles, region)[roles == 3].sum().backward()
    assert (boxed.grad - whole.grad).abs().max() < ROUNDING
    assert torch.count_nonzero(boxed.grad[1][roles == 3]) == (roles == 3).sum()
    assert torch.count_nonzero(boxed.grad[[0, 2]]) == 0


def test_ids_are_set_where_a_mask_is_true():
    ids = torch.tensor([0, 1, 2, 5, 255], dtype=torch.uint8)
    fill_where(ids, torch.tensor([True, False, True, False, True]), 6)
    assert ids.tolist() == [6, 1, 6, 5, 6]


def test_autocast_does_not_touch_the_painting():
    crop = some_crop()
    plain = painted(*crop)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(painted(*crop), plain)


def test_a_tumor_without_a_voxel_leaves_the_image():
    image, raw, texture, roles, edge = some_crop()
    assert torch.equal(painted(image, raw, texture, roles, torch.zeros_like(edge)), image)


def test_a_box_holds_all_voxels_and_grows_to_the_edge_at_most():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    assert bounding_box(mask) is None
    mask[2, 7, 9] = mask[5, 7, 30] = True
    assert bounding_box(mask) == (slice(2, 6), slice(7, 8), slice(9, 31))
    assert grown((slice(2, 6), slice(7, 8), slice(9, 31)), 3, SHAPE) == (slice(0, 9), slice(4, 11), slice(6, 34))
