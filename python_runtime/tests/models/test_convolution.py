import pytest
import torch
from torch import nn

from freetumor_runtime.models.convolution import Conv3d


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
