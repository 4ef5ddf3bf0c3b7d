"""Attention window by window, against MONAI's own module."""

import copy

import pytest
import torch
from monai.networks.nets.swin_unetr import BasicLayer, WindowAttention

from freetumor_runtime.models import window_attention
from freetumor_runtime.models.window_attention import BlockwiseAttention, BlockwiseLayer, attend_blockwise


@pytest.fixture
def plain():
    torch.manual_seed(0)
    module = WindowAttention(12, 3, (4, 4, 4), qkv_bias=True)
    torch.nn.init.normal_(module.relative_position_bias_table)
    return module.double()


def values_and_gradients(module, mask):
    """For 6 windows of the module's own size, or of fewer voxels as in a small feature map."""
    results = []
    for voxels in (64, 27):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(6, voxels, 12, generator=generator, dtype=torch.float64).requires_grad_(True)
        module.zero_grad()
        values = module(x, None if mask is None else mask[:, :voxels, :voxels])
        values.square().sum().backward()
        weights = [weight.grad.clone() for weight in module.parameters() if weight.grad is not None]
        results += [values.detach(), x.grad, *weights]
    return results


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_values_and_gradients_are_those_of_monai(plain, masked, frozen):
    mask = torch.where(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2)) < 0.3, -100.0, 0.0).double()
    for weight in plain.parameters():
        weight.requires_grad_(not frozen)
    ours = attend_blockwise(copy.deepcopy(plain))
    assert isinstance(ours, BlockwiseAttention)
    given = mask if masked else None
    got, wanted = values_and_gradients(ours, given), values_and_gradients(plain, given)
    assert len(got) == len(wanted) == 2 * (2 if frozen else 7)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_mixed_precision_is_left_to_monai(plain, monkeypatch):
    ours = attend_blockwise(copy.deepcopy(plain).float())
    x = torch.randn(2, 64, 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x, None), plain.float()(x, None))


@pytest.mark.parametrize("sides", [(12, 9, 8), (4, 3, 10), (2, 2, 2)])
def test_a_stage_without_gradients_gives_what_monai_gives_for_a_batch(sides, monkeypatch):
    # several parts
    monkeypatch.setattr(window_attention, "_WINDOWS", 3)
    monkeypatch.setattr(window_attention, "_VOXELS", 50)
    torch.manual_seed(0)
    plain = BasicLayer(12, 2, 3, (4, 4, 4), [0.0, 0.0], qkv_bias=True).eval()
    for block in plain.blocks:
        torch.nn.init.normal_(block.attn.relative_position_bias_table)
    ours = attend_blockwise(copy.deepcopy(plain))
    assert isinstance(ours, BlockwiseLayer)
    x = torch.randn(2, 12, *sides)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-4, atol=1e-5)
