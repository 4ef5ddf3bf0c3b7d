import nibabel
import numpy as np
import pytest

from freetumor_runtime.errors import DataError
from freetumor_runtime.evaluation.case_metrics import measure_files
from freetumor_runtime.evaluation.mask_pair import load_pair

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
PLAIN = {
    "prediction_map": None,
    "label_map": None,
    "ignored_ids": (),
    "tumor_labels": [2],
    "labels": (1, 2),
    "organ_path": None,
    "score_paths": (),
    "spacing_mm": None,
}


def save(path, array, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


def turned(path, array):
    """The same volume in the world, its axes in another order and direction."""
    image = nibabel.Nifti1Image(array, AFFINE)
    to = nibabel.orientations.axcodes2ornt("ILP")
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(AFFINE), to)
    nibabel.save(image.as_reoriented(turn), path)
    return str(path)


@pytest.fixture
def files(tmp_path):
    label = np.zeros((6, 5, 4), np.uint8)
    label[1:5, 1:4, 1:3] = 1
    label[2, 2, 1:3] = 2
    mask = label.copy()
    mask[4, 3, 1] = 2
    return tmp_path, mask, label


def test_ids_are_mapped_as_declared_on_each_side(files):
    folder, mask, label = files
    in_theirs = np.array([0, 5, 17], np.uint8)[mask]
    pair = load_pair(
        save(folder / "mask.nii", in_theirs),
        save(folder / "label.nii", np.array([0, 3, 9], np.uint8)[label]),
        **PLAIN | {"prediction_map": {"5": 1, "17": 2}, "label_map": {"3": 1, "9": 2, "4": 2}},
    )
    assert np.array_equal(pair.predicted_XYZ, mask) and np.array_equal(pair.truth_XYZ, label)


def test_an_id_outside_the_map_is_refused_with_file_and_id(files):
    folder, mask, label = files
    names = save(folder / "mask.nii", mask), save(folder / "label.nii", label)
    with pytest.raises(DataError, match=r"mask\.nii: ids 2 occur and are not in the declared map"):
        load_pair(*names, **PLAIN | {"prediction_map": {"1": 1}})
    with pytest.raises(DataError, match=r"label\.nii: ids 1 occur"):
        load_pair(*names, **PLAIN | {"label_map": {"2": 2}})


def test_an_empty_organ_mask_is_called_empty(files):
    folder, mask, label = files
    names = save(folder / "mask.nii", mask), save(folder / "label.nii", label)
    organ = save(folder / "organ.nii", np.zeros_like(label))
    with pytest.raises(DataError, match=r"organ\.nii: empty organ mask"):
        load_pair(*names, **PLAIN | {"organ_path": organ})


def test_an_empty_organ_mask_is_right_where_the_label_shows_no_measured_id(files):
    folder, mask, label = files
    names = save(folder / "mask.nii", mask), save(folder / "label.nii", np.where(label > 0, 3, 0).astype(np.uint8))
    organ = save(folder / "organ.nii", np.zeros_like(label))
    pair = load_pair(*names, **PLAIN | {"organ_path": organ})
    assert pair.removed_voxels == np.count_nonzero(mask == 2)
    assert not (pair.predicted_XYZ == 2).any()
    with pytest.raises(DataError, match=r"organ\.nii: empty organ mask"):
        load_pair(*names, **PLAIN | {"labels": (1, 2, 3), "organ_path": organ})


def test_predicted_tumor_outside_the_organ_mask_is_taken_away_and_counted(files):
    folder, mask, label = files
    organ = np.zeros_like(label)
    organ[2, 2, :] = 4
    names = save(folder / "mask.nii", mask), save(folder / "label.nii", label)
    pair = load_pair(*names, **PLAIN | {"organ_path": turned(folder / "organ.nii", organ)})
    assert pair.removed_voxels == 1
    assert np.array_equal(pair.predicted_XYZ == 2, label == 2) and np.array_equal(pair.truth_XYZ, label)
    with pytest.raises(DataError, match=r"small\.nii: its grid .* is not that of"):
        load_pair(*names, **PLAIN | {"organ_path": save(folder / "small.nii", organ[1:])})


def test_lesions_are_scored_by_the_highest_probability_of_any_tumor_in_them(files):
    folder, mask, label = files
    scores = np.linspace(0, 0.9, mask.size, dtype=np.float32).reshape(mask.shape)
    measured = measure_files(
        save(folder / "mask.nii", mask),
        save(folder / "label.nii", label),
        labels=[1, 2],
        tumor_labels=[2],
        nsd_tolerances_mm=(),
        lesions=True,
        spacing_mm=None,
        score_paths=[turned(folder / "liver.nii", scores / 4), save(folder / "kidney.nii", scores * 0.75)],
    )
    found = [one["score"] for one in measured["lesions"]]
    assert found[0] is None
    assert found[1:] == pytest.approx([scores[2, 2, 1:3].max(), scores[4, 3, 1]])


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (0, 1.5), (np.nan, np.nan)])
def test_scores_that_are_no_probabilities_are_refused(files, low, high):
    folder, mask, label = files
    scores = np.full(mask.shape, low, np.float32)
    scores[0, 0, 0] = high
    names = save(folder / "mask.nii", mask), save(folder / "label.nii", label)
    with pytest.raises(DataError, match=r"scores\.nii: wrong probabilities \(expected 0 to 1"):
        load_pair(*names, **PLAIN | {"score_paths": [save(folder / "scores.nii", scores)]})
