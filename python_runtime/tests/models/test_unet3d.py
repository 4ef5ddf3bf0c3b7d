import pytest
import torch

from freetumor_runtime.errors import DataError
from freetumor_runtime.models.unet3d import UNet3d
from tests.parity import (
    fixture,
    formula_input,
    keys_of,
    largest_deviation,
    needs_parity,
    published_keys,
    with_formula_weights,
)


@needs_parity
def test_has_the_keys_shapes_and_order_of_the_published_generators():
    for name, outputs in (("tgan_abdomen", 3), ("tgan_chest", 1)):
        published = published_keys(name)
        assert list(keys_of(UNet3d(outputs)).items()) == [
            (key.removeprefix("netG."), value) for key, value in published.items() if key.startswith("netG.")
        ]
        assert keys_of(UNet3d(3)) == {
            key.removeprefix("netD."): value for key, value in published.items() if key.startswith("netD.")
        }


@needs_parity
def test_gives_the_published_output_in_training_and_in_evaluation():
    published = fixture("unet3d_out3_in16")
    network = with_formula_weights(UNet3d(3))
    image_B1XYZ = formula_input(16, 0.3)
    assert largest_deviation(image_B1XYZ, published["input"]) == 0
    with torch.no_grad():
        for mode in (network.train(), network.eval()):
            deviation = largest_deviation(mode(image_B1XYZ), published["output"])
            print(f"unet3d_out3_in16: {deviation:.2e}")
            assert deviation < 1e-3


def test_a_forward_changes_nothing_that_a_checkpoint_holds():
    network = UNet3d(2, base_channels=4)
    for key, value in network.state_dict().items():
        if "running_" in key:
            value.fill_(0.25)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for mode in (network.train(), network.eval()):
        mode(torch.rand(2, 1, 16, 16, 16))
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(value == 0 for key, value in before.items() if key.endswith("num_batches_tracked"))


def test_a_narrow_network_has_the_published_structure():
    narrow, wide = UNet3d(3, base_channels=4), UNet3d(3, base_channels=32)
    assert list(narrow.state_dict()) == list(wide.state_dict())
    assert sum(parameter.numel() for parameter in wide.parameters()) == pytest.approx(19.07e6, rel=1e-3)
    assert narrow(torch.rand(1, 1, 24, 16, 32)).shape == (1, 3, 24, 16, 32)


def test_refuses_a_side_that_does_not_halve_three_times():
    with pytest.raises(DataError, match="multiples of 8, found .20, 16, 16"):
        UNet3d(1, base_channels=4)(torch.rand(1, 1, 20, 16, 16))
