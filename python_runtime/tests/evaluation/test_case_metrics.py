import json

import nibabel
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_surface_dice

from freetumor_runtime.data.grids import resample_label
from freetumor_runtime.errors import DataError
from freetumor_runtime.evaluation.case_metrics import measure_files, measure_masks, measure_overlap
from freetumor_runtime.evaluation.lesions import find_lesions

SPACING = (0.8, 1.1, 2.5)
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = -60, 40, -300
SETTINGS = {"labels": [1, 2], "tumor_labels": [2], "nsd_tolerances_mm": (), "lesions": False, "spacing_mm": None}


def blobs(seed, shape=(20, 18, 14), share=0.35):
    """Noise smoothed a little: pieces of many sizes, some at the border."""
    noise = torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32))[None, None]
    smooth = torch.nn.functional.avg_pool3d(noise, 3, stride=1, padding=1)[0, 0].numpy()
    return smooth > np.quantile(smooth, 1 - share)


def one_voxel(shape=(20, 18, 14), at=(0, 0, 0)):
    mask = np.zeros(shape, bool)
    mask[at] = True
    return mask


EMPTY, FULL = np.zeros((20, 18, 14), bool), np.ones((20, 18, 14), bool)
PAIRS = {
    "random": (blobs(1), blobs(2)),
    "sparse": (blobs(3, share=0.02), blobs(4, share=0.02)),
    "alike": (blobs(5), np.roll(blobs(5), 1, 0)),
    "equal": (blobs(6), blobs(6)),
    "one voxel in a corner": (one_voxel(), blobs(7)),
    "one voxel each": (one_voxel(), one_voxel(at=(2, 0, 0))),
    "full": (FULL, blobs(8)),
    "nothing predicted": (EMPTY, blobs(9)),
    "nothing true": (blobs(9), EMPTY),
    "both empty": (EMPTY, EMPTY),
}


@pytest.mark.parametrize(("predicted", "truth"), PAIRS.values(), ids=PAIRS)
@pytest.mark.filterwarnings("ignore:the (ground truth|prediction) of class")
def test_dice_and_surface_dice_are_those_of_monai(predicted, truth):
    ours = measure_overlap(predicted, truth, SPACING, (2.0,))
    both = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, truth)]
    dice = compute_dice(*both, include_background=True, ignore_empty=False).item()
    nsd = compute_surface_dice(*both, class_thresholds=[2.0], include_background=True, spacing=list(SPACING)).item()
    if not predicted.any() and not truth.any():
        assert (ours["dice"], ours["nsd"]) == (None, [None]) and np.isnan(nsd)
    else:
        assert ours["dice"] == pytest.approx(dice, abs=1e-6)
        assert ours["nsd"] == pytest.approx([nsd], abs=1e-6)
    assert ours["truePositive"] == (predicted & truth).sum()
    assert ours["falsePositive"] == (predicted & ~truth).sum()
    assert ours["falseNegative"] == (~predicted & truth).sum()


def test_the_surface_is_measured_in_millimetres_and_only_when_asked():
    near, far = one_voxel(at=(2, 3, 3)), one_voxel(at=(2, 3, 4))
    assert measure_overlap(near, far, SPACING, (2.4, 2.5, 2.6))["nsd"] == [0, 1, 1]
    assert measure_overlap(near, far, SPACING, ())["nsd"] == []


def test_tumors_of_all_organs_are_measured_as_one_and_other_ids_listed():
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[1, 1, 1:4] = 2
    predicted = truth.copy()
    predicted[1, 1, 2] = 4
    predicted[5, 5, 5] = 9
    ours = measure_masks(
        predicted,
        truth,
        AFFINE,
        labels=[2, 4, 6],
        tumor_labels=[2, 4, 6],
        nsd_tolerances_mm=(),
        lesions=True,
    )
    assert [(one["label"], one["dice"]) for one in ours["labels"]] == [(2, 0.8), (4, 0.0), (6, None)]
    assert ours["tumor"]["dice"] == 1
    assert ours["unmeasuredIds"] == {"predicted": [9], "true": []}
    assert [(one["kind"], one["label"], one["matched"]) for one in ours["lesions"]] == [
        ("true", 2, True),
        ("predicted", 2, True),
    ]


def test_lesions_touch_at_corners_and_are_matched_by_any_voxel():
    truth, predicted = np.zeros((2, 12, 10, 8), np.uint8)
    truth[1:3, 1:3, 1:3] = 2
    truth[3, 3, 3] = 2
    truth[8, 8, 1] = 2
    predicted[3, 3, 3:6] = 2
    predicted[11, 0, 0:2] = 2
    lesions = find_lesions(predicted, truth, AFFINE, [2])["lesions"]
    kinds = [(one["kind"], round(one["volumeMl"] / (np.prod(SPACING) / 1000)), one["matched"]) for one in lesions]
    assert kinds == [("true", 9, True), ("true", 1, False), ("predicted", 3, True), ("predicted", 2, False)]
    single = lesions[1]
    assert single["centreMm"] == pytest.approx([-60 + 8 * 0.8, 40 + 8 * 1.1, -300 + 2.5])
    assert np.pi / 6 * single["diameterMm"] ** 3 == pytest.approx(np.prod(SPACING))


def save(path, array, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


@pytest.fixture
def pair():
    truth = blobs(10).astype(np.uint8)
    truth[blobs(11, share=0.1)] = 2
    predicted = blobs(12).astype(np.uint8)
    predicted[blobs(11, share=0.15)] = 2
    return predicted, truth


def test_files_are_measured_the_same_whatever_the_order_of_their_axes(tmp_path, pair):
    predicted, truth = pair
    label = save(tmp_path / "label.nii.gz", truth)
    straight = measure_files(save(tmp_path / "straight.nii", predicted), label, **SETTINGS)
    from_RAS = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(AFFINE), nibabel.orientations.axcodes2ornt("SPL")
    )
    turned = nibabel.Nifti1Image(predicted, AFFINE).as_reoriented(from_RAS)
    nibabel.save(turned, tmp_path / "turned.nii.gz")
    assert measure_files(str(tmp_path / "turned.nii.gz"), label, **SETTINGS) == straight
    assert straight["grid"] == "original" and straight["spacingMm"] == pytest.approx(SPACING)
    assert straight["labels"][1]["truePositive"] == ((predicted == 2) & (truth == 2)).sum()


def test_what_is_measured_is_plain_json(tmp_path, pair):
    predicted, truth = (save(tmp_path / f"{n}.nii.gz", mask) for n, mask in enumerate(pair))
    for settings in (
        {"lesions": True},
        {"nsd_tolerances_mm": (2.0,)},
        {"spacing_mm": (1.5, 1.5, 1.5)},
        {"tumor_labels": []},
    ):
        measures = measure_files(predicted, truth, **SETTINGS | settings)
        assert json.loads(json.dumps(measures, allow_nan=False)) == measures


def test_masks_of_another_spacing_are_resampled_and_reported(tmp_path, pair):
    predicted, truth = pair
    settings = SETTINGS | {"spacing_mm": (1.5, 1.5, 1.5)}
    files = save(tmp_path / "predicted.nii.gz", predicted), save(tmp_path / "truth.nii.gz", truth)
    measured = measure_files(*files, **settings)
    assert measured["grid"] == "resampled" and measured["spacingMm"] == pytest.approx([1.5] * 3)

    # As the header stores it: rounding decides where a voxel lies halfway.
    stored = nibabel.load(files[0]).affine
    (mine, affine), (theirs, _) = (resample_label(mask, stored, (1.5, 1.5, 1.5)) for mask in pair)
    assert mine.shape != predicted.shape
    assert measured["labels"][1]["truePositive"] == ((mine == 2) & (theirs == 2)).sum()
    prepared = measure_files(
        save(tmp_path / "a.nii.gz", mine, affine), save(tmp_path / "b.nii.gz", theirs, affine), **settings
    )
    assert prepared == measured | {"grid": "prepared", "spacingMm": pytest.approx([1.5] * 3)}


def test_a_voxel_is_resampled_to_the_nearest_one():
    label = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    fine, affine = resample_label(label, np.diag([3.0, 3, 3, 1]), (1.5, 1.5, 1.5))
    for at in np.ndindex(fine.shape):
        in_source = (affine @ [*at, 1])[:3] / 3
        if np.abs(in_source % 1 - 0.5).min() < 1e-6:
            continue  # halfway between two voxels: either is nearest
        assert fine[at] == label[tuple(np.clip(in_source.round().astype(int), 0, 1))]
    assert fine.dtype == np.uint8


@pytest.mark.parametrize(
    "change",
    [lambda mask, affine: (mask[1:], affine), lambda mask, affine: (mask, affine + np.eye(4, k=3) * 0.5)],
    ids=["another size", "elsewhere in the world"],
)
def test_different_grids_are_refused_with_both_names(tmp_path, pair, change):
    label = save(tmp_path / "label.nii.gz", pair[1])
    moved = save(tmp_path / "moved.nii.gz", *change(pair[0], AFFINE))
    with pytest.raises(DataError, match=r"moved\.nii\.gz: its grid .* is not that of .*label\.nii\.gz"):
        measure_files(moved, label, **SETTINGS)


@pytest.mark.parametrize(
    ("value", "message"), [(0.5, "a fraction"), (np.nan, "found NaN"), (-1, "found -1"), (1e6, "1e")]
)
def test_a_file_that_is_no_label_map_is_refused(tmp_path, pair, value, message):
    wrong = pair[0].astype(np.float32)
    wrong[3, 3, 3] = value
    label = save(tmp_path / "label.nii.gz", pair[1])
    with pytest.raises(DataError, match=rf"wrong\.nii\.gz: .*{message}"):
        measure_files(save(tmp_path / "wrong.nii.gz", wrong), label, **SETTINGS)


def test_whole_ids_stored_as_floats_are_ids(tmp_path, pair):
    label = save(tmp_path / "label.nii.gz", pair[1])
    stored = [save(tmp_path / f"{kind.__name__}.nii.gz", pair[0].astype(kind)) for kind in (np.uint8, np.float64)]
    assert measure_files(stored[0], label, **SETTINGS) == measure_files(stored[1], label, **SETTINGS)


def test_a_mask_of_noise_is_refused_before_its_lesions_burst_the_message(tmp_path, pair, monkeypatch):
    monkeypatch.setattr("freetumor_runtime.evaluation.case_metrics._MAX_LESIONS", 2)
    files = [save(tmp_path / f"{n}.nii.gz", mask) for n, mask in enumerate(pair)]
    with pytest.raises(DataError, match=r"0\.nii\.gz: too many lesions"):
        measure_files(*files, **SETTINGS | {"lesions": True})


@pytest.mark.parametrize(
    "settings", [{"lesions": True}, {"nsd_tolerances_mm": (2.0,)}, {"spacing_mm": (1.5, 1.5, 1.5)}]
)
def test_a_case_without_any_label_is_measured_as_empty(tmp_path, settings):
    file = save(tmp_path / "empty.nii.gz", EMPTY.astype(np.uint8))
    measures = measure_files(file, file, **SETTINGS | settings)
    assert [one["dice"] for one in measures["labels"]] == [None, None]
    assert measures["tumor"]["dice"] is None and measures["tumor"]["nsd"] == [None] * len(
        settings.get("nsd_tolerances_mm", ())
    )
    assert measures["lesions"] == [] and measures["unmeasuredIds"] == {"predicted": [], "true": []}
