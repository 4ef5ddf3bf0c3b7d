"""The step of one network: parts, mixed precision, clipping, what is frozen."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from freetumor_runtime.config.training import OptimizerSpec
from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.small import SmallSegmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.learner import Learner, mean_losses, mixed_precision, parts_of_step
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.start import freeze_by_name

ALONE = Ranks(0, 1, torch.device("cpu"), None)


def spec(**changes):
    optimizer = OptimizerSpec("adamw", 0.01, 0.0, "constant", 0, changes.pop("clip", None))
    given = {"optimizer": optimizer, "precision": "fp32", "reproducible": False, "itemsPerStep": 4, "accumulation": 1}
    return SimpleNamespace(**{**given, **changes})


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def one_step(setting, batch, net=None):
    """Gradients that the optimizer saw, weights after it, and the mean loss."""
    net = net or network()
    learner = Learner(net, setting, ALONE)
    learner.share()
    learner.begin(0.01)
    losses = []
    for at, part in enumerate(batch.chunk(parts_of_step(setting, ALONE))):
        with learner.part(at):
            with mixed_precision(setting, ALONE):
                output = learner.shared(part)
            loss = output.float().square().mean()
            learner.backward(loss)
        losses.append(loss.detach()[None])
    learner.step()
    gradients = torch.cat([parameter.grad.flatten() for parameter in net.parameters()])
    return gradients, nn.utils.parameters_to_vector(net.parameters()), mean_losses(losses, setting, ALONE)[0]


@pytest.fixture
def batch():
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("setting", [spec(accumulation=2), spec(accumulation=4), spec(reproducible=True)])
def test_the_gradient_of_an_accumulated_batch_is_that_of_the_whole_batch(batch, setting):
    for got, whole in zip(one_step(setting, batch), one_step(spec(), batch), strict=True):
        torch.testing.assert_close(torch.as_tensor(got), torch.as_tensor(whole), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("reproducible", [False, True])
def test_gradients_are_clipped_to_the_norm_of_all_weights_together(batch, reproducible):
    free, _, _ = one_step(spec(reproducible=reproducible), batch)
    clipped, _, _ = one_step(spec(reproducible=reproducible, clip=0.01), batch)
    assert free.norm() > 0.01
    torch.testing.assert_close(clipped, free * 0.01 / free.norm(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("reproducible", [False, True])
def test_half_precision_learns_what_full_precision_learns_to_its_own_accuracy(batch, precision, reproducible):
    gradients, _, loss = one_step(spec(precision=precision, reproducible=reproducible), batch)
    wanted, _, wanted_loss = one_step(spec(), batch)
    accuracy = 0.05 if precision == "bf16" else 0.005
    assert (gradients - wanted).norm() < accuracy * wanted.norm()
    assert loss != wanted_loss
    assert loss == pytest.approx(wanted_loss, rel=accuracy)


@pytest.mark.parametrize("reproducible", [False, True])
def test_an_fp16_step_whose_gradients_overflow_is_left_out_and_the_scale_falls(batch, reproducible):
    setting = spec(precision="fp16", reproducible=reproducible)
    net = network()
    before = nn.utils.parameters_to_vector(net.parameters()).clone()
    learner = Learner(net, setting, ALONE)
    scale = learner.state()["scaler"]["scale"]
    learner.begin(0.01)
    for part in batch.chunk(parts_of_step(setting, ALONE)):
        learner.backward(learner.shared(part).mean() * 1e38)
    learner.step()
    assert torch.equal(nn.utils.parameters_to_vector(net.parameters()), before)
    assert learner.state()["scaler"]["scale"] == scale / 2


def test_restored_state_continues_as_before(batch, tmp_path):
    setting = spec(precision="fp16")
    net = network()
    one_step(setting, batch, net)
    first = Learner(net, setting, ALONE)
    first.begin(0.01)
    first.backward(first.shared(batch).square().mean())
    first.step()
    other = Learner(network(), setting, ALONE)
    other.restore(str(tmp_path), "segmentor", net.state_dict(), copy.deepcopy(first.state("G")), "G")
    assert other.state()["scaler"] == first.state()["scaler"]
    for learner in (first, other):
        learner.begin(0.01)
        learner.backward(learner.shared(batch).square().mean())
        learner.step()
    assert torch.equal(
        nn.utils.parameters_to_vector(first.network.parameters()),
        nn.utils.parameters_to_vector(other.network.parameters()),
    )


def test_an_optimizer_saved_without_fused_steps_resumes(batch, tmp_path):
    learner = Learner(network(), spec(), ALONE)
    old = torch.optim.AdamW(network().parameters(), lr=0.01, weight_decay=0.0, amsgrad=True)
    learner.restore(str(tmp_path), "segmentor", network().state_dict(), {"optimizer": old.state_dict()})
    assert learner.optimizer.param_groups[0]["fused"] is True


def test_what_is_not_taught_has_no_gradient_and_what_is_frozen_stays_so(batch):
    net = network()
    freeze_by_name({"": net}, ["0.*"])
    learner = Learner(net, spec(), ALONE)
    learner.teach(False)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    learner.teach(True)
    assert [parameter.requires_grad for parameter in net.parameters()] == [False, False, True, True]
    frozen = net[0].weight.clone()
    learner.begin(0.01)
    learner.backward(learner.shared(batch).square().mean())
    learner.step()
    assert torch.equal(net[0].weight, frozen)


def test_freezing_lists_the_frozen_weights_and_refuses_patterns_that_match_none_or_all():
    (note,) = freeze_by_name({"netG.": network(), "netD.": network()}, ["netG.0.*", "netD.2.bias"])
    assert note.text == "frozen weight tensors: 3 of 8 (values: 22 frozen, 42 trained)"
    with pytest.raises(ConfigError, match=r"training.freeze: 'netG.9.\*' matches no weight") as refused:
        freeze_by_name({"netG.": network()}, ["netG.9.*"])
    assert "netG.0, netG.2" in refused.value.hint
    with pytest.raises(ConfigError, match="leaves no weight of netD to train"):
        freeze_by_name({"netG.": network(), "netD.": network()}, ["netD.*"])
    assert freeze_by_name({"": network()}, []) == []


@pytest.mark.parametrize("build", [lambda on: UNet3d(2, 2, on), lambda on: SmallSegmentor(2, 4, 2, on)])
def test_activation_checkpointing_changes_no_bit_of_the_gradients(build):
    image = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(3))
    gradients = []
    for on in (False, True):
        torch.manual_seed(4)
        net = build(on)
        net(image).square().mean().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    assert torch.equal(*gradients)
