"""Figures of pairs with ignored voxels are those that NumPy gives for the other voxels (docs/data.md)."""

import json

import nibabel
import numpy as np
import pytest

from freetumor_runtime.config.cases import EvaluateCase, EvaluateSpec, PictureCase, PictureSpec
from freetumor_runtime.evaluation.case_metrics import measure_files, measure_overlap
from freetumor_runtime.evaluation.lesions import find_lesions
from freetumor_runtime.evaluation.mask_pair import load_pair
from freetumor_runtime.jobs.evaluate import evaluate_case, picture_case

SPACING = (0.8, 1.1, 2.5)
AFFINE = np.diag([*SPACING, 1.0])
SHAPE = (22, 20, 14)
IGNORED_ID = 9
SETTINGS = {"labels": [1, 2], "tumor_labels": [2], "nsd_tolerances_mm": (1.0, 2.0), "lesions": True, "spacing_mm": None}


def organ_with_tumors(seed):
    """Ids 0, 1 and 2 in smooth pieces."""
    noise = np.random.default_rng(seed).random(SHAPE)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    low, high = np.quantile(noise, (0.5, 0.85))
    return ((noise > low).astype(np.uint8) + (noise > high)).astype(np.uint8)


def slab(start=9):
    ignored = np.zeros(SHAPE, bool)
    ignored[..., start:] = True
    return ignored


def scattered(seed, share=0.2):
    return np.random.default_rng(seed).random(SHAPE) < share


def blocks(seed):
    """Corners of pieces, holes, whole planes."""
    stream, ignored = np.random.default_rng(seed), np.zeros(SHAPE, bool)
    for _ in range(4):
        start = stream.integers(0, SHAPE)
        x, y, z = (slice(at, at + size) for at, size in zip(start, stream.integers(2, 8, 3), strict=True))
        ignored[x, y, z] = True
    return ignored


IGNORED = {"slab": slab(), "scattered": scattered(3), "blocks": blocks(4), "nearly all": scattered(5, 0.97)}


def save(path, array):
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)
    return str(path)


def surface(mask, ignored):
    """Voxels with one of six neighbours that is known and not in the mask; outside the array nothing is."""
    inside, unknown = np.pad(mask, 1), np.pad(ignored, 1)
    found = np.zeros_like(inside)
    for axis in range(3):
        for step in (1, -1):
            found |= inside & ~np.roll(inside, step, axis) & ~np.roll(unknown, step, axis)
    return np.argwhere(found) * np.asarray(SPACING)


def surface_dice(predicted, truth, ignored, tolerance_mm):
    places = [surface(mask, ignored) for mask in (predicted, truth)]
    near, total = 0, sum(map(len, places))
    for one, other in (places, places[::-1]):
        for place in one:
            near += len(other) > 0 and np.sqrt(((other - place) ** 2).sum(1)).min() <= tolerance_mm + 1e-6
    return near / total if total else None


@pytest.mark.parametrize("ignored", IGNORED.values(), ids=IGNORED)
@pytest.mark.parametrize("seed", range(3))
def test_counts_dice_and_surface_dice_are_those_of_the_other_voxels(tmp_path, ignored, seed):
    predicted, truth = organ_with_tumors(seed), organ_with_tumors(seed + 100)
    label = np.where(ignored, IGNORED_ID, truth).astype(np.uint8)
    files = save(tmp_path / "mask.nii.gz", predicted), save(tmp_path / "label.nii.gz", label)
    ours = measure_files(*files, **SETTINGS, ignored_ids=[IGNORED_ID])
    assert ours["ignoredVoxels"] == ignored.sum()
    assert ours["unmeasuredIds"] == {"predicted": [], "true": []}
    known = ~ignored
    for row in ours["labels"]:
        p, t = predicted[known] == row["label"], truth[known] == row["label"]
        assert row["truePositive"] == (p & t).sum()
        assert row["falsePositive"] == (p & ~t).sum()
        assert row["falseNegative"] == (~p & t).sum()
        assert row["dice"] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))
        masks = [(ids == row["label"]) & known for ids in (predicted, truth)]
        assert row["nsd"] == pytest.approx([surface_dice(*masks, ignored, mm) for mm in (1.0, 2.0)])
    # lesions of the voxels that are known
    alone = find_lesions(predicted * known, truth * known, AFFINE, [2])
    assert voxels_of(ours["lesions"]) == voxels_of(alone["lesions"])
    assert ours["lesionOverlaps"] == alone["lesionOverlaps"]


def voxels_of(lesions):
    return [(one["kind"], one["voxels"], one["matched"]) for one in lesions]


def test_what_is_predicted_on_ignored_voxels_changes_no_figure(tmp_path):
    predicted, truth, ignored = organ_with_tumors(1), organ_with_tumors(2), blocks(3)
    label = save(tmp_path / "label.nii.gz", np.where(ignored, IGNORED_ID, truth).astype(np.uint8))
    found = []
    for number, id in enumerate((0, 1, 2)):
        mask = save(tmp_path / f"mask_{number}.nii.gz", np.where(ignored, id, predicted).astype(np.uint8))
        found.append(measure_files(mask, label, **SETTINGS, ignored_ids=[IGNORED_ID]))
    assert found[0] == found[1] == found[2]


def test_a_perfect_mask_of_the_known_part_is_perfect(tmp_path):
    truth = organ_with_tumors(7)
    label = save(tmp_path / "label.nii.gz", np.where(slab(), IGNORED_ID, truth).astype(np.uint8))
    ours = measure_files(save(tmp_path / "mask.nii.gz", truth), label, **SETTINGS, ignored_ids=[IGNORED_ID])
    assert [row["dice"] for row in ours["labels"]] == [1, 1]
    assert [row["nsd"] for row in ours["labels"]] == [[1, 1], [1, 1]]
    # as background, they would be false alarms
    assert measure_files(save(tmp_path / "mask.nii.gz", truth), label, **SETTINGS)["labels"][0]["dice"] < 0.9


def test_a_surface_towards_ignored_voxels_only_is_not_measured():
    mask = np.zeros(SHAPE, bool)
    mask[4:6, 4:6, 4:6] = True
    ours = measure_overlap(mask, mask, SPACING, (1.0,), ~mask)
    assert ours["dice"] == 1 and ours["nsd"] == [None]
    # one side has a surface that is known, the other has none
    other = np.zeros(SHAPE, bool)
    other[12, 12, 8] = True
    ignored = ~(mask | other)
    ignored[13, 12, 8] = False
    assert measure_overlap(mask, other, SPACING, (1.0,), ignored)["nsd"] == [0]


def test_ignored_ids_are_those_of_the_file_whatever_the_map_makes_of_them(tmp_path):
    predicted, truth, ignored = organ_with_tumors(1), organ_with_tumors(2), slab()
    label = save(tmp_path / "label.nii.gz", np.where(ignored, IGNORED_ID, truth + 3).astype(np.uint8))
    mask = save(tmp_path / "mask.nii.gz", predicted)
    label_map = {"3": 0, "4": 1, "5": 2, str(IGNORED_ID): 0}
    ours = measure_files(mask, label, **SETTINGS, label_map=label_map, ignored_ids=[IGNORED_ID])
    plain = save(tmp_path / "plain.nii.gz", np.where(ignored, IGNORED_ID, truth).astype(np.uint8))
    assert ours == measure_files(mask, plain, **SETTINGS, ignored_ids=[IGNORED_ID])


def test_ignored_voxels_are_resampled_with_their_label(tmp_path):
    truth, ignored = organ_with_tumors(2), slab()
    label = save(tmp_path / "label.nii.gz", np.where(ignored, IGNORED_ID, truth).astype(np.uint8))
    settings = SETTINGS | {"lesions": False, "spacing_mm": (1.5, 1.5, 1.5)}
    ours = measure_files(save(tmp_path / "mask.nii.gz", truth), label, **settings, ignored_ids=[IGNORED_ID])
    assert ours["grid"] == "resampled" and ours["ignoredVoxels"] > 0
    assert [row["dice"] for row in ours["labels"]] == [1, 1]


def test_tumor_outside_an_organ_mask_is_counted_on_the_other_voxels(tmp_path):
    predicted, ignored = organ_with_tumors(1), slab()
    organ = np.zeros(SHAPE, np.uint8)
    organ[0, 0, 0] = 1
    assert predicted[0, 0, 0] != 2
    label = save(tmp_path / "label.nii.gz", np.where(ignored, IGNORED_ID, predicted).astype(np.uint8))
    pair = load_pair(
        save(tmp_path / "mask.nii.gz", predicted),
        label,
        prediction_map=None,
        label_map=None,
        ignored_ids=[IGNORED_ID],
        labels=[1, 2],
        tumor_labels=[2],
        organ_path=save(tmp_path / "organ.nii.gz", organ),
        score_paths=(),
        spacing_mm=None,
    )
    assert pair.removed_voxels == ((predicted == 2) & ~ignored).sum()


def test_jobs_hand_ignored_ids_to_figures_and_pictures(tmp_path):
    truth = np.zeros(SHAPE, np.uint8)
    truth[4:10, 4:10, 2:12] = 2
    mask = save(tmp_path / "mask.nii.gz", truth)
    label = save(tmp_path / "label.nii.gz", np.where(slab(), IGNORED_ID, truth).astype(np.uint8))
    spec = EvaluateSpec("evaluate", 1, (1, 2), (2,), (), False, None, None, None, (IGNORED_ID,), ())
    assert evaluate_case(EvaluateCase("one", mask, label, None, ()), spec)["labels"][1]["dice"] == 1
    output = tmp_path / "one.json"
    picture_case(
        PictureCase("one", mask, label, None, None, None, str(output)),
        PictureSpec("picture", 1, (2,), (-100, 100), None, None, (IGNORED_ID,), ()),
    )
    for plane in json.loads(output.read_text())["planes"]:
        assert plane["predicted"] == plane["truth"]
