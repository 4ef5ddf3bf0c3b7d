"""A resenc or unet of ours as an nnU-Net model folder: in one window its probabilities are those of the checkpoint, and
everywhere its mask is that of nnunetv2.

`FREETUMOR_NNUNETV2` names a Python with `nnunetv2==2.8.1`; without it, only our reader reads the folder.
"""

import json
import os
import subprocess
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from freetumor_runtime.checkpoints.checkpoint_file import write_checkpoint
from freetumor_runtime.checkpoints.inspection import inspect_checkpoint
from freetumor_runtime.checkpoints.nnunet_export import export_nnunet
from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
from freetumor_runtime.config.cases import PredictCase, PredictMember
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.models.nnunet import is_alias
from tests.inference.nnunet_models import ANISOTROPIC, ISOTROPIC, MODELS, weights_of
from tests.jobs.test_predict_by_nnunet import run, spec_of

NNUNETV2 = os.environ.get("FREETUMOR_NNUNETV2")
WINDOW = (-160.0, 240.0)
LABELS = ["background", "liver", "liver tumor"]
# spacing and patch along the axes of the network
GRIDS = {
    "resenc": (MODELS["isotropic"], [1.5, 1.5, 1.5], [16, 16, 16]),
    "unet": (MODELS["slices resampled separately"], [1.0, 1.2, 5.0], [16, 16, 8]),
}
SIDES, VOXEL_MM = (34, 30, 22), [1.2, 1.3, 2.0]
PREDICT = """
import sys, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
torch.set_num_threads(1)
predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
predictor.initialize_from_trained_model_folder(sys.argv[1], (0,))
predictor.predict_from_files_sequential([[sys.argv[2]]], [sys.argv[3]])
"""


def stages_of(kind):
    # the anisotropic model has slices first; ours has them last
    shape = ISOTROPIC if kind == "resenc" else {key: [one[::-1] for one in ANISOTROPIC[key]] for key in ANISOTROPIC}
    blocks = [1, 2, 2] if kind == "resenc" else [2, 2, 2]
    stages = zip([4, 8, 8], shape["kernel_sizes"], shape["strides"], blocks, strict=True)
    return [dict(zip(("features", "kernel", "stride", "blocks"), one, strict=True)) for one in stages]


def write_ours(path, kind):
    """Write a model.pt of a training, with weights by formula."""
    model, spacing, patch = GRIDS[kind]
    kernels = (
        {"shape": ISOTROPIC}
        if kind == "resenc"
        else {"shape": {k: [one[::-1] for one in v] for k, v in ANISOTROPIC.items()}}
    )
    tensors = {key: value for key, value in weights_of(replace(model, **kernels), 3).items() if not is_alias(key)}
    facts = {"kind": kind, "featureSize": 4, "levels": 3, "stages": stages_of(kind), "outputs": 3}
    metadata = {
        "version": 1,
        "kind": "segmentor",
        "region": "abdomen",
        "windowHu": list(WINDOW),
        "spacingMm": spacing,
        "patchVoxels": patch,
        "labelNames": LABELS,
        "segmentor": {**facts, "patchMerging": None, "mergingAssumed": False, "tumorOutputs": [2]},
    }
    write_checkpoint(str(path), {"state_dict": tensors, "freetumor": metadata})
    return path


def write_turned_scan(path, sides, spacing):
    """Write smooth noise with axes in another order and direction than RAS."""
    noise = gaussian_filter(np.random.default_rng(7).normal(size=sides), [3 / side for side in spacing])
    image = np.round(noise / noise.std() * 150 + 40).astype(np.int16)
    # no voxel at the end of the scan is outside the window, so nothing is cropped
    image = np.clip(image, -159, 239)
    image[image == 0] = 1
    affine = np.diag([*spacing, 1.0])
    turned = np.ascontiguousarray(image[::-1].transpose(1, 2, 0))
    flipped = affine.copy()
    flipped[0, 0], flipped[0, 3] = -spacing[0], spacing[0] * (sides[0] - 1)
    nibabel.save(nibabel.Nifti1Image(turned, flipped[:, [1, 2, 0, 3]]), path)
    return path


@pytest.fixture(scope="module", params=GRIDS)
def exported(request, tmp_path_factory):
    """(kind, our checkpoint, the model folder, a folder for scans) of a resenc and of a unet."""
    folder = tmp_path_factory.mktemp(request.param)
    ours = write_ours(folder / "model.pt", request.param)
    export_nnunet(str(ours), str(folder / "model"), {"checkpoint": "sha", "licenceOfWeights": None})
    return request.param, ours, folder / "model", folder


def mask_of(weights, kind, scan, out, probabilities=(), method="freetumor"):
    out.mkdir()
    _, spacing, patch = GRIDS[kind]
    spec = spec_of(
        out,
        out,
        members=(PredictMember(str(weights), None, None),),
        windowHu=WINDOW,
        spacingMm=tuple(spacing),
        patchVoxels=tuple(patch),
        mirrorAxes=(),
        probabilities=probabilities,
        method=method,
        cases=(PredictCase("case", str(scan), None, None, "case"),),
    )
    return run(spec)[1]


def assert_agree(ours, theirs):
    foreground = (ours > 0) | (theirs > 0)
    assert 0.05 < foreground.mean() < 0.95
    assert np.mean(ours[foreground] == theirs[foreground]) >= 0.9999
    for label in range(3):
        pair = (ours == label), (theirs == label)
        assert 2 * np.sum(pair[0] & pair[1]) / sum(map(np.sum, pair)) >= 0.999


def test_in_one_window_the_folder_gives_the_probabilities_of_the_checkpoint(exported, tmp_path):
    kind, ours, folder, scans = exported
    scan = write_turned_scan(scans / "one_0000.nii.gz", GRIDS[kind][2], GRIDS[kind][1])
    for weights, out in ((ours, tmp_path / "a"), (folder, tmp_path / "b")):
        mask_of(weights, kind, scan, out, (0, 1, 2))
    for output in range(3):
        name = f"probabilities/case_{output}.nii.gz"
        one, other = (nibabel.load(tmp_path / side / name).get_fdata() for side in "ab")
        assert one.std() > 0.1
        # nnunetv2 adds weighted logits in half precision; at the border of a window the weights are too small for it
        inside = (slice(3, -3),) * 3
        np.testing.assert_allclose(one[inside], other[inside], atol=5e-3)


def test_predicted_as_nnunetv2_does_the_checkpoint_gives_the_mask_of_the_folder(exported, tmp_path):
    kind, ours, folder, scans = exported
    scan = write_turned_scan(scans / "case_0000.nii.gz", SIDES, VOXEL_MM)
    mask = mask_of(ours, kind, scan, tmp_path / "a", method="nnunet")
    assert np.array_equal(mask, mask_of(folder, kind, scan, tmp_path / "b")) and len(np.unique(mask)) == 3


@pytest.mark.skipif(NNUNETV2 is None, reason="FREETUMOR_NNUNETV2 names no Python with nnunetv2 2.8.1")
def test_nnunetv2_gives_the_mask_of_the_folder(exported, tmp_path):
    kind, _, folder, scans = exported
    scan = write_turned_scan(scans / "case_0000.nii.gz", SIDES, VOXEL_MM)
    paths = {name: str(tmp_path) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    command = [NNUNETV2, "-c", PREDICT, str(folder), str(scan), str(tmp_path / "theirs")]
    done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.asarray(nibabel.load(tmp_path / "theirs.nii.gz").dataobj).astype(np.uint8)
    assert_agree(mask_of(folder, kind, scan, tmp_path / "a"), theirs)


def test_the_folder_states_labels_grid_and_origin(exported):
    kind, _, folder, _ = exported
    facts = inspect_checkpoint(str(folder))
    assert (facts["networks"][0]["architecture"], facts["networks"][0]["tumorOutputs"]) == (kind, [2])
    assert facts["metadata"]["labelNames"] == LABELS
    assert (facts["metadata"]["spacingMm"], facts["metadata"]["patchVoxels"]) == (GRIDS[kind][1], GRIDS[kind][2])
    assert facts["metadata"]["windowHu"] == list(WINDOW)
    assert json.loads((folder / "dataset.json").read_text())["freetumor"]["checkpoint"] == "sha"


def test_the_weights_come_back_bit_by_bit(exported):
    _, ours, folder, _ = exported
    saved = torch.load(ours, weights_only=True)["state_dict"]
    (network,) = load_folds(read_folder(str(folder)), torch.device("cpu"))
    assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())


def test_other_networks_are_refused_by_name(tmp_path):
    stages, path = stages_of("resenc"), tmp_path / "model.pt"
    write_ours(path, "resenc")
    content = torch.load(path, weights_only=True)
    facts = {**content["freetumor"]["segmentor"], "kind": "small", "stages": stages}
    write_checkpoint(str(path), {**content, "freetumor": {**content["freetumor"], "segmentor": facts}})
    with pytest.raises(CheckpointError, match=r"expected resenc or unet, found small") as caught:
        export_nnunet(str(path), str(tmp_path / "model"), {})
    assert "kind: resenc or unet" in caught.value.hint
    assert not (tmp_path / "model").exists()
