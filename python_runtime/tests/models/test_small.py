"""The small segmentor keeps the contract of a segmentor."""

import pytest
import torch

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.small import SmallSegmentor


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
