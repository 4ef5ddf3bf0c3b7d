import pytest
import torch

from freetumor_runtime.synthesis.losses import (
    adversarial_loss,
    discriminator_loss,
    generator_loss,
    seen_share,
    segmentation_loss,
)


def voxels(values):
    return torch.tensor(values).reshape(len(values), -1, 1, 1)


def probabilities(*samples):
    """Each sample a list of voxels, each voxel a list of class probabilities -> [B, C, voxels, 1, 1]."""
    return torch.tensor(samples).permute(0, 2, 1)[..., None, None]


# two samples of two voxels; roles: synthetic, real | synthetic, background
ROLES = voxels([[3, 2], [3, 0]]).to(torch.uint8)
CALLED_D = probabilities([[0.2, 0.5, 0.3], [0.1, 0.7, 0.2]], [[0.6, 0.1, 0.3], [1.0, 0.0, 0.0]])


def test_the_adversarial_loss_wants_synthetic_voxels_called_real_pooled_over_the_batch():
    assert float(adversarial_loss(CALLED_D, ROLES)) == pytest.approx(1 - 0.6 / (2 + 1e-6))
    unequal = voxels([[3, 3], [3, 0]]).to(torch.uint8)
    assert float(adversarial_loss(CALLED_D, unequal)) == pytest.approx(1 - 1.3 / (3 + 1e-6))


def test_the_discriminator_loss_wants_each_tumor_called_what_it_is():
    expected = ((1 - 0.6 / (2 + 1e-6)) + (1 - 0.7 / (1 + 1e-6))) / 2
    assert float(discriminator_loss(CALLED_D, ROLES)) == pytest.approx(expected)


def test_the_segmentation_loss_sums_the_tumor_channels():
    called = torch.zeros(2, 7, 2, 1, 1)
    called[:, 2], called[:, 4], called[:, 6], called[:, 1] = 0.1, 0.2, 0.3, 0.4
    assert float(segmentation_loss(called, ROLES, (2, 4, 6))) == pytest.approx(1 - 0.6, abs=1e-6)
    assert float(segmentation_loss(called[:, :2], ROLES, (1,))) == pytest.approx(1 - 0.4, abs=1e-6)


def test_the_generator_weighs_the_adversarial_part():
    assert float(generator_loss(torch.tensor(0.5), torch.tensor(0.25), 0.1)) == pytest.approx(0.3)


def test_a_loss_without_voxels_is_one_and_teaches_nothing():
    called = CALLED_D.clone().requires_grad_()
    roles = torch.ones_like(ROLES)
    losses = [
        adversarial_loss(called, roles),
        discriminator_loss(called, roles),
        segmentation_loss(called, roles, (1,)),
    ]
    assert [loss.item() for loss in losses] == [1, 1, 1]
    sum(losses).backward()
    assert torch.count_nonzero(called.grad) == 0


def test_no_real_tumor_leaves_half_of_the_discriminator_loss():
    roles = voxels([[3, 1], [3, 0]]).to(torch.uint8)
    assert float(discriminator_loss(CALLED_D, roles)) == pytest.approx(((1 - 0.6 / (2 + 1e-6)) + 1) / 2)


def test_half_precision_probabilities_are_summed_in_single():
    called = torch.full((1, 3, 50, 50, 50), 0.5, dtype=torch.float16)
    roles = torch.full((1, 50, 50, 50), 3, dtype=torch.uint8)
    assert float(adversarial_loss(called, roles)) == pytest.approx(0.5, abs=1e-5)


def test_the_seen_share_counts_any_tumor_class_on_synthetic_voxels_only():
    called = voxels([[2, 6], [1, 4]])
    assert float(seen_share(called, ROLES, (2, 4, 6))) == pytest.approx(1 / (2 + 1e-6), abs=1e-12)
    assert float(seen_share(called, torch.zeros_like(ROLES), (2, 4, 6))) == 0
