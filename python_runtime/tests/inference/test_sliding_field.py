"""The windows of a region against MONAI's sliding_window_inference, however the boxes are asked for."""

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from freetumor_runtime.inference.sliding_field import SlidingField, window_starts
from freetumor_runtime.inference.whole_field import whole_field

PATCH = (16, 12, 16)
WHOLE = (slice(0, 37), slice(0, 30), slice(0, 21))


class BatchStatistics(nn.Module):
    """A network whose output depends on what shares its batch, as the generator's does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm3d(2, track_running_stats=False)

    def forward(self, image):
        return self.norm(self.conv(image))


@pytest.fixture
def image_XYZ():
    return torch.rand(37, 30, 21, generator=torch.Generator().manual_seed(1))


def monai(network, image_XYZ, overlap=0.75, batch=1):
    with torch.no_grad():
        return sliding_window_inference(image_XYZ[None, None], PATCH, batch, network, overlap, mode="constant")[0]


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.75])
def test_a_box_holds_what_monai_gives_there(image_XYZ, overlap):
    network = BatchStatistics()
    whole = monai(network, image_XYZ, overlap)
    box = (slice(5, 20), slice(11, 19), slice(0, 21))
    found = SlidingField(network, image_XYZ, PATCH, overlap).at(box)
    # the same sums in the same order; only the division may round otherwise
    torch.testing.assert_close(found, whole[(slice(None), *box)], rtol=1e-6, atol=1e-6)


def test_a_region_smaller_than_the_patch_is_padded_as_monai_does():
    network = BatchStatistics()
    small_XYZ = torch.rand(9, 30, 11, generator=torch.Generator().manual_seed(2))
    box = (slice(0, 9), slice(3, 30), slice(2, 11))
    found = SlidingField(network, small_XYZ, PATCH, 0.5).at(box)
    torch.testing.assert_close(found, monai(network, small_XYZ, 0.5)[(slice(None), *box)], rtol=1e-6, atol=1e-6)


def test_what_a_box_holds_does_not_depend_on_what_was_asked_before(image_XYZ):
    boxes = [
        (slice(0, 5), slice(0, 5), slice(0, 5)),
        (slice(20, 37), slice(9, 30), slice(3, 21)),
        (slice(3, 30), slice(2, 25), slice(1, 20)),
        WHOLE,
    ]
    one_way, other_way = (SlidingField(BatchStatistics(), image_XYZ, PATCH, 0.75, keep=True) for _ in range(2))
    first = [one_way.at(box).clone() for box in boxes]
    second = [other_way.at(box).clone() for box in reversed(boxes)][::-1]
    alone = [SlidingField(BatchStatistics(), image_XYZ, PATCH, 0.75).at(box) for box in boxes]
    for one, other, by_itself in zip(first, second, alone, strict=True):
        assert torch.equal(one, other) and torch.equal(one, by_itself)


def test_only_the_windows_that_reach_the_box_are_computed(image_XYZ):
    field = SlidingField(BatchStatistics(), image_XYZ, PATCH, 0.5)
    field.at((slice(0, 4), slice(0, 4), slice(0, 4)))
    assert field.computed == 1 < field.windows


def test_a_kept_region_never_costs_more_than_about_twice_its_windows(image_XYZ):
    field = SlidingField(BatchStatistics(), image_XYZ, PATCH, 0.75, keep=True)
    for x in range(0, 37, 3):
        for y in range(0, 30, 3):
            field.at((slice(x, min(37, x + 4)), slice(y, min(30, y + 4)), slice(0, 21)))
    assert field.computed <= 2 * field.windows


def test_a_volume_that_all_boxes_need_is_computed_once_with_the_same_values(image_XYZ):
    boxes = [(slice(x, x + 9), slice(x, x + 8), slice(0, 20)) for x in range(0, 20, 3)]
    known, unknown = (
        SlidingField(BatchStatistics(), image_XYZ, PATCH, 0.75, keep=True, boxes=count) for count in (len(boxes), 1)
    )
    for box in boxes:
        assert torch.equal(known.at(box), unknown.at(box))
    assert known.computed == known.windows < unknown.computed


def test_few_small_boxes_do_not_compute_the_volume(image_XYZ):
    field = SlidingField(BatchStatistics(), image_XYZ, PATCH, 0.5, keep=True, boxes=2)
    field.at((slice(0, 4), slice(0, 4), slice(0, 4)))
    assert field.computed == 1 < field.windows


def test_finish_is_applied_once_a_voxel_is_known(image_XYZ):
    field = SlidingField(
        BatchStatistics(), image_XYZ, PATCH, 0.5, keep=True, finish=lambda out: out.argmax(0, keepdim=True) == 1
    )
    found = field.at(WHOLE)
    assert found.dtype is torch.bool and found.shape == (1, 37, 30, 21)
    expected = monai(BatchStatistics(), image_XYZ, 0.5).argmax(0) == 1
    assert (found[0] == expected).float().mean() > 0.999


def test_the_published_batching_is_monais_with_windows_that_share_their_norms(image_XYZ):
    network = BatchStatistics()
    found = whole_field(network, image_XYZ, PATCH, 0.75, 4)(WHOLE)
    assert torch.equal(found, monai(network, image_XYZ, batch=4))
    assert not torch.allclose(found, monai(network, image_XYZ, batch=1), atol=1e-3)


def test_windows_start_where_monais_do():
    assert window_starts(37, 16, 0.75) == [0, 4, 8, 12, 16, 20, 21]
    assert window_starts(16, 16, 0.75) == [0]
