import numpy as np
import pytest
import torch

from freetumor_runtime.data.nifti import save_nifti
from freetumor_runtime.errors import DataError, UsageError
from freetumor_runtime.inference.probe import busiest_windows, probe_merging
from freetumor_runtime.models.segmentor import build_segmentor
from tests.parity import formula_input, with_formula_weights

AFFINE = np.diag([1.5, 1.5, 1.5, 1.0])
SETTINGS = {
    "windowHu": [-175.0, 250.0],
    "spacingMm": [1.5, 1.5, 1.5],
    "patchVoxels": [64, 32, 32],
    "windows": 2,
    "weights": None,
    "device": "cpu",
}


def swinunetr(order):
    return with_formula_weights(
        build_segmentor("swinunetr", outputs=3, feature_size=12, levels=4, patch_merging=order)
    ).eval()


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A scan of two windows, and as its labels what a network of order v2 calls in it."""
    folder = tmp_path_factory.mktemp("case")
    values = torch.cat([formula_input(64, phase)[0, 0, :, :32, :32] for phase in (0.7, 1.9)])
    hu = (values * 400 - 170).round()
    windowed = ((hu + 175) / 425).clamp(0, 1)
    with torch.no_grad():
        network = swinunetr("v2")
        called = torch.cat([network(part[None, None]).argmax(1)[0] for part in windowed.split(64)])
    assert set(called.unique().tolist()) == {0, 1, 2}
    save_nifti(str(folder / "image.nii.gz"), hu.numpy().astype(np.int16), AFFINE, np.int16)
    save_nifti(str(folder / "label.nii.gz"), called.numpy().astype(np.uint8), AFFINE, np.uint8)
    torch.save({"state_dict": network.state_dict()}, folder / "mine.pt")
    return folder


def probe(case, name="mine.pt", **changed):
    paths = [str(case / file) for file in (name, "image.nii.gz", "label.nii.gz")]
    return probe_merging(*paths, {**SETTINGS, **changed})


def test_the_order_that_segments_the_case_is_found(case):
    told = probe(case)
    assert (told["best"], told["windows"]) == ("v2", 2)
    dice = {one["order"]: one["mean"] for one in told["orders"]}
    assert dice["v2"] == 1.0
    assert max(dice["legacy"], dice["corrected"]) < 0.999
    assert set(told["orders"][0]["dice"]) == {"1", "2"}


def test_settings_come_from_the_file_or_must_be_given(case):
    with pytest.raises(UsageError, match="does not state the spacingMm") as caught:
        probe(case, spacingMm=None)
    assert "--region or --config" in caught.value.hint


def test_a_file_that_states_its_order_needs_no_probe(case):
    metadata = {"version": 1, "segmentor": {"patchMerging": "legacy"}}
    torch.save({"state_dict": swinunetr("legacy").state_dict(), "freetumor": metadata}, case / "stated.pt")
    with pytest.raises(UsageError, match="states its patch-merging order, legacy"):
        probe(case, "stated.pt")


def test_labels_that_the_network_has_no_output_for_are_refused(case):
    save_nifti(str(case / "kidney.nii.gz"), np.full((128, 32, 32), 5, np.uint8), AFFINE, np.uint8)
    with pytest.raises(UsageError, match=r"ids without an output \(expected at most 2, found 5\)"):
        probe_merging(*(str(case / file) for file in ("mine.pt", "image.nii.gz", "kidney.nii.gz")), SETTINGS)


def test_labels_of_another_grid_or_without_a_label_are_refused(case):
    paths = [str(case / file) for file in ("mine.pt", "image.nii.gz", "odd.nii.gz")]
    save_nifti(paths[2], np.ones((10, 10, 10), np.uint8), AFFINE, np.uint8)
    with pytest.raises(DataError, match="its grid is not that of"):
        probe_merging(*paths, SETTINGS)
    save_nifti(paths[2], np.zeros((128, 32, 32), np.uint8), AFFINE, np.uint8)
    with pytest.raises(DataError, match="no label but background"):
        probe_merging(*paths, SETTINGS)


def test_windows_are_those_with_most_labels():
    label = torch.zeros(50, 20, 20, dtype=torch.uint8)
    label[45:, 0, 0] = 1
    label[0, :3, 0] = 2
    assert busiest_windows(label, (20, 20, 20), 2) == [(30, 0, 0), (0, 0, 0)]
    assert busiest_windows(label, (20, 20, 20), 9) == [(30, 0, 0), (0, 0, 0)]
