"""Pictures are spread over the run and show the body as it lies."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from freetumor_runtime.data.crop_source import CropMeasures
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor, augment_geometry
from freetumor_runtime.training.pictures import Pictures, undo_geometry

SHAPE = (6, 5, 4)
TURNED = Augmentation((True, False, True), 1, 1.0, 0.0)


def spec(tmp_path, steps=10, pictures=3, baseline=True):
    return SimpleNamespace(
        steps=steps,
        pictures=pictures,
        runDirectory=str(tmp_path),
        baseline=object() if baseline else None,
        spacingMm=(1.0, 2.0, 4.0),
        windowHu=(-175.0, 250.0),
    )


def tumor(organ, draw):
    return PlannedTumor(organ, "small", torch.ones(1, 1, 1), (0, 0, 0), 1.0, 0, (0, 0, 0), 0.2, draw)


def crop(augmentation=TURNED):
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    tumors = (tumor("liver", 0), tumor("kidney", 1))
    return PlannedCrop(7, 1, "a", label.to(torch.int16), label, augmentation, tumors, None, False)


def measures(draw=0):
    return CropMeasures(7, 1, draw, synthetic_voxels=4, seen_voxels=3, already_seen_voxels=0, contrast=0.0, more={})


def save(tmp_path, image, fake, mask, **changes):
    """Saves volumes given as the body lies; the job sees them augmented."""
    turned = [augment_geometry(volume, TURNED) for volume in (image, fake, mask)]
    Pictures(spec(tmp_path, baseline=changes.get("baseline", True)), 0).save(4, crop(), *turned, measures())
    return json.loads((tmp_path / "pictures/step_00000004.json").read_text())


def pixels(plane, key):
    rows = np.frombuffer(base64.b64decode(plane[key]), np.uint8)
    return rows.reshape(plane["height"], plane["width"])


@pytest.mark.parametrize(("steps", "wanted"), [(1, 1), (10, 3), (60, 6), (3, 6), (100, 0)])
def test_as_many_pictures_as_asked_are_spread_over_the_run(tmp_path, steps, wanted):
    pictures = Pictures(spec(tmp_path, steps, wanted), 0)
    chosen = []
    for step in range(steps):
        if pictures.due(step):
            chosen.append(step)
            pictures._last = step
    assert len(chosen) == min(steps, wanted)
    assert not wanted or chosen[-1] == steps - 1


def test_a_step_without_a_tumor_passes_its_turn_to_the_next(tmp_path):
    pictures = Pictures(spec(tmp_path), 0)
    assert not pictures.due(2)
    assert pictures.due(3) and pictures.due(4)
    mask = torch.ones(SHAPE, dtype=torch.bool)
    pictures.save(
        4, crop(Augmentation((False,) * 3, 0, 1.0, 0.0)), torch.zeros(SHAPE), torch.ones(SHAPE), mask, measures()
    )
    assert not pictures.due(5)
    assert pictures.due(6)


def test_a_resumed_run_does_not_make_up_for_the_pictures_before(tmp_path):
    assert not Pictures(spec(tmp_path), 4).due(4)


@pytest.mark.parametrize("turns", range(4))
def test_flips_and_turns_are_taken_back(turns):
    augmentation = Augmentation((True, False, True), turns, 1.2, 0.1)
    volume = torch.arange(60).reshape(5, 4, 3)
    assert torch.equal(undo_geometry(augment_geometry(volume, augmentation), augmentation), volume)


def test_the_three_planes_cut_the_thickest_part_of_the_tumor(tmp_path):
    image = torch.zeros(SHAPE)
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[2, 1, 3] = mask[2, 1, 2] = mask[2, 3, 3] = mask[4, 1, 3] = True
    picture = save(tmp_path, image, image + mask * 0.5, mask)
    assert {plane["name"]: (plane["width"], plane["height"]) for plane in picture["planes"]} == {
        "axial": (6, 5),
        "coronal": (6, 4),
        "sagittal": (5, 4),
    }
    for plane in picture["planes"]:
        assert pixels(plane, "mask").sum() == 3
        assert pixels(plane, "synthetic").max() == 128 and pixels(plane, "host").max() == 0
        assert np.array_equal(pixels(plane, "synthetic") > 0, pixels(plane, "mask") == 1)


def test_right_front_and_head_lie_as_radiologists_expect(tmp_path):
    mask = torch.ones(SHAPE, dtype=torch.bool)
    image = torch.zeros(SHAPE)
    image[-1, -1, -1] = 1.0  # the farthest right, front and head
    mask[:, :, :-1] = mask[:, :-1, :] = mask[:-1, :, :] = False
    picture = save(tmp_path, image, image, mask)
    for plane in picture["planes"]:
        assert pixels(plane, "host")[0, 0] == 255
        assert pixels(plane, "host").sum() == 255


def test_a_picture_names_its_tumor_and_what_the_baseline_saw_if_there_was_one(tmp_path):
    mask = torch.ones(SHAPE, dtype=torch.bool)
    picture = save(tmp_path, torch.zeros(SHAPE), torch.full(SHAPE, 1.7), mask)
    assert (picture["step"], picture["item"], picture["crop"]) == (4, 7, 1)
    assert (picture["organ"], picture["size"], picture["shareSeen"]) == ("liver", "small", 0.75)
    assert pixels(picture["planes"][0], "synthetic").min() == 255
    assert save(tmp_path, torch.zeros(SHAPE), torch.zeros(SHAPE), mask, baseline=False)["shareSeen"] is None
