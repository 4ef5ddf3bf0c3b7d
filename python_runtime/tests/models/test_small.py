"""The small segmentor keeps the contract of a segmentor."""

import copy

import pytest
import torch
from torch import nn

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.convolution import Conv3d, InstanceNorm3d, MaxPool3d, Upsampling3d
from freetumor_runtime.models.small import SmallSegmentor

PLAIN = {
    Conv3d: nn.Conv3d,
    InstanceNorm3d: nn.InstanceNorm3d,
    MaxPool3d: nn.MaxPool3d,
    Upsampling3d: nn.ConvTranspose3d,
}


def in_double_precision(network):
    """Return a copy of PyTorch's own layers, which joins nothing."""
    plain = copy.deepcopy(network).double()
    for module in plain.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return plain


def learn(network, image, upstream):
    """Return logits and all gradients."""
    leaf = image.clone().requires_grad_()
    logits = network(leaf)
    logits.backward(upstream)
    return [logits.detach(), leaf.grad, *(parameter.grad for parameter in network.parameters())]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_logits_and_gradients_are_those_of_pytorchs_layers_in_every_layout(monkeypatch, capability, checkpointing):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    torch.manual_seed(0)
    network = SmallSegmentor(out_channels=3, base_channels=8, levels=3, activation_checkpointing=checkpointing)
    image, upstream = torch.rand(2, 1, 24, 32, 40), torch.randn(2, 3, 24, 32, 40)
    expected = learn(in_double_precision(network), image.double(), upstream.double())
    found = learn(network, image, upstream)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-4 * other.abs().max()
    with torch.no_grad():
        torch.testing.assert_close(network(image), expected[0].float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_two_steps_from_the_same_weights_are_bit_identical(monkeypatch, capability):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    torch.manual_seed(0)
    network = SmallSegmentor(out_channels=3, base_channels=8, levels=2)
    image, upstream = torch.rand(2, 1, 16, 16, 24), torch.randn(2, 3, 16, 16, 24)
    again = copy.deepcopy(network)
    one, other = learn(network, image, upstream), learn(again, image, upstream)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_logits_have_the_shape_of_the_image(levels):
    network = SmallSegmentor(out_channels=7, base_channels=4, levels=levels)
    assert network(torch.rand(2, 1, 16, 24, 32)).shape == (2, 7, 16, 24, 32)


def test_a_crop_does_not_depend_on_its_batch_mates():
    torch.manual_seed(0)
    network = SmallSegmentor(out_channels=3, base_channels=4, levels=2)
    batch = torch.rand(3, 1, 16, 16, 16)
    torch.testing.assert_close(network(batch)[1], network(batch[1:2])[0])


def test_every_parameter_learns():
    network = SmallSegmentor(out_channels=3, base_channels=4, levels=3)
    network(torch.rand(1, 1, 16, 16, 16)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_width_of_zero_is_refused():
    with pytest.raises(ConfigError, match="base channels"):
        SmallSegmentor(out_channels=3, base_channels=0)
