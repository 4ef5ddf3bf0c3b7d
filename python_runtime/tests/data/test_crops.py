"""Windows, augmentation, slab swap."""

import numpy as np
import pytest
import torch

from freetumor_runtime.data.crops import (
    Augmentation,
    augment_geometry,
    augment_image,
    swap_slabs,
    window_intensity,
)


def test_the_window_maps_its_ends_to_0_and_1_and_clips():
    hu = torch.tensor([-3000, -175, 37, 250, 3000], dtype=torch.int16)
    expected = np.clip((hu.numpy() + 175) / 425, 0, 1)
    np.testing.assert_allclose(window_intensity(hu, (-175, 250)).numpy(), expected, atol=1e-7)


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
