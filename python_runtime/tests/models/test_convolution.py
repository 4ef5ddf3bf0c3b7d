import copy

import pytest
import torch
from torch import nn

from freetumor_runtime.models.convolution import Conv3d, MaxPool3d, PackageInstanceNorm3d, Upsampling3d, quick_layers


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (2, 2, 0), (1, 1, 0)])
def test_a_small_input_gives_what_pytorchs_own_way_gives(kernel, stride, padding):
    torch.manual_seed(0)
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    ours, plain = Conv3d(4, 8, **settings), nn.Conv3d(4, 8, **settings)
    plain.load_state_dict(ours.state_dict())
    features = torch.rand(1, 4, 10, 12, 14)
    with torch.no_grad():
        torch.testing.assert_close(ours(features), plain(features), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(features.double().float()), ours(features), rtol=0, atol=0)


def test_a_sample_has_the_same_bits_alone_and_among_others():
    torch.manual_seed(0)
    ours, features = Conv3d(3, 5, kernel_size=3, padding=1), torch.rand(4, 3, 9, 9, 9)
    with torch.no_grad():
        together = ours(features)
        assert all(torch.equal(ours(features[at : at + 1])[0], together[at]) for at in range(4))


def test_gradients_and_other_types_go_the_usual_way():
    ours = Conv3d(1, 2, kernel_size=3, padding=1)
    ours(torch.rand(1, 1, 6, 6, 6)).sum().backward()
    assert ours.weight.grad is not None
    with torch.no_grad():
        assert ours.double()(torch.rand(1, 1, 6, 6, 6, dtype=torch.float64)).dtype is torch.float64
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert ours.float()(torch.rand(1, 1, 6, 6, 6)).dtype is torch.bfloat16


@pytest.mark.parametrize(
    "plain",
    [
        nn.ConvTranspose3d(6, 4, kernel_size=2, stride=2),
        nn.ConvTranspose3d(6, 4, kernel_size=2, stride=2, bias=False),
        nn.InstanceNorm3d(6, affine=True),
        nn.InstanceNorm3d(6),
    ],
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_quick_layers_give_what_pytorch_gives_with_the_same_keys(plain, channels_last):
    torch.manual_seed(0)
    ours = quick_layers(nn.Sequential(copy.deepcopy(plain)))
    assert type(ours[0]) in (Upsampling3d, PackageInstanceNorm3d)
    assert ours[0].state_dict().keys() == plain.state_dict().keys()
    # far from 0, so that sums of squares would lose digits
    features = torch.rand(2, 6, 10, 12, 14) + 5
    if channels_last:
        features = features.contiguous(memory_format=torch.channels_last_3d)
    exact = features.double().requires_grad_()
    expected = copy.deepcopy(plain).double()(exact)
    with torch.no_grad():
        # without gradients a norm overwrites channels-last features
        torch.testing.assert_close(ours(features.clone()), expected.float(), rtol=1e-5, atol=1e-4)
    upstream = torch.randn(expected.shape)
    learned = ours(features.requires_grad_())
    torch.testing.assert_close(learned, expected.float(), rtol=1e-5, atol=1e-4)
    learned.backward(upstream)
    expected.backward(upstream.double())
    assert features.grad is not None and exact.grad is not None
    torch.testing.assert_close(features.grad, exact.grad.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(10, 12, 14), (9, 11, 2)])
def test_pooling_is_that_of_pytorch(shape):
    features = torch.rand(2, 3, *shape)
    with torch.no_grad():
        assert torch.equal(MaxPool3d(2)(features), nn.MaxPool3d(2)(features))


def test_layers_of_another_kind_stay():
    layers = [
        nn.Conv3d(4, 4, 3, groups=2),
        nn.Conv3d(4, 4, 3, padding="same"),
        nn.Conv3d(4, 4, 3, stride=(1, 2, 2)),
        nn.ConvTranspose3d(4, 4, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose3d(4, 4, (1, 2, 2), stride=(1, 2, 2)),
        nn.InstanceNorm3d(4, track_running_stats=True),
    ]
    kinds = [type(layer) for layer in layers]
    assert [type(layer) for layer in quick_layers(nn.Sequential(*layers))] == kinds
