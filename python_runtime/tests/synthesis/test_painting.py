"""Placing of shapes, and the one painter: crops of a step and subvolumes of a scan are painted alike, bit by bit."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from freetumor_runtime.config.common import GeneratorWindowsSpec, Organ, SlidingWindowsSpec
from freetumor_runtime.config.serving import ServeSpec
from freetumor_runtime.data.crops import (
    Augmentation,
    PlannedCrop,
    PlannedTumor,
    augment_box,
    augment_geometry,
    augment_image,
)
from freetumor_runtime.data.variant_source import Attempt
from freetumor_runtime.models.segmentor import freeze
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.synthesis.crop_painting import CropPainter, OnlineSynthesis
from freetumor_runtime.synthesis.painted_crop import PaintedCrop
from freetumor_runtime.synthesis.painting import TumorPainter, mark_synthetic, place_shape, tumor_box
from freetumor_runtime.synthesis.subvolume import OpenSubvolume, Tools, paint_attempt
from freetumor_runtime.synthesis.texture import TextureBank

CPU = torch.device("cpu")
NOTHING = Augmentation((False, False, False), 0, 1.0, 0.0)
PATCH = (32, 32, 32)
# large enough for every subvolume here, so that both ways read the same textures
TEXTURE_SIZE = (64, 64, 64)
ORGANS = (Organ("liver", 1, 2, 0), Organ("pancreas", 3, 4, 1))
WINDOW_HU = (-175.0, 250.0)


def serve_spec(folder, region: str, window_batch: int = 1) -> ServeSpec:
    return ServeSpec(
        job="serve",
        region=region,
        organs=ORGANS,
        windowHu=WINDOW_HU,
        spacingMm=(1.5, 1.5, 1.5),
        patchVoxels=PATCH,
        generator=None,
        generatorWindows=GeneratorWindowsSpec(0.5, window_batch),
        baseline=None,
        segmentPatchVoxels=PATCH,
        segmentWindows=SlidingWindowsSpec(0.5, "constant", 1),
        judgeOverlap=0.5,
        judgeWindowBatch=1,
        measureAlreadySeen=False,
        measures=(),
        textureSizeVoxels=TEXTURE_SIZE,
        textureDirectory=str(folder),
        textureSeed=0,
        device="cpu",
        threadsPerProcess=1,
    )


def volume(shape) -> tuple[torch.Tensor, torch.Tensor]:
    """HU, and a label of two organs with a real tumor in the first."""
    image_hu = torch.randint(-300, 400, shape, generator=torch.Generator().manual_seed(2), dtype=torch.int16)
    label = torch.zeros(shape, dtype=torch.uint8)
    label[2:16, 2:-2, 2:-2] = 1
    label[16:-2, 2:-2, 2:-2] = 3
    label[10:12, 12:15, 12:15] = 2
    return image_hu, label


def blob(organ: str, origin, seed: int, difference: float = 0.5) -> PlannedTumor:
    """A ragged shape that touches all six sides of its box."""
    shape = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(seed)) < 0.6
    shape[2, 3, :] = shape[2, :, 3] = shape[:, 3, 3] = True
    return PlannedTumor(organ, "tiny", shape.to(torch.uint8), origin, 0.8, 2, (1, 2, 3), difference, 0)


def by_subvolume(spec: ServeSpec, generator, image_hu, label, tumors) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and label as offline synthesis and a warm runtime make them."""
    tools = Tools(spec, CPU, generator, None, False, None, 0)
    subvolume = OpenSubvolume.open(image_hu, label, tools)
    image_XYZ, label_XYZ = subvolume.image_XYZ.clone(), subvolume.label_XYZ.clone()
    for at, tumor in enumerate(tumors):
        painted = paint_attempt(subvolume, image_XYZ, Attempt(at, 0, tumor), ("case", 0))
        assert painted is not None
        mark_synthetic(label_XYZ, painted.box, painted.roles_XYZ, painted.organ.tumorLabel)
    return image_XYZ, label_XYZ


def by_crop(spec: ServeSpec, generator, image_hu, label, tumors) -> PaintedCrop:
    """The same as a training makes them, of a crop that is not augmented."""
    textures = TextureBank(spec.textureDirectory, TEXTURE_SIZE, spec.textureSeed)
    training = SimpleNamespace(windowHu=WINDOW_HU, spacingMm=spec.spacingMm, synthesis=None)
    painter = CropPainter(WINDOW_HU, TumorPainter(spec.region, ORGANS, False, textures, CPU))
    planned = PlannedCrop(0, 0, "case", image_hu, label, NOTHING, tumors, None, False)
    (painted,) = OnlineSynthesis(training, painter, generator, None, None).paint([planned])
    return painted


@pytest.mark.parametrize("region", ["abdomen", "chest"])
@pytest.mark.parametrize("difference", ["handcrafted", "generator", "generator in batches"])
def test_a_subvolume_of_one_patch_is_painted_bit_by_bit_as_a_crop(tmp_path, region, difference):
    torch.manual_seed(0)
    generator = None if difference == "handcrafted" else freeze(UNet3d(len(ORGANS), base_channels=2))
    spec = serve_spec(tmp_path, region, window_batch=2 if difference == "generator in batches" else 1)
    image_hu, label = volume(PATCH)
    # the second overlaps the first, and the real tumor
    tumors = (blob("liver", (8, 9, 9), 0), blob("liver", (9, 12, 11), 1, 0.3), blob("pancreas", (18, 11, 13), 2))
    image_XYZ, label_XYZ = by_subvolume(spec, generator, image_hu, label, tumors)
    painted = by_crop(spec, generator, image_hu, label, tumors)
    assert torch.equal(image_XYZ, painted.fake_XYZ)
    assert torch.equal(label_XYZ, painted.fake_label_XYZ)
    assert (painted.fake_XYZ != painted.image_XYZ).sum() > 300 and (label_XYZ != label).sum() > 150


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 5, 1), (2, 7, 8)])
def test_a_handcrafted_tumor_has_the_same_bits_in_any_crop_that_holds_its_reach(tmp_path, start):
    spec = serve_spec(tmp_path, "abdomen")
    image_hu, label = volume((44, 42, 40))
    tumor = blob("liver", (9, 14, 15), 3)
    image_XYZ, label_XYZ = by_subvolume(spec, None, image_hu, label, [tumor])
    part = tuple(slice(at, at + side) for at, side in zip(start, PATCH, strict=True))
    moved = replace(
        tumor,
        box_origin=tuple(at - first for at, first in zip(tumor.box_origin, start, strict=True)),
        texture_start=tuple(at + first for at, first in zip(tumor.texture_start, start, strict=True)),
    )
    painted = by_crop(spec, None, image_hu[part], label[part], (moved,))
    assert torch.equal(image_XYZ[part], painted.fake_XYZ)
    assert torch.equal(label_XYZ[part], painted.fake_label_XYZ)
    assert (painted.fake_XYZ != painted.image_XYZ).any()


def test_a_tumor_that_leaves_its_organ_is_painted_alike_but_for_rounding(tmp_path):
    """A subvolume blurs the smallest box of the edge mask, a crop the planned box: sums of other lengths."""
    spec = serve_spec(tmp_path, "abdomen")
    image_hu, label = volume(PATCH)
    tumors = (blob("liver", (13, 9, 9), 0),)
    image_XYZ, label_XYZ = by_subvolume(spec, None, image_hu, label, tumors)
    painted = by_crop(spec, None, image_hu, label, tumors)
    assert torch.equal(label_XYZ, painted.fake_label_XYZ)
    torch.testing.assert_close(image_XYZ, painted.fake_XYZ, rtol=0, atol=3e-7)


def block(origin, shape=(2, 3, 4)):
    return PlannedTumor("liver", "tiny", torch.ones(shape, dtype=torch.uint8), origin, 1.0, 0, (0, 0, 0), 0.5, 0)


def whole(shape):
    return tuple(slice(0, side) for side in shape)


def test_image_and_shape_move_together():
    torch.manual_seed(0)
    augmentation = Augmentation((True, True, False), 3, 1.0, 0.0)
    shape = place_shape(block((1, 2, 0)), whole((6, 6, 5)), CPU)
    image = torch.rand(6, 6, 5) * shape
    moved = augment_image(image, augmentation)
    assert torch.equal(moved > 0, augment_geometry(shape, augmentation))


def test_parts_of_a_shape_outside_the_crop_are_lost():
    inside = place_shape(block((4, -1, 3)), whole((5, 5, 5)), CPU)
    assert inside.sum() == 1 * 2 * 2
    assert inside[4, 0:2, 3:5].all()
    assert place_shape(block((9, 0, 0)), whole((5, 5, 5)), CPU).sum() == 0


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [(False, False, False), (True, False, True), (True, True, False)])
def test_a_box_of_a_crop_is_where_augmentation_takes_its_voxels(flip, turns):
    shape = (6, 6, 5)
    augmentation = Augmentation(flip, turns, 1.0, 0.0)
    box = tumor_box(block((1, 3, 3)), shape)
    assert box == (slice(1, 3), slice(3, 6), slice(3, 5))
    in_crop = place_shape(block((1, 3, 3)), whole(shape), CPU)
    in_box = place_shape(block((1, 3, 3)), box, CPU)
    moved = torch.zeros(shape, dtype=torch.bool)
    moved[augment_box(box, shape, augmentation)] = augment_geometry(in_box, augmentation)
    assert torch.equal(moved, augment_geometry(in_crop, augmentation))
