"""Masks of nnU-Net models, compared with those of nnunetv2 2.8.1 (nnunet_models.py writes them)."""

import numpy as np
import pytest
import torch

from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
from freetumor_runtime.errors import DataError
from freetumor_runtime.inference.nnunet import segment_scan, winners_of
from tests.inference.nnunet_models import MASKS, MODELS, scan_of, write_model

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def segmented(folder, image, voxel, **changes):
    model = read_folder(str(folder))
    settings = {"mirror_axes": model.folds[0].mirror_axes, "overlap": 0.5, "device": CPU, "precision": "fp32"}
    return segment_scan(load_folds(model, CPU), model.plans, image, np.diag([*voxel, 1.0]), **{**settings, **changes})


@pytest.mark.parametrize("name", MODELS)
def test_masks_agree_with_nnunetv2(tmp_path, name):
    model, seed = MODELS[name], list(MODELS).index(name)
    image, _ = scan_of(model, seed)
    found = segmented(write_model(tmp_path / "model", model, seed), image, model.voxel)
    ours, theirs = found.on_scan(winners_of(found.logits), 0), np.load(MASKS)[name]
    foreground = (ours > 0) | (theirs > 0)
    assert foreground.mean() > 0.05
    assert np.mean(ours[foreground] == theirs[foreground]) >= 0.9999
    for label in np.unique(theirs):
        pair = (ours == label), (theirs == label)
        assert 2 * np.sum(pair[0] & pair[1]) / sum(map(np.sum, pair)) >= 0.999


def test_mirroring_and_folds_change_the_logits(tmp_path):
    model = MODELS["isotropic"]
    image, _ = scan_of(model, 0)
    folder = write_model(tmp_path / "model", model)
    mirrored, plain = segmented(folder, image, model.voxel), segmented(folder, image, model.voxel, mirror_axes=())
    assert not np.array_equal(mirrored.logits, plain.logits)


def test_voxels_outside_the_nonzero_box_are_background(tmp_path):
    model = MODELS["isotropic"]
    image, _ = scan_of(model, 0)
    found = segmented(write_model(tmp_path / "model", model), image, model.voxel)
    mask = found.on_scan(winners_of(found.logits) + 1, 0)
    assert mask.shape == image.shape
    assert not mask[:2].any() and not mask[:, -3:].any() and mask[2:, :-3].all()


def test_a_scan_of_zeros_and_a_scan_too_large_for_the_plans_are_refused(tmp_path):
    folder = write_model(tmp_path / "model", MODELS["isotropic"])
    with pytest.raises(DataError, match="no voxel other than 0"):
        segmented(folder, np.zeros((8, 8, 8), np.int16), (1, 1, 1))
    with pytest.raises(DataError, match="wrong size on the grid of the plans"):
        segmented(folder, np.ones((300, 300, 300), np.int16), (90.0, 90.0, 90.0))
