"""Convolution by slabs along X, against PyTorch's."""

import pytest
import torch
from torch.nn import functional

from freetumor_runtime.models import slab_convolution
from freetumor_runtime.models.convolution import Conv3d
from freetumor_runtime.models.slab_convolution import convolve_by_slabs


@pytest.fixture(params=[1, 1 << 21])
def slab_values(request, monkeypatch):
    """The thinnest slabs, and one slab of all planes."""
    monkeypatch.setattr(slab_convolution, "_SLAB_VALUES", request.param)


def given(inputs, outputs, sides):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, inputs, *sides, generator=generator).contiguous(memory_format=torch.channels_last_3d)
    weight = torch.randn(outputs, inputs, 3, 3, 3, generator=generator)
    bias = torch.randn(outputs, generator=generator)
    return features, weight, bias, functional.conv3d(features.double(), weight.double(), bias.double(), padding=1)


def close(got, wanted):
    torch.testing.assert_close(got, wanted.float(), rtol=1e-4, atol=1e-4)
    assert got.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("sides", [(12, 5, 6), (13, 4, 3), (3, 6, 5), (1, 2, 3)])
def test_it_gives_what_pytorch_gives(slab_values, sides):
    features, weight, bias, wanted = given(5, 7, sides)
    with torch.no_grad():
        close(convolve_by_slabs(features, weight, bias), wanted)


def test_it_overwrites_its_features_or_adds_to_others(slab_values):
    features, weight, bias, wanted = given(6, 6, (14, 5, 6))
    with torch.no_grad():
        sums = torch.ones_like(features)
        close(convolve_by_slabs(features, weight, bias, out=sums, adds=True), wanted + 1)
        assert convolve_by_slabs(features, weight, bias, out=features) is features
        close(features, wanted)


def test_a_convolution_of_many_channels_goes_by_slabs_only_without_gradients(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "freetumor_runtime.models.convolution.convolve_by_slabs",
        lambda *all: calls.append(1) or convolve_by_slabs(*all),
    )
    features, weight, bias, wanted = given(32, 32, (12, 12, 12))
    layer = Conv3d(32, 32, kernel_size=3, padding=1)
    layer.load_state_dict({"weight": weight, "bias": bias})
    torch.testing.assert_close(layer(features), wanted.float(), rtol=1e-3, atol=1e-3)
    assert not calls
    with torch.no_grad():
        torch.testing.assert_close(layer(features), wanted.float(), rtol=1e-3, atol=1e-3)
        assert calls
        calls.clear()
        layer(features.contiguous())
        assert not calls
