from itertools import product

import nibabel
import numpy as np
import pytest

from freetumor_runtime.evaluation.case_metrics import measure_files
from freetumor_runtime.evaluation.lesion_place import lesion_places

# 30 degrees about the third axis: distances are physical, not those of the array
TURN = np.array([[np.cos(np.pi / 6), -np.sin(np.pi / 6), 0], [np.sin(np.pi / 6), np.cos(np.pi / 6), 0], [0, 0, 1]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([0.8, 1.1, 2.5])
AFFINE[:3, 3] = -60, 40, -300
ORGAN_OF_TUMOR = {2: 1, 4: 3}
SHAPE = (34, 28, 16)


def scene():
    """A liver with two tumors, one of which bulges out; a pancreas tumor without a pancreas; noise as the scan."""
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"), -1)

    def ball(at, radii):
        return (((grid - at) / radii) ** 2).sum(-1) < 1

    label = np.zeros(SHAPE, np.uint8)
    label[ball((15, 13, 8), (13, 11, 6))] = 1
    label[ball((14, 13, 8), (3, 3, 1.5))] = 2
    label[ball((26, 14, 8), (4, 3, 2))] = 2
    label[31:33, 25:27, 14:16] = 4
    image = np.random.default_rng(0).normal(100, 15, SHAPE)
    image[label == 2] -= 40
    return label, image.astype(np.float32)


def pieces_by_hand(mask):
    """26-connected components by flooding, in the order of their first voxels."""
    left = {tuple(int(one) for one in voxel) for voxel in np.argwhere(mask)}
    for first in sorted(left):
        if first not in left:
            continue
        piece, border = set(), {first}
        while border:
            piece |= border
            left -= border
            steps = product((-1, 0, 1), repeat=3)
            border = {near for step in steps for at in border if (near := tuple(np.add(at, step).tolist())) in left}
        yield sorted(piece)


def steps_to(lesion):
    """Steps along the axes to the nearest voxel of a lesion, by trying all."""
    places = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"), -1)
    return np.min([np.abs(places - voxel).sum(-1) for voxel in lesion], axis=0)


def places_by_hand(label, image, ignored=None):
    known = np.ones(SHAPE, bool) if ignored is None else ~ignored
    for lesion in pieces_by_hand((label == 2) | (label == 4)):
        tumor = int(label[lesion[0]])
        organ = ORGAN_OF_TUMOR[tumor]
        place = {}
        centre = np.mean(lesion, 0)
        outside = (label != organ) & (label != tumor)
        if (label == organ).any():
            at = tuple(np.rint(centre).astype(int))
            mm = [np.linalg.norm(AFFINE[:3, :3] @ (voxel - centre)) for voxel in np.argwhere(outside & known)]
            place["depthMm"] = 0.0 if outside[at] else min(mm)
            steps = steps_to(lesion)
            ring = (steps > 2) & (steps <= 6) & (label == organ)
            values = [float(image[voxel]) for voxel in lesion]
            place["contrastHu"] = np.mean(values) - np.median(image[ring])
        yield place


def test_depth_and_contrast_are_those_of_a_search_over_all_voxels():
    label, image = scene()
    found = lesion_places(label, AFFINE, [2, 4], ORGAN_OF_TUMOR, image)
    expected = list(places_by_hand(label, image))
    assert [set(place) for place in found] == [{"depthMm", "contrastHu"}, {"depthMm", "contrastHu"}, set()]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    inner, bulging, _ = found
    assert inner["depthMm"] > 7 > bulging["depthMm"] > 0
    assert inner["contrastHu"] == pytest.approx(-40, abs=4)


def test_ignored_voxels_and_the_end_of_the_label_are_no_boundary():
    label, image = scene()
    label[:, :, 11:] = np.where(label[:, :, 11:] == 0, 1, label[:, :, 11:])
    ignored = np.zeros(SHAPE, bool)
    ignored[:, :9] = True
    label[ignored] = 0
    found = lesion_places(label, AFFINE, [2, 4], ORGAN_OF_TUMOR, image, ignored)
    for one, other in zip(found, places_by_hand(label, image, ignored), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    everywhere = np.ones(SHAPE, np.uint8)
    everywhere[5, 5, 5] = 2
    assert lesion_places(everywhere, AFFINE, [2], ORGAN_OF_TUMOR) == [{}]


def test_a_centre_outside_the_organ_and_its_tumor_has_no_depth():
    label = np.zeros((12, 12, 12), np.uint8)
    label[0:2] = 1
    # a bracket around background
    label[2:8, 2:9, 2:9] = 2
    label[3:8, 3:8, 3:8] = 0
    [place] = lesion_places(label, AFFINE, [2], ORGAN_OF_TUMOR)
    assert place == {"depthMm": 0.0}


@pytest.fixture
def files(tmp_path):
    label, image = scene()

    def save(name, array, affine=AFFINE):
        nibabel.Nifti1Image(array, affine).to_filename(tmp_path / name)
        return str(tmp_path / name)

    return label, image, save


def measured(mask, label, **more):
    settings = {"labels": [1, 2, 3, 4], "tumor_labels": [2, 4], "nsd_tolerances_mm": (), "lesions": True}
    return measure_files(mask, label, **settings, spacing_mm=None, **more)["lesions"]


def test_an_evaluation_adds_them_to_true_lesions_also_of_scans_with_other_axes(files):
    label, image, save = files
    truth = save("label.nii.gz", label)
    mask = save("mask.nii.gz", np.where(label == 1, 0, label).astype(np.uint8))
    turned = AFFINE.copy()
    turned[:3, 3] += AFFINE[:3, 0] * (SHAPE[0] - 1)
    turned[:3, 0] *= -1
    scan = save("scan.nii.gz", np.flip(image, 0), turned)
    organs = {str(tumor): organ for tumor, organ in ORGAN_OF_TUMOR.items()}
    lesions = measured(mask, truth, organ_of_tumor=organs, image_path=scan)
    places = lesion_places(label, AFFINE, [2, 4], ORGAN_OF_TUMOR, image)
    true = [lesion for lesion in lesions if lesion["kind"] == "true"]
    for lesion, place in zip(true, places, strict=True):
        assert {name: lesion[name] for name in place} == pytest.approx(place, abs=1e-3)
    assert all("depthMm" not in lesion for lesion in lesions if lesion["kind"] == "predicted")
    assert measured(mask, truth) == [
        {name: value for name, value in lesion.items() if name not in ("depthMm", "contrastHu")} for lesion in lesions
    ]


@pytest.mark.parametrize("wrong", ["damaged", "moved", "missing"])
def test_a_scan_that_does_not_fit_leaves_the_contrast_unknown(files, tmp_path, wrong):
    label, image, save = files
    truth = save("label.nii.gz", label)
    moved = AFFINE.copy()
    moved[0, 3] += 5
    scan = save("scan.nii.gz", image, moved) if wrong == "moved" else str(tmp_path / "scan.nii.gz")
    if wrong == "damaged":
        (tmp_path / "scan.nii.gz").write_bytes(b"no scan")
    lesions = measured(truth, truth, organ_of_tumor={"2": 1}, image_path=scan)
    known = [set(lesion) & {"depthMm", "contrastHu"} for lesion in lesions if lesion["kind"] == "true"]
    assert known == [{"depthMm"}, {"depthMm"}, set()]
