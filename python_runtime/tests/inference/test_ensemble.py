"""Mirrored averaging, half precision and ensembles."""

import pytest
import torch
from torch import nn

from freetumor_runtime.inference.ensemble import ensemble_planes, predictor_of
from freetumor_runtime.inference.sliding_windows import averaged_planes, plan_windows, segment_volume
from freetumor_runtime.models.segmentor import build_segmentor, freeze

PATCH = (16, 16, 16)


def small(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return freeze(build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="corrected"))


def image() -> torch.Tensor:
    return torch.rand((20, 24, 18), generator=torch.Generator().manual_seed(1))


def segment(member):
    return segment_volume(member, image(), PATCH, 0.5, "constant", 2)


def test_mirrored_logits_are_means_over_all_ways_to_mirror():
    network = small(0)
    windows = torch.rand((2, 1, *PATCH), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = predictor_of(network, (0, 2), "fp32")(windows)
        ways = [network(windows.flip(axes)).flip(axes) for axes in ([], [2], [4], [2, 4])]
    torch.testing.assert_close(ours, sum(ways) / 4, rtol=0, atol=1e-6)
    assert not torch.allclose(ours, ways[0], atol=1e-4)


@pytest.mark.parametrize("mirror", [(), (0, 1, 2)])
def test_mirrored_prediction_of_a_mirrored_image_is_the_mirrored_prediction(mirror):
    predict = predictor_of(small(0), mirror, "fp32")
    windows = torch.rand((1, 1, *PATCH), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        difference = (predict(windows.flip(2)).flip(2) - predict(windows)).abs().max()
    assert (difference < 1e-5) == bool(mirror)


def test_half_precision_is_near_and_its_sums_are_float32():
    network = small(0)
    half = segment(predictor_of(network, (), "bf16")).logits_CXYZ
    full = segment(predictor_of(network, (), "fp32")).logits_CXYZ
    assert half.dtype == torch.float32
    # bfloat16 has 8 bits: 1 in 256 of values of about 1, through eight layers
    assert 0 < (half - full).abs().max() < 0.05 * full.abs().max()


def walked(members):
    plan = plan_windows(image(), PATCH, 0.5)
    planes = ensemble_planes([averaged_planes(member, plan, "constant", 2) for member in members])
    return torch.cat([values_CXYZ.clone() for _, values_CXYZ in planes], 1)


def test_an_ensemble_has_the_mean_of_its_members_probabilities():
    members = [predictor_of(small(seed), (), "fp32") for seed in (0, 1, 2)]
    apart = [segment(member) for member in members]
    mean = sum(one.logits_CXYZ.softmax(0) for one in apart) / 3
    torch.testing.assert_close(walked(members), mean, rtol=0, atol=1e-6)


def test_one_member_keeps_its_logits():
    member = predictor_of(small(0), (), "fp32")
    assert torch.equal(walked([member]), segment(member).logits_CXYZ)
