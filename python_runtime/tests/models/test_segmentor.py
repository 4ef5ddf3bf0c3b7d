import pytest
import torch
from monai.networks.nets import SwinUNETR

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.patch_merging import MERGING_ORDERS
from freetumor_runtime.models.segmentor import build_segmentor, freeze, merging_order_of, tumor_outputs
from tests.parity import (
    fixture,
    formula_input,
    keys_of,
    largest_deviation,
    needs_parity,
    published_keys,
    with_formula_weights,
)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def swinunetr(order, outputs=3, feature_size=12):
    return build_segmentor(
        "swinunetr", outputs=outputs, feature_size=feature_size, levels=4, patch_merging=order
    ).eval()


@needs_parity
@torch.no_grad()
@pytest.mark.parametrize("outputs", [7, 2])
def test_the_legacy_order_gives_the_published_output(outputs):
    name = f"swinunetr_v2_fs48_out{outputs}"
    published = fixture(f"{name}_in64")
    network = swinunetr("legacy", outputs, feature_size=48)
    assert list(keys_of(network).items()) == list(published_keys(name).items())
    logits = with_formula_weights(network)(formula_input(64, 0.7))
    deviations = {
        "output": largest_deviation(logits[:, :, ::4, ::4, ::4], published["output_every4"]),
        "mean": largest_deviation(logits.mean((0, 2, 3, 4)), published["mean"]),
        "std": largest_deviation(logits.std((0, 2, 3, 4)), published["std"]),
    }
    print(name, {key: f"{value:.1e}" for key, value in deviations.items()})
    assert all(value < 1e-3 for value in deviations.values())


@torch.no_grad()
@pytest.mark.parametrize(("order", "plain"), [("corrected", "merging"), ("v2", "mergingv2")])
def test_the_other_orders_are_those_of_plain_monai(order, plain):
    ours = with_formula_weights(swinunetr(order))
    theirs = SwinUNETR(in_channels=1, out_channels=3, feature_size=12, use_v2=True, downsample=plain).eval()
    assert keys_of(ours) == keys_of(theirs)
    with_formula_weights(theirs)
    image = formula_input(64, 0.7)[..., :32, :32]
    # ours adds up attention window by window and joins convolutions: the same to rounding; another order misses by 0.05
    assert largest_deviation(ours(image), theirs(image).numpy()) < 1e-4


@torch.no_grad()
def test_the_orders_have_the_same_keys_and_other_outputs():
    networks = {order: with_formula_weights(swinunetr(order)) for order in MERGING_ORDERS}
    image = formula_input(64, 0.7)[..., :32, :32]
    outputs = {order: network(image) for order, network in networks.items()}
    for one in MERGING_ORDERS:
        assert keys_of(networks[one]) == keys_of(networks["legacy"])
        assert merging_order_of(networks[one]) == one
        for other in MERGING_ORDERS:
            assert (one == other) == ((outputs[one] - outputs[other]).abs().max() < 1e-3)


def test_a_frozen_segmentor_lets_gradients_through_to_its_input():
    network = freeze(swinunetr("legacy"))
    image = formula_input(64, 0.7)[..., :32, :32].clone().requires_grad_()
    network(image).sum().backward()
    assert image.grad is not None and torch.count_nonzero(image.grad) > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_small_segmentor_is_built_by_the_same_call_and_has_no_merging_order():
    network = build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="legacy")
    assert network(torch.rand(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)
    assert merging_order_of(network) is None


def test_unknown_kinds_and_orders_are_refused():
    with pytest.raises(ConfigError, match="expected swinunetr, resenc, unet, small, found vnet"):
        build_segmentor("vnet", outputs=3, feature_size=4, levels=2, patch_merging="legacy")
    with pytest.raises(ConfigError, match="expected legacy, corrected, v2, found old"):
        swinunetr("old")


def test_tumors_of_published_segmentors():
    assert [tumor_outputs(outputs) for outputs in (7, 3, 2)] == [(2, 4, 6), (2,), (1,)]
    with pytest.raises(ConfigError, match="number of outputs: 4"):
        tumor_outputs(4)
