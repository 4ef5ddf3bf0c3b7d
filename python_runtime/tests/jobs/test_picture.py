import json

import nibabel
import numpy as np

from freetumor_runtime.config import PictureCase, PictureSpec
from freetumor_runtime.events import CaseResult, Finished
from freetumor_runtime.jobs.picture import picture


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
        PictureCase("good", mask, mask, scan, None, str(tmp_path / "good.json")),
        PictureCase("wrong", mask, mask, wrong, None, str(tmp_path / "wrong.json")),
    ]
    *results, last = picture(PictureSpec("picture", 1, (2,), (-100, 100), None, None, tuple(cases)))
    assert last == Finished(0, "completed", "")
    by_id = {event.case_id: event.result for event in results if isinstance(event, CaseResult)}
    assert by_id["good"] == {"output": str(tmp_path / "good.json")}
    assert "wrong.nii" in by_id["wrong"]["error"]["message"]
    written = json.loads((tmp_path / "good.json").read_text())
    assert written["case"] == "good" and len(written["planes"]) == 3
    assert sorted(file.name for file in tmp_path.glob("*.json")) == ["good.json"]
