"""Upsampling and convolution joined, against the two one after the other."""

import copy

import pytest
import torch
from monai.networks.blocks import UnetrUpBlock
from monai.networks.nets import SwinUNETR
from torch import nn
from torch.nn import functional

from freetumor_runtime.models import joined_convolution
from freetumor_runtime.models.residual_blocks import JoinedUpBlock, quick_blocks
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d, UpLevel


def one_after_the_other(coarse, skip, up_weight, up_bias, weight, bias):
    up = functional.conv_transpose3d(coarse, up_weight, up_bias, stride=2)
    return functional.conv3d(torch.cat([up, skip], 1), weight, bias, padding=weight.shape[-1] // 2)


@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_all_gradients_are_those_of_the_two_one_after_the_other(side, biased):
    torch.manual_seed(0)
    shapes = [(2, 5, 3, 4, 2), (2, 3, 6, 8, 4), (5, 4, 2, 2, 2), (4,), (6, 7, side, side, side), (6,)]
    given = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    if not biased:
        given[3] = given[5] = None
    upstream = torch.randn(2, 6, 6, 8, 4, dtype=torch.float64)

    def values_and_gradients(way):
        leaves = [one if one is None else one.clone().requires_grad_(True) for one in given]
        values = way(*leaves)
        values.backward(upstream)
        return [values.detach(), *(leaf.grad for leaf in leaves if leaf is not None)]

    def joined(coarse, skip, up_weight, up_bias, weight, bias):
        return joined_convolution.upsample_and_convolve(
            coarse, skip, up_weight=up_weight, up_bias=up_bias, weight=weight, bias=bias
        )

    for got, wanted in zip(values_and_gradients(joined), values_and_gradients(one_after_the_other), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_a_projection_overwrites_a_channels_last_skip():
    torch.manual_seed(5)
    shapes = [(2, 5, 3, 4, 2), (2, 3, 6, 8, 4), (5, 4, 2, 2, 2), (3, 7, 1, 1, 1)]
    coarse, skip, up_weight, weight = (torch.randn(shape) for shape in shapes)
    wanted = one_after_the_other(coarse, skip, up_weight, None, weight, None)
    skip = skip.contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        got = joined_convolution.upsample_and_project_in_place(coarse, skip, up_weight=up_weight, weight=weight)
    assert got is skip
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_joins_its_weights_once_and_again_after_each_change(monkeypatch):
    torch.manual_seed(3)
    shapes = [(1, 5, 3, 4, 2), (1, 3, 6, 8, 4), (5, 4, 2, 2, 2), (4,), (6, 7, 3, 3, 3), (6,)]
    coarse, skip, up_weight, up_bias, weight, bias = (torch.randn(shape) for shape in shapes)
    calls = []
    original = joined_convolution.join_weights
    monkeypatch.setattr(joined_convolution, "join_weights", lambda *given: calls.append(1) or original(*given))

    def joined(up_weight, up_bias, fresh=False):
        if fresh:
            joined_convolution._KEPT.clear()
        named = {"up_weight": up_weight, "up_bias": up_bias, "weight": weight, "bias": bias}
        return joined_convolution.upsample_and_convolve(coarse, skip, **named)

    with torch.no_grad():
        first = joined(up_weight, up_bias)
        assert torch.equal(joined(up_weight, up_bias), first) and len(calls) == 1
        for change in (up_weight, up_bias, weight):
            change.mul_(2)
            kept = joined(up_weight, up_bias)
            assert not torch.equal(kept, first)
            assert torch.equal(kept, joined(up_weight, up_bias, fresh=True))
            first = kept
        other = joined(up_weight + 1, up_bias)
        assert torch.equal(other, joined(up_weight + 1, up_bias, fresh=True)) and not torch.equal(other, first)
    before = len(calls)
    joined(up_weight, up_bias)
    joined(up_weight, up_bias)
    assert len(calls) == before + 2


def test_trained_weights_are_joined_in_every_call_because_fused_optimizers_hide_their_changes():
    torch.manual_seed(4)
    network, image = UNet3d(3, 4), torch.randn(1, 1, 32, 32, 32)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        network(image).square().mean().backward()
        with torch.no_grad():
            network(image)
        optimizer.step()
    with torch.no_grad():
        kept = network(image)
        joined_convolution._KEPT.clear()
        assert torch.equal(kept, network(image))


def test_it_pays_where_there_are_many_voxels_for_each_channel_and_only_on_a_cpu():
    assert joined_convolution.pays(torch.empty(1, 128, 32, 32, 32))
    assert not joined_convolution.pays(torch.empty(1, 512, 8, 8, 8))
    assert not joined_convolution.pays(torch.empty(1, 128, 32, 32, 32, device="meta"))


@pytest.mark.parametrize("biased", [(), ("transp_conv.conv",), ("conv_block.conv3.conv",)])
@pytest.mark.parametrize("gradients", [False, True])
def test_an_up_block_without_and_with_biases_is_that_of_monai(biased, gradients):
    torch.manual_seed(6)
    plain = UnetrUpBlock(3, 8, 4, kernel_size=3, upsample_kernel_size=2, norm_name="instance", res_block=True)
    # the norm of the projection would hide most of a bias
    plain.conv_block.norm3 = nn.Identity()
    for name in biased:
        layer = plain.get_submodule(name)
        layer.bias = nn.Parameter(torch.randn(4))
    ours = quick_blocks(copy.deepcopy(plain))
    coarse, skip = torch.randn(1, 8, 12, 12, 12), torch.randn(1, 4, 24, 24, 24)
    skip = skip.contiguous(memory_format=torch.channels_last_3d)
    with torch.set_grad_enabled(gradients):
        wanted, got = plain(coarse, skip.clone()), ours(coarse, skip.clone())
    assert type(ours) is JoinedUpBlock
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_swinunetr_and_its_gradients_are_those_of_plain_monai():
    torch.manual_seed(2)
    plain = SwinUNETR(in_channels=1, out_channels=3, feature_size=12, use_v2=True)
    ours = build_segmentor("swinunetr", outputs=3, feature_size=12, levels=0, patch_merging="corrected")
    ours.load_state_dict(plain.state_dict(), strict=True)
    assert joined_convolution.pays(torch.empty(1, 12, 32, 32, 32))
    image, results = torch.randn(1, 1, 64, 64, 64), []
    for network in (plain, ours):
        values = network(image)
        values.square().mean().backward()
        results.append(
            (
                values.detach(),
                network.decoder1.transp_conv.conv.weight.grad,
                network.encoder1.layer.conv1.conv.weight.grad,
            )
        )
    for got, wanted in zip(*reversed(results), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_a_swinunetr_without_gradients_is_that_of_plain_monai():
    torch.manual_seed(2)
    plain = SwinUNETR(in_channels=1, out_channels=3, feature_size=36, use_v2=True).eval()
    ours = build_segmentor("swinunetr", outputs=3, feature_size=36, levels=0, patch_merging="corrected").eval()
    ours.load_state_dict(plain.state_dict(), strict=True)
    image = torch.rand(2, 1, 32, 64, 32)
    given = image.clone()
    with torch.no_grad():
        wanted, got = plain(image), ours(image)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert torch.equal(image, given) and got.is_contiguous()


def test_the_u_net_is_the_same_to_rounding_with_and_without(monkeypatch):
    torch.manual_seed(1)
    network, image = UNet3d(3, 4), torch.randn(1, 1, 32, 32, 32)
    calls = []
    original = joined_convolution.upsample_and_convolve
    monkeypatch.setattr(
        "freetumor_runtime.models.unet3d.upsample_and_convolve",
        lambda *given, **more: calls.append(1) or original(*given, **more),
    )
    with torch.no_grad():
        joined = network(image)
        monkeypatch.setattr("freetumor_runtime.models.unet3d.pays", lambda _: False)
        apart = network(image)
    assert len(calls) > 0
    assert any(isinstance(module, UpLevel) for module in network.modules())
    torch.testing.assert_close(joined, apart, rtol=1e-4, atol=1e-4)
