"""Sliding windows against MONAI's, and what may be left out of them."""

from dataclasses import replace

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from freetumor_runtime.inference.sliding_windows import averaged_planes, plan_windows, segment_volume
from freetumor_runtime.models.segmentor import build_segmentor, freeze

PATCH = (16, 24, 16)
torch.manual_seed(3)
NETWORK = freeze(build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="corrected"))


class Counting(nn.Module):
    """Counts the windows that go through a network."""

    def __init__(self, network=NETWORK) -> None:
        super().__init__()
        self.network, self.windows = network, 0

    def forward(self, windows_B1XYZ):
        self.windows += len(windows_B1XYZ)
        return self.network(windows_B1XYZ)


def by_monai(image_XYZ, overlap=0.5, blend="constant", cval=0.0):
    with torch.no_grad():
        return sliding_window_inference(
            image_XYZ[None, None], PATCH, 3, NETWORK, overlap, mode=blend, padding_mode="constant", cval=cval
        )[0]


def body(shape=(40, 51, 37), size=0.4):
    """Values in [0, 1] in a ball, air around it."""
    torch.manual_seed(0)
    grid = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in shape), indexing="ij")
    ball = sum(axis**2 for axis in grid) < size
    return torch.rand(shape) * ball


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("shape", [(40, 51, 37), (16, 24, 16), (9, 30, 40), (3, 3, 3)])
def test_logits_are_those_of_monai(shape, overlap, blend):
    image_XYZ = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    ours = segment_volume(NETWORK, image_XYZ, PATCH, overlap, blend, 4)
    torch.testing.assert_close(ours.logits_CXYZ, by_monai(image_XYZ, overlap, blend), rtol=0, atol=1e-5)
    assert (ours.computed, ours.blank, ours.left_out) == (ours.windows, 0, 0)


def test_a_small_volume_is_padded_with_the_given_value():
    image_XYZ = torch.rand((10, 30, 20), generator=torch.Generator().manual_seed(1)) + 0.25
    ours = segment_volume(NETWORK, image_XYZ, PATCH, 0.5, "constant", 2, padding_value=0.25)
    torch.testing.assert_close(ours.logits_CXYZ, by_monai(image_XYZ, cval=0.25), rtol=0, atol=1e-5)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_blank_windows_go_through_the_network_once_and_change_nothing(blend):
    image_XYZ, network = body((64, 75, 60), 0.1), Counting()
    ours = segment_volume(network, image_XYZ, PATCH, 0.5, blend, 4)
    torch.testing.assert_close(ours.logits_CXYZ, by_monai(image_XYZ, blend=blend), rtol=0, atol=1e-5)
    assert ours.blank > 5
    assert network.windows == ours.computed == ours.windows - ours.blank


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_wanted_voxels_have_the_logits_they_have_without_leaving_windows_out(blend):
    image_XYZ = torch.rand((40, 51, 37), generator=torch.Generator().manual_seed(1))
    wanted_XYZ = torch.zeros(image_XYZ.shape, dtype=torch.bool)
    wanted_XYZ[3:9, 40:44, 30:36] = True
    network = Counting()
    ours = segment_volume(network, image_XYZ, PATCH, 0.5, blend, 4, wanted_XYZ=wanted_XYZ)
    everything = by_monai(image_XYZ, blend=blend)
    torch.testing.assert_close(ours.logits_CXYZ[:, wanted_XYZ], everything[:, wanted_XYZ], rtol=0, atol=1e-5)
    assert network.windows == ours.computed == ours.windows - ours.left_out < ours.windows / 3
    assert ours.logits_CXYZ[:, 0, 0, 0].argmax() == 0 and ours.logits_CXYZ.isfinite().all()


def test_voxels_of_windows_taken_out_of_a_plan_are_background():
    image_XYZ = body() + 0.1
    plan = plan_windows(image_XYZ, PATCH, 0.5)
    plan = replace(plan, asked=tuple(start for start in plan.asked if start[0] < 10))
    planes = averaged_planes(NETWORK, plan, "gaussian", 1)
    logits = torch.cat([values_CXYZ.clone() for _, values_CXYZ in planes], 1)
    whole = segment_volume(NETWORK, image_XYZ, PATCH, 0.5, "gaussian", 1).logits_CXYZ
    last = max(start[0] for start in plan.asked) + PATCH[0]
    assert last < image_XYZ.shape[0] and bool((logits[:, last:].softmax(0)[0] == 1).all())
    # no window that was left out holds these
    torch.testing.assert_close(logits[:, :8], whole[:, :8])
    assert plan.counts.left_out == plan.counts.windows - len(plan.asked) > 0


def test_nothing_wanted_is_background_everywhere():
    image_XYZ = body()
    nothing = torch.zeros(image_XYZ.shape, dtype=torch.bool)
    ours = segment_volume(NETWORK, image_XYZ, PATCH, 0.5, "constant", 4, wanted_XYZ=nothing)
    assert ours.computed == 0 and ours.left_out == ours.windows
    assert ours.logits_CXYZ.shape == (3, *image_XYZ.shape) and not ours.logits_CXYZ.argmax(0).any()


def test_windows_with_little_foreground_are_left_out_on_request():
    image_XYZ = body()
    some = segment_volume(NETWORK, image_XYZ, PATCH, 0.5, "constant", 4, min_foreground=0.3)
    # against a plain loop over MONAI's windows
    from monai.data.utils import dense_patch_slices

    total, count = torch.zeros(3, *image_XYZ.shape), torch.zeros(image_XYZ.shape)
    with torch.no_grad():
        for place in dense_patch_slices(image_XYZ.shape, PATCH, [side // 2 for side in PATCH]):
            if (image_XYZ[place] > 0).float().mean() >= 0.3:
                total[(slice(None), *place)] += NETWORK(image_XYZ[place][None, None])[0]
                count[place] += 1
    assert 0 < some.left_out < some.windows
    torch.testing.assert_close(some.logits_CXYZ[:, count > 0], (total / count)[:, count > 0], rtol=0, atol=1e-5)
    assert (some.logits_CXYZ.argmax(0)[count == 0] == 0).all()
