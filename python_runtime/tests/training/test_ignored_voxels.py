"""Ignored voxels: no gradient at them, and losses and counts as of the other voxels alone (docs/data.md)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from torch.nn.functional import cross_entropy, nll_loss

from freetumor_runtime.config.common import SlidingWindowsSpec
from freetumor_runtime.config.training import CachedCase
from freetumor_runtime.data.cache_writer import write_prepared_case
from freetumor_runtime.data.label_ids import IGNORED_LABEL, training_ids
from freetumor_runtime.synthesis.losses import adversarial_loss, discriminator_loss, segmentation_loss
from freetumor_runtime.synthesis.render import region_roles, with_synthetic
from freetumor_runtime.training.optimization import SegmentationLoss
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.validation import validate

SHAPE = (2, 12, 10, 8)
WEIGHTS = [0.5, 1.0, 12.0, 1.0, 2.0, 1.0, 3.0]


def logits(seed=0, memory_format=torch.contiguous_format):
    made = torch.randn(2, 7, *SHAPE[1:], generator=torch.Generator().manual_seed(seed))
    return made.to(memory_format=memory_format).requires_grad_()


def region_ids(share=0.4, seed=1):
    """Random ids of the abdomen, and where they are ignored."""
    stream = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 7, SHAPE, generator=stream)
    ignored = torch.rand(SHAPE, generator=stream) < share
    return ids.masked_fill(ignored, IGNORED_LABEL), ignored


def on_known_voxels(logits_BCXYZ, label_BXYZ):
    """Dice and cross-entropy of one sample after another, from lists of the voxels that are not ignored."""
    weights, dices, entropy, total = torch.tensor(WEIGHTS).double(), [], 0.0, 0.0
    for sample_CXYZ, ids_XYZ in zip(logits_BCXYZ.double(), label_BXYZ, strict=True):
        known = ids_XYZ != IGNORED_LABEL
        voxels_NC, ids_N = sample_CXYZ[:, known].T, ids_XYZ[known]
        p = voxels_NC.softmax(1)
        t = torch.nn.functional.one_hot(ids_N, 7)
        dices += [1 - (2 * (p * t).sum(0) + 1e-5) / (p.sum(0) + t.sum(0) + 1e-5)]
        entropy += nll_loss(p.log(), ids_N, weights, reduction="sum")
        total += weights[ids_N].sum()
    return torch.stack(dices)[:, 1:].mean(), entropy / total


@pytest.mark.parametrize("share", [0.05, 0.4, 0.95])
def test_the_segmentation_loss_and_its_gradients_are_those_of_the_other_voxels(share):
    label, ignored = region_ids(share)
    ours, theirs = logits(), logits()
    losses = SegmentationLoss(WEIGHTS)(ours, label)
    expected = on_known_voxels(theirs, label)
    torch.testing.assert_close(torch.stack(losses).double(), torch.stack(expected))
    sum(losses).backward()
    sum(expected).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-8)
    at_ignored = ours.grad.movedim(1, -1)[ignored]
    assert len(at_ignored) > 0 and torch.count_nonzero(at_ignored) == 0
    assert torch.count_nonzero(ours.grad.movedim(1, -1)[~ignored]) > 0


@pytest.mark.parametrize("at", [0, 1], ids=["dice", "cross-entropy"])
def test_each_part_of_the_segmentation_loss_has_no_gradient_at_ignored_voxels(at):
    label, ignored = region_ids()
    ours = logits()
    SegmentationLoss(WEIGHTS)(ours, label)[at].backward()
    assert torch.count_nonzero(ours.grad.movedim(1, -1)[ignored]) == 0


def test_logits_at_ignored_voxels_change_no_bit_of_the_loss():
    label, ignored = region_ids()
    other = torch.where(ignored[:, None], 50 * torch.randn_like(logits()), logits())
    one, two = (SegmentationLoss(WEIGHTS)(given, label) for given in (logits(), other))
    assert torch.equal(torch.stack(one), torch.stack(two))


def test_a_crop_of_ignored_voxels_alone_has_a_loss_of_0_and_no_gradient():
    ours = logits()
    losses = SegmentationLoss(WEIGHTS)(ours, torch.full(SHAPE, IGNORED_LABEL))
    sum(losses).backward()
    assert [loss.item() for loss in losses] == [0, 0]
    assert torch.count_nonzero(ours.grad) == 0


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_without_ignored_voxels_no_bit_of_the_loss_changes_and_gradients_only_by_rounding(memory_format):
    label, _ = region_ids(share=0)
    weights = torch.tensor(WEIGHTS)
    plain, ours = logits(3, memory_format), logits(3, memory_format)
    dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)(plain, label[:, None])
    each = cross_entropy(plain, label, weights, reduction="none")
    before = torch.stack([dice, each.sum() / weights[label].sum()])
    after = torch.stack(SegmentationLoss(WEIGHTS)(ours, label))
    assert torch.equal(before, after)
    before.sum().backward()
    after.sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad, rtol=0, atol=1e-6 * plain.grad.abs().max().item())


def test_the_losses_of_synthesis_have_no_gradient_at_ignored_voxels():
    label, ignored = region_ids()
    # a planned tumor that covers every voxel: only the organ takes it
    roles = region_roles(label.to(torch.uint8), organ_label=1, tumor_labels=(2, 4, 6))
    roles = with_synthetic(roles, torch.ones(SHAPE, dtype=torch.uint8))
    losses = [
        lambda p: adversarial_loss(p, roles),
        lambda p: discriminator_loss(p, roles),
        lambda p: segmentation_loss(p, roles, (2, 4, 6)),
    ]
    for loss in losses:
        given = logits()
        loss(given.softmax(1)).backward()
        assert torch.count_nonzero(given.grad.movedim(1, -1)[ignored]) == 0
        assert torch.count_nonzero(given.grad) > 0


def test_training_ids_keep_ignored_voxels_and_give_no_class_to_ids_that_a_region_lacks():
    ids = training_ids((0, 1, 2, 0, 0, 0, 0))
    assert ids[:7].tolist() == [0, 1, 2, 0, 0, 0, 0]
    assert ids[IGNORED_LABEL] == IGNORED_LABEL
    assert set(ids[7:IGNORED_LABEL].tolist()) == {-1}
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        SegmentationLoss(WEIGHTS)(logits(), torch.full(SHAPE, -1))


def test_a_validation_counts_the_other_voxels_only(tmp_path):
    stream = np.random.default_rng(4)
    image = stream.integers(-175, 250, (20, 18, 16), np.int16)
    label = stream.integers(0, 7, image.shape).astype(np.uint8)
    label[stream.random(image.shape) < 0.3] = IGNORED_LABEL
    attributes = {"case": "one", "windowHu": [-175, 250], "contentSha256": "as prepared"}
    write_prepared_case(tmp_path / "one.zarr", image, label, 7, -175, attributes)
    spec = SimpleNamespace(
        trainingLabels=(0, 1, 2, 0, 0, 0, 0),
        windowHu=(-175, 250),
        spacingMm=(1.5, 1.5, 1.5),
        patchVoxels=(16, 16, 16),
        segmentor=SimpleNamespace(outputs=3),
        validation=SimpleNamespace(
            cases=(CachedCase("one", str(tmp_path / "one.zarr"), "as prepared"),),
            windows=SlidingWindowsSpec(0.5, "constant", 1),
        ),
    )
    bounds = torch.tensor([0.0, 0.4, 0.7]).reshape(1, 3, 1, 1, 1)
    # a later class wins above its bound
    network = torch.nn.Module()
    network.forward = lambda image_B1XYZ: (image_B1XYZ >= bounds) * torch.arange(1.0, 4).reshape(1, 3, 1, 1, 1)
    ranks = Ranks(0, 1, torch.device("cpu"), None)
    result, _ = validate(spec, ranks, network, 1)
    windowed = (image.astype(np.float32) + 175) / 425
    predicted, known = (windowed >= 0.4).astype(int) + (windowed >= 0.7), label != IGNORED_LABEL
    truth = np.where(label <= 2, label, 0)
    for row in result.result["counts"]:
        p, t = predicted[known] == row["label"], truth[known] == row["label"]
        assert row["truePositive"] == (p & t).sum() > 0
        assert row["falsePositive"] == (p & ~t).sum()
        assert row["falseNegative"] == (~p & t).sum()
