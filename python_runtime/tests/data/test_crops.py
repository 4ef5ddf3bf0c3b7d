"""Windows, augmentation, placing of shapes, slab swap."""

import numpy as np
import pytest
import torch

from freetumor_runtime.data.crops import (
    Augmentation,
    TumorFrame,
    augment_box,
    augment_geometry,
    augment_image,
    place_shape,
    swap_slabs,
    tumor_box,
    window,
)

NOTHING = Augmentation((False, False, False), 0, 1.0, 0.0)


def tumor(origin, shape=(2, 3, 4)):
    return TumorFrame("liver", "tiny", torch.ones(shape, dtype=torch.uint8), origin, 1.0, 0, (0, 0, 0), 0.5, 0)


def whole(shape):
    return tuple(slice(0, side) for side in shape)


def test_the_window_maps_its_ends_to_0_and_1_and_clips():
    hu = torch.tensor([-3000, -175, 37, 250, 3000], dtype=torch.int16)
    expected = np.clip((hu.numpy() + 175) / 425, 0, 1)
    np.testing.assert_allclose(window(hu, (-175, 250)).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("turns", range(4))
def test_augmentation_flips_then_turns_in_the_first_two_axes(turns):
    array = torch.arange(4 * 4 * 3).reshape(4, 4, 3)
    augmentation = Augmentation((True, False, True), turns, 1.0, 0.0)
    expected = np.rot90(np.flip(array.numpy(), (0, 2)), turns, (0, 1))
    np.testing.assert_array_equal(augment_geometry(array, augmentation).numpy(), expected)


def test_intensity_is_scaled_then_shifted_and_not_clipped():
    image = torch.tensor([[[0.0, 1.0]]])
    augmented = augment_image(image, Augmentation((False, False, False), 0, 1.1, 0.1))
    torch.testing.assert_close(augmented, torch.tensor([[[0.1, 1.2]]]))


def test_image_and_shape_move_together():
    torch.manual_seed(0)
    augmentation = Augmentation((True, True, False), 3, 1.0, 0.0)
    shape = place_shape(tumor((1, 2, 0)), whole((6, 6, 5)), torch.device("cpu"))
    image = torch.rand(6, 6, 5) * shape
    moved = augment_image(image, augmentation)
    assert torch.equal(moved > 0, augment_geometry(shape, augmentation))


def test_parts_of_a_shape_outside_the_crop_are_lost():
    inside = place_shape(tumor((4, -1, 3)), whole((5, 5, 5)), torch.device("cpu"))
    assert inside.sum() == 1 * 2 * 2
    assert inside[4, 0:2, 3:5].all()
    assert place_shape(tumor((9, 0, 0)), whole((5, 5, 5)), torch.device("cpu")).sum() == 0


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [(False, False, False), (True, False, True), (True, True, False)])
def test_a_box_of_a_crop_is_where_augmentation_takes_its_voxels(flip, turns):
    shape = (6, 6, 5)
    augmentation = Augmentation(flip, turns, 1.0, 0.0)
    box = tumor_box(tumor((1, 3, 3)), shape)
    assert box == (slice(1, 3), slice(3, 6), slice(3, 5))
    in_crop = place_shape(tumor((1, 3, 3)), whole(shape), torch.device("cpu"))
    in_box = place_shape(tumor((1, 3, 3)), box, torch.device("cpu"))
    moved = torch.zeros(shape, dtype=torch.bool)
    moved[augment_box(box, shape, augmentation)] = augment_geometry(in_box, augmentation)
    assert torch.equal(moved, augment_geometry(in_crop, augmentation))


def test_a_slab_comes_from_the_partner_as_it_was_before_any_swap():
    crops = torch.stack([torch.full((4, 4, 2), float(b)) for b in range(3)])
    mixed = swap_slabs(crops, [(1, 0, 3), (0, 1, 1), None])
    assert mixed[0, :3].eq(0).all() and mixed[0, 3:].eq(1).all()
    assert mixed[1, :, :1].eq(1).all() and mixed[1, :, 1:].eq(0).all()
    assert mixed[2].eq(2).all()
    assert crops[0].eq(0).all()


def test_a_partner_that_is_the_crop_itself_changes_nothing():
    crops = torch.rand(2, 1, 4, 4, 4)
    assert torch.equal(swap_slabs(crops, [(0, 1, 2), (1, 0, 0)]), crops)
