"""The predict job with a model folder of nnU-Net: masks, organ masks and probabilities."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from freetumor_runtime.config.cases import PredictCase, PredictMember, PredictSpec
from freetumor_runtime.config.common import SlidingWindowsSpec
from freetumor_runtime.data.nifti import load_nifti, save_nifti
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.jobs.predict import predict
from freetumor_runtime.training.ranks import Ranks
from tests.inference.nnunet_models import MASKS, MODELS, scan_of, write_model, write_scan

RANKS = Ranks(0, 1, torch.device("cpu"), None)
NAME = "transposed"
SEED = list(MODELS).index(NAME)


class OneCase:
    def __init__(self) -> None:
        self.waiting, self.result, self.reported = ["case"], {}, []

    def next(self):
        return self.waiting.pop() if self.waiting else None

    def progress(self, case_id, done, total):
        self.reported.append((done, total))

    def done(self, case_id, result):
        self.result = result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nnunet")
    write_model(folder / "model", MODELS[NAME], SEED)
    write_scan(folder / "case_0000.nii.gz", MODELS[NAME], SEED)
    image, affine = scan_of(MODELS[NAME], SEED)
    organ = np.zeros(image.shape, np.uint8)
    organ[:12] = 1
    save_nifti(str(folder / "organ.nii.gz"), organ, affine, np.uint8)
    return folder


def spec_of(folder, out, **changes):
    (out / "probabilities").mkdir()
    spec = PredictSpec(
        job="predict",
        directory=str(out),
        members=(PredictMember(str(folder / "model"), None, None),),
        plugin=None,
        device="cpu",
        processesPerNode=1,
        threadsPerProcess=1,
        precision="fp32",
        windowHu=(-300.0, 310.0),
        spacingMm=(1.2, 5.0, 1.0),
        patchVoxels=(16, 8, 16),
        windows=SlidingWindowsSpec(0.5, "gaussian", 1),
        # of the scan; the model mirrors the transposed axes 1 and 2
        mirrorAxes=(0, 2),
        cropForeground=True,
        padding="lowerEnd",
        minForeground=0.0,
        windowChoice="all",
        grid="original",
        resampling="nearest",
        method="freetumor",
        dataType="uint8",
        tumorOutputs=(2,),
        organIds=(),
        maskIds=(0, 1, 2),
        probabilities=(),
        cases=(PredictCase("case", str(folder / "case_0000.nii.gz"), None, None, "case"),),
    )
    return replace(spec, **changes)


def run(spec):
    source = OneCase()
    (event,) = predict(spec, RANKS, source)
    assert event.outcome == "completed" and "error" not in source.result, source.result
    return source.result, load_nifti(f"{spec.directory}/case.nii.gz")[0]


def test_the_mask_is_that_of_nnunetv2_under_the_ids_of_the_map(folder, tmp_path):
    result, mask = run(spec_of(folder, tmp_path, maskIds=(0, 5, 9)))
    theirs = np.load(MASKS)[NAME]
    assert np.array_equal(mask, np.array([0, 5, 9])[theirs])
    assert result["labelVoxels"][9] == np.sum(theirs == 2) > 0
    assert result["windows"]["all"] == result["windows"]["computed"] > 1


def test_tumors_outside_the_organ_mask_become_background(folder, tmp_path):
    cases = (PredictCase("case", str(folder / "case_0000.nii.gz"), str(folder / "organ.nii.gz"), None, "case"),)
    _, mask = run(spec_of(folder, tmp_path, cases=cases))
    theirs = np.load(MASKS)[NAME]
    assert not (mask[12:] == 2).any()
    assert np.array_equal(mask[:12], theirs[:12]) and np.array_equal(mask[12:] == 1, theirs[12:] == 1)


def test_probabilities_sum_to_1_and_the_largest_is_the_mask(folder, tmp_path):
    result, mask = run(spec_of(folder, tmp_path, probabilities=(0, 1, 2)))
    volumes = [load_nifti(str(tmp_path / f"probabilities/case_{output}.nii.gz"))[0] for output in range(3)]
    np.testing.assert_allclose(np.sum(volumes, 0), 1, atol=1e-6)
    # the winner of half-precision logits; rounding may tie the probabilities of two
    assert np.all(np.max(volumes, 0) - np.choose(mask.astype(int), volumes) < 1e-6)
    assert len(result["files"]) == 4


def test_a_folder_that_was_replaced_by_one_with_other_labels_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match="wrong outputs"):
        run(spec_of(folder, tmp_path, maskIds=(0, 1)))
