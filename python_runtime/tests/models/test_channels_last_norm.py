import torch
from torch import nn

from freetumor_runtime.models.channels_last_norm import norm_channels_last
from freetumor_runtime.models.convolution import InstanceNorm3d


def channels_last(*shape, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)


def test_the_gradients_are_those_of_the_values():
    torch.manual_seed(0)
    features = channels_last(2, 3, 2, 3, 4, dtype=torch.float64).requires_grad_()
    weight, bias = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda *given: norm_channels_last(*given, 1e-5), (features, weight, bias))


def test_values_keep_their_digits_far_from_zero_and_their_layout():
    torch.manual_seed(0)
    features = channels_last(2, 6, 10, 12, 14) + 100
    ours, exact = InstanceNorm3d(6, affine=True), nn.InstanceNorm3d(6, affine=True).double()
    normed = ours(features.requires_grad_())
    assert normed.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(normed, exact(features.double()).float(), rtol=1e-5, atol=1e-4)


def test_an_activation_changes_values_in_place():
    torch.manual_seed(0)
    features = channels_last(1, 2, 3, 4, 5, dtype=torch.float64)
    leaves = [torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def gradients(in_place):
        leaf = features.clone().requires_grad_()
        activated = nn.LeakyReLU(0.01, inplace=in_place)(norm_channels_last(leaf, *leaves, 1e-5))
        return torch.autograd.grad(activated.square().sum(), [leaf, *leaves])

    assert all(map(torch.equal, gradients(True), gradients(False)))
