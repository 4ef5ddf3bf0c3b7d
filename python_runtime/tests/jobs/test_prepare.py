import json
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import zarr
from monai.transforms import Compose, CropForegroundd, EnsureChannelFirstd, LoadImaged, Orientationd, Spacingd

from freetumor_runtime.config.cases import PrepareCase
from freetumor_runtime.data.cache import case_path, chunk_file, read_prepared_case, verify_prepared_case
from freetumor_runtime.errors import DataError, EnvironmentError
from freetumor_runtime.jobs.prepare import _make_writable, prepare_all, prepare_case, prepared_key
from tests.jobs.scans_to_prepare import LPS, SHAPE, TILTED, body, make_case, prepare_spec, save
from tests.parity import shared_data


@pytest.fixture
def spec(tmp_path):
    return prepare_spec(tmp_path)


@pytest.mark.parametrize("affine", [LPS, TILTED, np.diag([1.5, 1.5, 1.5, 1])], ids=["LPS", "tilted", "already there"])
def test_a_prepared_case_is_what_monai_makes_of_the_files(tmp_path, spec, affine):
    case = make_case(tmp_path, affine=affine)
    result = prepare_case(case, spec)
    image, label, attributes = read_prepared_case(result["path"])

    both = ["image", "label"]
    theirs = Compose(
        [
            LoadImaged(both),
            EnsureChannelFirstd(both),
            Orientationd(both, axcodes="RAS", labels=None),
            Spacingd(both, pixdim=(1.5, 1.5, 1.5), mode=("bilinear", "nearest")),
            CropForegroundd(both, source_key="image", select_fn=lambda hu: hu > -175),
        ]
    )({"image": case.image, "label": case.label})
    expected = theirs["label"][0].numpy()
    assert image.shape == label.shape == expected.shape
    assert np.abs(image - theirs["image"][0].numpy()).max() <= 0.5
    assert np.array_equal(label == 1, expected == 5) and np.array_equal(label == 2, expected == 9)
    assert np.allclose(np.reshape(attributes["affine"], (4, 4)), theirs["image"].affine, atol=1e-4)
    assert attributes["labelVoxels"] == result["labelVoxels"] == [int((label == c).sum()) for c in range(7)]
    assert attributes["shape"] == result["shape"] == list(image.shape)
    assert attributes["sourceShape"] == list(SHAPE)
    assert np.allclose(np.reshape(attributes["sourceAffine"], (4, 4)), affine, atol=1e-4)


def test_the_crop_is_tight_around_what_lies_above_the_window(tmp_path, spec):
    image, _, attributes = read_prepared_case(prepare_case(make_case(tmp_path), spec)["path"])
    inside = np.argwhere(image > -175)
    assert inside.min(0).tolist() == [0, 0, 0] and (inside.max(0) + 1).tolist() == list(image.shape)
    assert attributes["cropStart"][0] > 0


def test_a_label_of_another_orientation_on_the_same_grid_is_aligned(tmp_path, spec):
    straight = prepare_case(make_case(tmp_path, "straight"), spec)
    image, label = body()
    turned = nibabel.Nifti1Image(label, LPS)
    start = nibabel.orientations.io_orientation(LPS)
    for_sal = nibabel.orientations.ornt_transform(start, nibabel.orientations.axcodes2ornt("SAL"))
    file = str(tmp_path / "turned_seg.nii.gz")
    nibabel.save(turned.as_reoriented(for_sal), file)
    assert nibabel.load(file).shape != label.shape
    case = PrepareCase("turned", save(tmp_path / "turned_ct.nii.gz", image, LPS), file, {"5": 1, "9": 2})
    result = prepare_case(case, spec)
    assert np.array_equal(read_prepared_case(result["path"])[1], read_prepared_case(straight["path"])[1])


def test_a_real_scan_and_its_labels_in_another_array_order_are_aligned_by_their_affines(spec):
    # LPS image, LAS label of one physical grid: the liver is 89 +- 22 HU by affine, -75 +- 375 by array index
    scan = shared_data("totalsegmentator/example_ct_dicom_as_nifti.nii.gz")
    segmentation = shared_data("totalsegmentator/example_seg_dicom.nii.gz")
    ids = {str(number): int(number == 5) for number in range(1, 118)}
    image, label, _ = read_prepared_case(prepare_case(PrepareCase("real", scan, segmentation, ids), spec)["path"])
    liver = image[label == 1]
    assert abs(liver.mean() - 89) < 3 and abs(liver.std() - 22) < 4


@pytest.mark.parametrize("shift_mm", [1.1, 0.3])
def test_a_label_at_another_physical_position_is_refused(tmp_path, spec, shift_mm):
    moved = LPS.copy()
    moved[0, 3] += shift_mm
    case = make_case(tmp_path, label=save(tmp_path / "moved.nii.gz", body()[1], moved))
    with pytest.raises(DataError, match=r"moved\.nii\.gz: its grid .* is not that of the image"):
        prepare_case(case, spec)


def test_an_id_outside_the_map_is_refused_by_file_and_id(tmp_path, spec):
    case = make_case(tmp_path, labelMap={"5": 1})
    with pytest.raises(DataError, match=r"one_seg\.nii\.gz: label ids outside the map .*found \[9\]"):
        prepare_case(case, spec)
    assert prepare_case(replace(case, labelMap={"5": 1, "9": 0}), spec)["labelVoxels"][2:] == [0] * 5


def test_a_map_to_an_id_that_does_not_exist_is_refused(tmp_path, spec):
    with pytest.raises(DataError, match=r"wrong targets .*expected 0 to 6, or 255 for ignored voxels, found \[7\]"):
        prepare_case(make_case(tmp_path, labelMap={"5": 1, "9": 7}), spec)


def test_a_case_without_a_label_is_all_background(tmp_path, spec):
    result = prepare_case(make_case(tmp_path, label=None, labelMap={}), spec)
    assert result["labelVoxels"] == [int(np.prod(result["shape"])), 0, 0, 0, 0, 0, 0]


def test_intensities_beyond_int16_are_clipped(tmp_path, spec):
    image = np.full(SHAPE, 50, np.float32)
    image[10:20] = 60000
    case = make_case(tmp_path, image=save(tmp_path / "hot.nii.gz", image, LPS))
    assert read_prepared_case(prepare_case(case, spec)["path"])[0].max() == 32767


@pytest.mark.parametrize(("value", "message"), [(-1000, "no voxel is above"), (np.nan, "wrong HU")])
def test_an_image_of_air_or_nan_is_refused(tmp_path, spec, value, message):
    case = make_case(tmp_path, image=save(tmp_path / "bad.nii.gz", np.full(SHAPE, value, np.float32), LPS))
    with pytest.raises(DataError, match=rf"bad\.nii\.gz.*({message}|NaN|nan)"):
        prepare_case(case, spec)


def test_a_case_is_reused_until_its_files_settings_or_cache_change(tmp_path, spec):
    case = make_case(tmp_path)
    first = prepare_case(case, spec)
    again = prepare_case(case, spec)
    assert (first["reused"], again["reused"]) == (False, True)
    assert {**again, "seconds": 0, "reused": False} == {**first, "seconds": 0}

    assert prepare_case(case, replace(spec, windowHu=(-175.0, 400.0)))["reused"]
    assert not prepare_case(case, replace(spec, windowHu=(-100.0, 250.0)))["reused"]
    assert not prepare_case(case, spec)["reused"]
    save(case.image, body(seed=1)[0], LPS)
    assert not prepare_case(case, spec)["reused"]
    os.truncate(chunk_file(first["path"], "image", 3), 10)
    assert not prepare_case(case, spec)["reused"]
    assert prepare_case(case, spec)["reused"]


def test_a_pair_is_prepared_as_one_file_and_again_when_its_voxels_change(tmp_path, spec):
    single = make_case(tmp_path)
    pairs = {}
    for role in ("image", "label"):
        image = nibabel.load(getattr(single, role))
        pairs[role] = str(tmp_path / f"{role}.hdr")
        nibabel.save(nibabel.Nifti1Pair(np.asanyarray(image.dataobj), image.affine), pairs[role])
    case = replace(single, id="pair", **pairs)
    assert prepare_case(case, spec)["contentSha256"] == prepare_case(single, spec)["contentSha256"]
    assert prepare_case(case, spec)["reused"]
    os.utime(tmp_path / "label.img", (1, 1))
    assert not prepare_case(case, spec)["reused"]
    (tmp_path / "label.img").unlink()
    with pytest.raises(DataError, match=r"label.hdr: a header without voxels \(its .img is missing\)"):
        prepare_case(case, spec)


def zero_a_quarter(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    file.write_bytes(content)


def test_a_case_that_was_damaged_in_the_cache_is_prepared_again(tmp_path, spec):
    case = make_case(tmp_path)
    first = prepare_case(case, spec)
    image = chunk_file(first["path"], "image", 3)
    sound = image.read_bytes()
    zero_a_quarter(image)
    # A training does not read a whole cache before it starts: its feeder checks what it reads.
    assert prepare_case(case, replace(spec, verify=False))["reused"]
    (again,) = prepare_all([case], spec, 1)
    assert not again.result["reused"] and again.result["contentSha256"] == first["contentSha256"]
    assert image.read_bytes() == sound
    (third,) = prepare_all([case], spec, 1)
    assert third.result["reused"]


def test_a_case_of_the_format_without_checksums_is_reused_and_gets_them(tmp_path, spec):
    case = make_case(tmp_path)
    first = prepare_case(case, spec)
    path = Path(first["path"])
    shutil.rmtree(path / "checksums")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["freetumor"]["version"] = 1
    (path / "zarr.json").write_text(json.dumps(document))
    (again,) = prepare_all([case], replace(spec, verify=False), 1)
    assert again.result["reused"] and again.result["contentSha256"] == first["contentSha256"]
    assert verify_prepared_case(path)["version"] == 2


def test_a_compressed_preparation_has_the_same_voxels_another_key_and_is_reused(tmp_path, spec):
    case = make_case(tmp_path)
    plain = prepare_case(case, spec)
    own = replace(spec, directory=str(tmp_path / "compressed"), compression="blosc")
    compressed = prepare_case(case, own)
    assert compressed["contentSha256"] == plain["contentSha256"]
    assert prepared_key(case, own) != prepared_key(case, spec)
    assert prepare_case(case, own)["reused"]
    image = chunk_file(compressed["path"], "image", 3)
    os.truncate(image, image.stat().st_size - 1)
    assert not prepare_case(case, replace(own, verify=False))["reused"]
    assert verify_prepared_case(compressed["path"])["contentSha256"] == plain["contentSha256"]


def test_a_cache_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentError, match="the cache cannot be written") as raised:
        _make_writable(tmp_path / "file" / "cache")
    assert "prepare.cache" in raised.value.hint


def test_a_cache_without_space_is_one_error_and_leaves_no_folder(tmp_path, spec):
    spec = replace(spec, directory=str(tmp_path / "new/cache/key"))
    case = make_case(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # in place of a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, limits[1]))
    try:
        with pytest.raises(EnvironmentError, match="new/cache/key: the cache cannot be written"):
            list(prepare_all((case,), spec, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "new").exists()


def test_the_folders_of_a_cache_stay_only_with_a_prepared_case(tmp_path, spec):
    spec = replace(spec, directory=str(tmp_path / "new/cache/key"))
    (tmp_path / "new").mkdir()
    bad = make_case(tmp_path, "bad", image=str(tmp_path / "missing.nii.gz"))
    assert "error" in next(iter(prepare_all((bad,), spec, 1))).result
    assert [found.name for found in tmp_path.glob("new/**/*")] == []
    good = make_case(tmp_path, "good")
    list(prepare_all((bad, good), spec, 1))
    assert case_path(spec.directory, "good").exists()
    list(prepare_all((bad, good), spec, 1))
    assert case_path(spec.directory, "good").exists()


def test_ignored_voxels_stay_ignored_and_are_no_class_and_no_padding(tmp_path, spec):
    plain = read_prepared_case(prepare_case(make_case(tmp_path, "plain"), spec)["path"])[1]
    case = make_case(tmp_path, labelMap={"5": 1, "9": 255})
    result = prepare_case(case, spec)
    _, label, attributes = read_prepared_case(result["path"])
    assert np.array_equal(label == 255, plain == 2) and (label == 255).any()
    assert np.array_equal(label == 1, plain == 1)
    assert result["labelVoxels"] == attributes["labelVoxels"] == [int((label == c).sum()) for c in range(7)]
    counts = zarr.open_group(result["path"], mode="r")["index"][...].sum((1, 2, 3))
    assert counts[1:].tolist() == result["labelVoxels"][1:]
    assert counts[0] <= result["labelVoxels"][0]


def test_a_case_of_ignored_voxels_alone_is_refused(tmp_path, spec):
    case = make_case(tmp_path, labelMap={"0": 255, "5": 255, "9": 255})
    with pytest.raises(DataError, match=r"one_seg\.nii\.gz: no voxel to learn from"):
        prepare_case(case, spec)
