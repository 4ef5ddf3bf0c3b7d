"""Schedules, optimizers and the segmentation loss of docs/method.md 7 and 10."""

import math

import pytest
import torch

from freetumor_runtime.config.training import OptimizerSpec
from freetumor_runtime.training.optimization import (
    SegmentationLoss,
    build_optimizer,
    scheduled_learning_rate,
)


def spec(kind="adamw", schedule="warmupCosine", warmup=10):
    return OptimizerSpec(kind, 3e-4, 0.01, schedule, warmup, None)


def test_the_rate_rises_linearly_from_0_then_falls_as_a_cosine_to_0():
    rates = [scheduled_learning_rate(spec(), 3e-4, step, 110) for step in range(111)]
    assert rates[0] == 0
    assert rates[9] == pytest.approx(3e-4)
    assert rates[10] == pytest.approx(3e-4)
    assert rates[60] == pytest.approx(3e-4 * (1 + math.cos(math.pi / 2)) / 2)
    assert rates[110] == pytest.approx(0, abs=1e-12)


def test_poly_is_the_schedule_of_nnunet_after_the_warm_up():
    rates = [scheduled_learning_rate(spec(schedule="poly", warmup=0), 0.01, step, 1000) for step in range(1001)]
    assert rates == pytest.approx([0.01 * (1 - step / 1000) ** 0.9 for step in range(1001)])
    assert scheduled_learning_rate(spec(schedule="poly", warmup=10), 0.01, 10, 1000) == 0.01


def test_a_constant_schedule_is_constant():
    assert scheduled_learning_rate(spec(schedule="constant"), 1e-4, 77, 100) == 1e-4


def test_adam_is_that_of_the_gan_and_adamw_has_amsgrad():
    parameter = torch.nn.Parameter(torch.zeros(1))
    frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    adam = build_optimizer(spec("adam"), [parameter, frozen])
    assert adam.param_groups[0]["betas"] == (0.0, 0.999)
    assert len(adam.param_groups[0]["params"]) == 1
    assert build_optimizer(spec(), [parameter]).param_groups[0]["amsgrad"] is True
    sgd = build_optimizer(spec("sgd"), [parameter]).param_groups[0]
    assert (sgd["momentum"], sgd["nesterov"], sgd["weight_decay"]) == (0.99, True, 0.01)


KINDS = {
    "adam": lambda weights: torch.optim.Adam(weights, 3e-4, (0.0, 0.999), weight_decay=0.01, fused=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, 3e-4, weight_decay=0.01, amsgrad=True, fused=True),
    "sgd": lambda weights: torch.optim.SGD(weights, 3e-4, 0.99, weight_decay=0.01, nesterov=True, fused=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_pytorch_also_with_a_state_that_was_read(kind):
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    built, reference = build_optimizer(spec(kind), [ours]), KINDS[kind]([theirs])
    for _ in range(4):
        gradient = torch.randn(7)
        for weights, optimizer in ((ours, built), (theirs, reference)):
            optimizer.zero_grad()
            (weights * gradient).sum().backward()
            optimizer.step()
        assert torch.equal(ours, theirs)
        state, built = built.state_dict(), build_optimizer(spec(kind), [ours])
        built.load_state_dict(state)
    assert not torch.equal(ours, torch.linspace(-1, 1, 7))


def nnunet_loss(logits, label):
    """nnU-Net's DC_and_CE_loss with weights 1, without batch Dice: 1 below ours, which has the same gradients."""
    p, t = logits.softmax(1), torch.nn.functional.one_hot(label, logits.shape[1]).movedim(-1, 1)
    inter, sums = (p * t).sum((2, 3, 4))[:, 1:], (p.sum((2, 3, 4)) + t.sum((2, 3, 4)))[:, 1:]
    return torch.nn.functional.cross_entropy(logits, label) - ((2 * inter + 1e-5) / (sums + 1e-5).clip(1e-8)).mean()


def test_deep_supervision_weights_the_losses_of_the_resolutions_as_nnunet_does():
    torch.manual_seed(2)
    label = torch.randint(0, 3, (2, 8, 8, 8))
    logits = tuple(torch.randn(2, 3, side, side, side, requires_grad=True) for side in (8, 4, 2))
    coarse = [label[:, 1::2, 1::2, 1::2], label[:, 2::4, 2::4, 2::4]]
    wanted = sum(
        weight * nnunet_loss(one, truth)
        for weight, one, truth in zip((4 / 7, 2 / 7, 1 / 7), logits, [label, *coarse], strict=True)
    )
    got = sum(SegmentationLoss([1.0] * 3)(logits, label))
    torch.testing.assert_close(got, wanted + 1)
    torch.testing.assert_close(torch.autograd.grad(got, logits), torch.autograd.grad(wanted, logits))


def test_the_loss_is_dice_over_the_foreground_classes_and_weighted_cross_entropy():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 3, (2, 4, 4, 4))
    weights = torch.tensor([0.2, 1.0, 12.0])
    p, t = logits.softmax(1), torch.nn.functional.one_hot(label, 3).movedim(-1, 1)
    inter, sums = (p * t).sum((2, 3, 4)), p.sum((2, 3, 4)) + t.sum((2, 3, 4))
    dice = (1 - (2 * inter + 1e-5) / (sums + 1e-5))[:, 1:].mean()
    w = weights[label]
    entropy = -(w * p.log().gather(1, label[:, None])[:, 0]).sum() / w.sum()
    got_dice, got_entropy = SegmentationLoss(weights.tolist())(logits, label)
    torch.testing.assert_close(got_dice, dice)
    torch.testing.assert_close(got_entropy, entropy)


@pytest.mark.parametrize("outputs", [2, 7])
def test_the_dice_loss_is_bit_identical_to_monais_and_gradients_are_so_up_to_rounding(outputs):
    from monai.losses import DiceLoss

    torch.manual_seed(3)
    label = torch.randint(0, outputs, (2, 24, 20, 28))
    ours, monais = (torch.randn(2, outputs, 24, 20, 28).mul_(3).requires_grad_() for _ in range(2))
    monais.data.copy_(ours.data)
    weights = [0.2] + [2.0] * (outputs - 1)
    dice, entropy = SegmentationLoss(weights)(ours, label)
    monai_dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)(monais, label[:, None])
    plain_entropy = torch.nn.functional.cross_entropy(monais, label, torch.tensor(weights))
    assert dice.item().hex() == monai_dice.item().hex()
    torch.testing.assert_close(entropy, plain_entropy)
    # one formula for all passes: sums in another order
    for got, wanted in ((dice, monai_dice), (entropy, plain_entropy)):
        gradient, plain = (torch.autograd.grad(*one, retain_graph=True)[0] for one in ((got, ours), (wanted, monais)))
        torch.testing.assert_close(gradient, plain, rtol=0, atol=1e-6 * plain.abs().max().item())


def test_with_equal_weights_the_loss_is_monais_dice_ce():
    from monai.losses import DiceCELoss

    torch.manual_seed(1)
    logits, label = torch.randn(3, 7, 5, 4, 6), torch.randint(0, 7, (3, 5, 4, 6))
    published = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)(logits, label[:, None])
    torch.testing.assert_close(sum(SegmentationLoss([1.0] * 7)(logits, label)), published)
