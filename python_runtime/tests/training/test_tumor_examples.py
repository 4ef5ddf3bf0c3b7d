"""The first tumors of each organ, size and verdict keep a picture, whatever the interruptions."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from freetumor_runtime.config.common import Organ
from freetumor_runtime.data.components import largest_whole_component
from freetumor_runtime.data.crop_source import CropMeasures, CropVerdict
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor, augment_geometry
from freetumor_runtime.synthesis.painted_crop import PaintedCrop
from freetumor_runtime.training.tumor_examples import TumorExamples

SHAPE = (60, 56, 20)
TURNED = Augmentation((True, False, True), 1, 1.0, 0.0)


def spec(tmp_path):
    return SimpleNamespace(
        runDirectory=str(tmp_path),
        baseline=object(),
        spacingMm=(1.0, 1.0, 2.0),
        windowHu=(-175.0, 250.0),
        organs=(Organ("liver", 1, 2, 0), Organ("kidney", 5, 6, 2)),
    )


def crop(item, organ="liver", size="tiny", label=None):
    tumor = PlannedTumor(organ, size, torch.ones(1, 1, 1), (0, 0, 0), 1.0, 0, (0, 0, 0), 0.2, 0)
    label = torch.zeros(SHAPE, dtype=torch.uint8) if label is None else label
    return PlannedCrop(item, 0, "a", label.to(torch.int16), label, TURNED, (tumor,), None, False)


def painted(item, synthetic_voxels=8):
    """A tumor of 4 x 5 x 6 voxels, in the middle of the second half of the first axis."""
    image, label = torch.full(SHAPE, 0.5), torch.zeros(SHAPE, dtype=torch.uint8)
    fake, fake_label = image.clone(), label.clone()
    fake[40:44, 30:35, 8:14], fake_label[40:44, 30:35, 8:14] = 0.25, 2
    measures = CropMeasures(item, 0, 0, synthetic_voxels, 2, 0, -0.25, {})
    return PaintedCrop(*(augment_geometry(part, TURNED) for part in (image, label, fake, fake_label)), measures)


def names(tmp_path):
    return sorted(file.stem for file in (tmp_path / "pictures").glob("*.json"))


def judge(examples, step, **verdicts):
    kinds = [(item, *kind.split("_")) for item, kind in enumerate(verdicts)]
    crops = [crop(item, organ, size) for item, organ, size in kinds]
    by_item = {(item, 0): CropVerdict(accepted) for item, accepted in enumerate(verdicts.values())}
    examples.keep_judged(step, crops, [painted(item) for item, *_ in kinds], by_item)


def test_two_tumors_of_each_organ_size_and_verdict_are_kept(tmp_path):
    examples = TumorExamples(spec(tmp_path), 0)
    for step in range(4):
        judge(examples, step, liver_tiny=step != 1, kidney_small=False)
    assert names(tmp_path) == [
        "tumor_00000000_0_0_liver_tiny_accepted",
        "tumor_00000000_1_0_kidney_small_rejected",
        "tumor_00000001_0_0_liver_tiny_rejected",
        "tumor_00000001_1_0_kidney_small_rejected",
        "tumor_00000002_0_0_liver_tiny_accepted",
    ]


def test_a_resumed_run_leaves_the_files_of_an_uninterrupted_one(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, stops in ((whole, [(0, 5)]), (parts, [(0, 4), (2, 5)])):
        folder.mkdir()
        for first, end in stops:
            examples = TumorExamples(spec(folder), first)
            for step in range(first, end):
                judge(examples, step, liver_tiny=step in (1, 3, 4))
    assert names(whole) == names(parts)
    for name in names(whole):
        assert (whole / f"pictures/{name}.json").read_bytes() == (parts / f"pictures/{name}.json").read_bytes()


def test_pictures_after_the_checkpoint_are_replaced(tmp_path):
    judge(TumorExamples(spec(tmp_path), 0), 3, liver_tiny=True)
    (tmp_path / "pictures/step_00000003.json").write_text("{}")
    TumorExamples(spec(tmp_path), 3)
    assert names(tmp_path) == ["step_00000003"]


def test_a_picture_shows_the_tumor_upright_with_its_measures(tmp_path):
    judge(TumorExamples(spec(tmp_path), 0), 7, liver_tiny=True)
    picture = json.loads((tmp_path / "pictures" / f"{names(tmp_path)[0]}.json").read_text())
    assert (picture["kind"], picture["verdict"], picture["shareSeen"]) == ("tumor", "accepted", 0.25)
    # a sphere of 4 x 5 x 6 voxels of 2 mm3
    assert picture["diameterMm"] == pytest.approx((6 * 240 / np.pi) ** (1 / 3), abs=0.005)
    (plane,) = picture["planes"]
    assert (plane["name"], plane["width"], plane["height"], plane["pixelMm"]) == ("axial", 48, 48, [1.0, 1.0])
    mask = np.frombuffer(base64.b64decode(plane["mask"]), np.uint8).reshape(48, 48)
    # the square starts at voxel (12, 8); the pictures have right at the left and front at the top
    assert np.argwhere(np.flip(mask, (0, 1)).T).min(0).tolist() == [28, 22]
    assert mask.sum() == 20
    assert set(base64.b64decode(plane["synthetic"])) == {64, 128}


def test_a_tumor_without_a_voxel_is_not_kept(tmp_path):
    examples = TumorExamples(spec(tmp_path), 0)
    examples.keep_judged(0, [crop(0)], [painted(0, synthetic_voxels=0)], {(0, 0): False})
    assert not (tmp_path / "pictures").exists()


def test_one_real_tumor_of_each_organ_and_diameter_is_kept(tmp_path):
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[10:14, 10:14, 4:8] = 2
    # larger, but cut by the crop
    label[30:60, 30:40, 4:8] = 2
    label[20:26, 20:26, 10:12] = 6
    image_XYZ = augment_geometry(torch.full(SHAPE, 0.5), TURNED)
    label_XYZ = augment_geometry(label, TURNED)
    real = PaintedCrop(image_XYZ, label_XYZ, image_XYZ, label_XYZ, None)
    examples = TumorExamples(spec(tmp_path), 0)
    for step in range(3):
        examples.keep_judged(step, [crop(step, label=label)], [real], {})
    assert names(tmp_path) == ["real_00000000_0_0_kidney_0mm", "real_00000000_0_0_liver_0mm"]
    picture = json.loads((tmp_path / "pictures/real_00000000_0_0_liver_0mm.json").read_text())
    assert (picture["kind"], picture["organ"]) == ("real", "liver")
    assert sum(base64.b64decode(picture["planes"][0]["mask"])) == 16


def test_a_component_that_touches_a_side_is_not_whole():
    mask = np.zeros((5, 5, 5), bool)
    mask[0:3, 1, 1] = True
    assert largest_whole_component(mask) is None
    mask[3, 3, 3] = True
    assert np.argwhere(largest_whole_component(mask)).tolist() == [[3, 3, 3]]
    assert largest_whole_component(np.zeros((3, 3, 3), bool)) is None
