import json
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from freetumor_runtime.config.cases import EvaluateCase, EvaluateSpec, PictureCase, PictureSpec
from freetumor_runtime.errors import ConfigError
from freetumor_runtime.events import CaseResult, Finished
from freetumor_runtime.jobs.evaluate import evaluate, picture


class DeadlyCase(EvaluateCase):
    """Kills the worker process that unpickles it, as the system does when memory runs out."""

    def __reduce__(self):
        return os._exit, (9,)


@pytest.fixture
def good(tmp_path):
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[1:4, 1:4, 1:4] = 2
    path = str(tmp_path / "mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), path)
    return path


def spec_of(cases, workers=2):
    return EvaluateSpec("evaluate", workers, (1, 2), (2,), (), False, None, None, None, (), tuple(cases))


def test_a_damaged_pair_or_a_killed_worker_costs_its_case_only(tmp_path, good):
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(Path(good).read_bytes()[:60])
    cases = [
        EvaluateCase("good", good, good, None, ()),
        DeadlyCase("deadly", "", "", None, ()),
        EvaluateCase("damaged", str(damaged), good, None, ()),
        EvaluateCase("gone", good, str(tmp_path / "gone.nii.gz"), None, ()),
    ]
    *results, last = evaluate(spec_of(cases))
    by_id = {event.case_id: event.result for event in results if isinstance(event, CaseResult)}
    assert last == Finished(0, "completed", "") and set(by_id) == {"good", "deadly", "damaged", "gone"}
    assert by_id["good"]["labels"][1]["dice"] == 1
    assert by_id["deadly"]["error"]["kind"] == "environment" and "--workers" in by_id["deadly"]["error"]["hint"]
    assert by_id["damaged"]["error"]["kind"] == "data" and "damaged.nii.gz" in by_id["damaged"]["error"]["message"]
    assert by_id["gone"]["error"]["kind"] == "data" and "gone.nii.gz" in by_id["gone"]["error"]["message"]


def test_two_cases_of_one_id_are_refused(good):
    with pytest.raises(ConfigError, match="twice"):
        list(evaluate(spec_of([EvaluateCase("twice", good, good, None, ())] * 2)))


def test_pictures_are_written_whole_and_a_scan_of_another_grid_costs_its_case_only(tmp_path):
    def save(name, array):
        path = str(tmp_path / name)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
        return path

    label = np.zeros((6, 6, 6), np.uint8)
    label[2:4, 2:4, 2:4] = 2
    mask, scan = save("mask.nii", label), save("scan.nii", np.zeros((6, 6, 6), np.int16))
    wrong = save("wrong.nii", np.zeros((7, 6, 6), np.int16))
    cases = [
        PictureCase("good", mask, mask, None, scan, None, str(tmp_path / "good.json")),
        PictureCase("wrong", mask, mask, None, wrong, None, str(tmp_path / "wrong.json")),
    ]
    *results, last = picture(PictureSpec("picture", 1, (2,), (-100, 100), None, None, (), tuple(cases)))
    assert last == Finished(0, "completed", "")
    by_id = {event.case_id: event.result for event in results if isinstance(event, CaseResult)}
    assert by_id["good"] == {"output": str(tmp_path / "good.json")}
    assert "wrong.nii" in by_id["wrong"]["error"]["message"]
    written = json.loads((tmp_path / "good.json").read_text())
    assert written["case"] == "good" and len(written["planes"]) == 3
    assert sorted(file.name for file in tmp_path.glob("*.json")) == ["good.json"]
