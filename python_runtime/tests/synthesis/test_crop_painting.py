"""Planned tumors on crops: in their boxes as on the whole crop, each organ's with its own id."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from freetumor_runtime.data.crops import (
    Augmentation,
    PlannedCrop,
    PlannedTumor,
    augment_geometry,
    augment_image,
    window_intensity,
)
from freetumor_runtime.synthesis.crop_painting import CropPainter, OnlineSynthesis
from freetumor_runtime.synthesis.painting import TumorPainter, planned_voxels
from freetumor_runtime.synthesis.render import edge_mask, edge_weight, region_roles, with_synthetic

CPU = torch.device("cpu")
SHAPE = (24, 24, 20)
ORGANS = [
    SimpleNamespace(name="liver", label=1, tumorLabel=2, channel=0),
    SimpleNamespace(name="pancreas", label=3, tumorLabel=4, channel=1),
]
SPEC = SimpleNamespace(
    organs=ORGANS,
    windowHu=(-175, 250),
    spacingMm=(1.5, 1.5, 1.5),
    region="abdomen",
    generator=None,
    synthesis=None,
)
NOTHING = Augmentation((False, False, False), 0, 1.0, 0.0)


@dataclass
class OneTexture:
    volume: torch.Tensor

    def part(self, _index, start, shape, _device=None):
        return self.volume[tuple(slice(at, at + side) for at, side in zip(start, shape, strict=True))]


TEXTURE = OneTexture(torch.rand(40, 40, 40, generator=torch.Generator().manual_seed(1)))


def synthesis() -> OnlineSynthesis:
    painter = CropPainter(SPEC.windowHu, TumorPainter(SPEC.region, ORGANS, False, TEXTURE, CPU))
    return OnlineSynthesis(SPEC, painter, None, None, None)


def crop(tumors, augmentation=NOTHING) -> PlannedCrop:
    image_hu = torch.randint(-300, 400, SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.int16)
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[2:12, 2:22, 1:19] = 1
    label[12:23, 2:22, 1:19] = 3
    label[4:6, 4:8, 4:8] = 2
    return PlannedCrop(0, 0, "case", image_hu, label, augmentation, tuple(tumors), None, False)


def tumor(organ, origin, difference=0.5, draw=0):
    shape = torch.ones(5, 4, 3, dtype=torch.uint8)
    shape[0, 0, 0] = 0
    return PlannedTumor(organ, "tiny", shape, origin, 1.2, 0, (3, 5, 7), difference, draw)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [(False, False, False), (True, False, True)])
def test_a_tumor_painted_in_its_box_is_the_one_painted_on_the_whole_augmented_crop(flip, turns):
    augmentation = Augmentation(flip, turns, 1.1, -0.05)
    sent = crop([tumor("liver", (3, 5, 6))], augmentation)
    (painted,) = synthesis().paint([sent])

    shape = torch.zeros(SHAPE, dtype=torch.bool)
    shape[3:8, 5:9, 6:9] = sent.tumors[0].box > 0
    shape = augment_geometry(shape, augmentation)
    image = augment_image(window_intensity(sent.image_hu, SPEC.windowHu), augmentation)
    before = region_roles(augment_geometry(sent.label, augmentation), organ_label=1, tumor_labels=(2, 4))
    roles = with_synthetic(before, shape)
    texture = TEXTURE.part(0, (3, 5, 7), roles.shape)
    weight = edge_weight(edge_mask(before, shape), 1.2)
    expected = torch.where((roles == 1) | (roles == 3), image - weight * 0.5 * texture, image)

    assert (painted.fake_XYZ - expected).abs().max() < 1e-6
    assert torch.equal(painted.fake_label_XYZ == 2, (painted.label_XYZ == 2) | (roles == 3))
    assert torch.equal(painted.image_XYZ, image)
    assert painted.measures.synthetic_voxels == (roles == 3).sum()


def test_tumors_of_two_organs_in_a_crop_become_the_tumor_of_their_own_organ():
    sent = crop([tumor("liver", (7, 14, 10)), tumor("pancreas", (14, 12, 8)), tumor("pancreas", (10, 3, 3))])
    (painted,) = synthesis().paint([sent])
    new = painted.fake_label_XYZ != painted.label_XYZ
    assert set(painted.label_XYZ[new & (painted.fake_label_XYZ == 2)].tolist()) == {1}
    assert set(painted.label_XYZ[new & (painted.fake_label_XYZ == 4)].tolist()) == {3}
    # the last lies across both organs: only its own is changed
    assert painted.fake_label_XYZ[13, 4, 4] == 4 and painted.fake_label_XYZ[11, 4, 4] == 1
    assert painted.measures.synthetic_voxels == new.sum() == 59 + 59 + 3 * 4 * 3
    assert (painted.fake_XYZ != painted.image_XYZ)[new].float().mean() > 0.95
    unchanged = (painted.label_XYZ == 2) | (painted.label_XYZ == 0)
    assert torch.equal(painted.fake_XYZ[unchanged], painted.image_XYZ[unchanged])


def test_only_the_wanted_attempt_of_a_crop_is_painted():
    first, second = tumor("liver", (3, 5, 6)), tumor("liver", (6, 15, 10), draw=1)
    both = crop([first, second])
    (attempt,) = synthesis().paint([both])
    (other,) = synthesis().paint([both], [1])
    for painted, alone, draw in ((attempt, first, 0), (other, second, 1)):
        (expected,) = synthesis().paint([crop([alone])], [draw])
        assert torch.equal(painted.fake_XYZ, expected.fake_XYZ)
        assert torch.equal(painted.fake_label_XYZ, expected.fake_label_XYZ)
        assert painted.measures.draw == draw
    assert not torch.equal(attempt.fake_label_XYZ, other.fake_label_XYZ)


def test_a_crop_without_a_plan_is_left_as_it_is():
    (painted,) = synthesis().paint([crop([])])
    assert painted.measures is None
    assert torch.equal(painted.fake_XYZ, painted.image_XYZ)


@pytest.mark.parametrize("augmentation", [NOTHING, Augmentation((True, False, True), 1, 1.1, -0.05)])
def test_ignored_voxels_receive_no_tumor_and_are_no_part_of_its_planned_shape(augmentation):
    origin = (3, 14, 6)
    sent = crop([tumor("liver", origin)], augmentation)
    sent.label[3:8, 16:18, 6:8] = 255
    (painted,) = synthesis().paint([sent])
    ignored = augment_geometry(sent.label, augmentation) == 255
    assert torch.equal(painted.fake_XYZ[ignored], painted.image_XYZ[ignored])
    assert torch.equal(painted.fake_label_XYZ == 255, ignored)
    # the shape covers 59 voxels, of which 5 x 2 x 2 are ignored
    assert painted.measures.synthetic_voxels == planned_voxels(sent.tumors[0], sent.label) == 59 - 20


class WaitsOfGpu(TorchDispatchMode):
    """Records operations for which a GPU would make the host wait: their result, or its shape, is read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        by_mask = name.startswith("aten.index.") and any(
            one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]
        )
        if by_mask or name.split(".")[1] in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Judge:
    """A baseline that labels tumor (2) where the image is bright, and organ (1) elsewhere."""

    tumor_outputs = (2, 4)

    def network(self, image_B1XYZ):
        bright = (image_B1XYZ > 0.4).float()
        return torch.cat([bright * 0, bright * 0 + 0.5, bright], 1)


def judged() -> OnlineSynthesis:
    plain = synthesis()
    spec = SimpleNamespace(**{**vars(SPEC), "synthesis": SimpleNamespace(measureAlreadySeen=True, measures=())})
    return OnlineSynthesis(spec, plain.painter, None, None, Judge())


def test_measures_of_all_crops_are_those_of_a_plain_count():
    sent = [
        crop([tumor("liver", (3, 14, 6)), tumor("liver", (5, 5, 10))]),
        crop([]),
        crop([tumor("pancreas", (14, 5, 6))]),
    ]
    painted = judged().paint(sent)
    assert painted[1].measures is None
    for one in (painted[0], painted[2]):
        synthetic = (one.fake_label_XYZ != one.label_XYZ).numpy()
        before, after = one.image_XYZ.numpy(), one.fake_XYZ.numpy()
        found = one.measures
        assert found.synthetic_voxels == synthetic.sum() > 0
        assert found.seen_voxels == (synthetic & (after > 0.4)).sum() < found.synthetic_voxels
        assert found.already_seen_voxels == (synthetic & (before > 0.4)).sum() > found.seen_voxels
        assert found.contrast == pytest.approx((after - before)[synthetic].mean(dtype="float64"), rel=1e-6)


def test_painting_and_measuring_the_crops_of_a_step_reads_no_value_of_the_device_before_the_end():
    sent = [crop([tumor("liver", (3, 14, 6))]), crop([tumor("pancreas", (14, 5, 6))])]
    with WaitsOfGpu() as waits:
        (one, _) = judged().paint(sent)
        in_a_step = list(waits.found)
        # the detector sees what it looks for
        int((one.fake_XYZ[one.label_XYZ == 1] > 0.4).sum())
    assert in_a_step == []
    assert len(waits.found) == 2
