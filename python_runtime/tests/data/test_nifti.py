"""NIfTI files: reading, judging, writing. test/contract/nifti-verdicts.test.ts holds both languages to one verdict."""

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from freetumor_runtime.data.nifti import NiftiError, check_nifti, load_nifti, save_nifti
from freetumor_runtime.errors import DataError, EnvironmentError

AFFINE = np.array([[0.0, -0.75, 0, 10], [0.75, 0, 0, -20], [0, 0, 2.5, 7.5], [0, 0, 0, 1]])


def scan(dtype=np.int16) -> np.ndarray:
    return np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(dtype)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    save_nifti(str(path), scan(), AFFINE, np.int16)
    return path


def test_reads_back_what_it_wrote(saved: Path) -> None:
    array, affine = load_nifti(str(saved))
    np.testing.assert_array_equal(array, scan())
    assert array.dtype == np.int16
    np.testing.assert_array_equal(affine, AFFINE)


def test_states_sform_qform_spacing_and_unit_alike(saved: Path) -> None:
    header = nibabel.load(saved).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), AFFINE, atol=1e-5)
    assert header.get_zooms() == (0.75, 0.75, 2.5)
    assert header.get_xyzt_units()[0] == "mm"


def test_leaves_out_the_qform_of_a_sheared_grid(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    path = str(tmp_path / "sheared.nii")
    save_nifti(path, scan(), sheared, np.int16)
    header = nibabel.load(path).header
    assert int(header["qform_code"]) == 0
    np.testing.assert_allclose(load_nifti(path)[1], sheared, atol=1e-7)


def test_writes_the_same_bytes_twice_and_no_free_text(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.nii.gz"
    save_nifti(str(again), scan(), AFFINE, np.int16)
    assert again.read_bytes() == saved.read_bytes()
    header = gzip.decompress(saved.read_bytes())[:352]
    assert not any(header[4:38]) and not any(header[148:252]) and not any(header[328:344])


def test_refuses_values_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not fit uint8"):
        save_nifti(str(tmp_path / "a.nii"), scan() - 1, AFFINE, np.uint8)
    with pytest.raises(EnvironmentError, match="cannot be written"):
        save_nifti(str(tmp_path / "no" / "where.nii"), scan(), AFFINE, np.int16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("dtype", "expected"), [(np.int16, np.float32), (np.int32, np.float64)])
def test_applies_the_rescale(tmp_path: Path, dtype: type, expected: type) -> None:
    image = nibabel.Nifti1Image(scan(dtype), np.eye(4))
    image.header.set_slope_inter(2, -1024)
    path = tmp_path / "scaled.nii"
    content = bytearray(image.to_bytes())
    content[112:120] = np.array([2, -1024], "<f4").tobytes()
    path.write_bytes(content)
    array, _ = load_nifti(str(path))
    assert array.dtype == expected
    np.testing.assert_array_equal(array, scan() * 2.0 - 1024)


def test_reads_the_orientations_that_nibabel_reads(tmp_path: Path) -> None:
    for dtype, endian in ((np.uint8, "<"), (np.int16, ">"), (np.float32, ">"), (np.float64, "<")):
        header = nibabel.Nifti1Header(endianness=endian)
        header.set_data_dtype(dtype)
        image = nibabel.Nifti1Image(scan(dtype), AFFINE, header)
        nibabel.save(image, tmp_path / "a.nii.gz")
        array, affine = load_nifti(str(tmp_path / "a.nii.gz"))
        np.testing.assert_array_equal(array, scan(dtype))
        assert array.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(affine, image.affine)


def reason(path: Path, **limits: int) -> str:
    with pytest.raises(NiftiError) as caught:
        check_nifti(str(path), **limits)
    assert caught.value.kind == "data" and str(path) in str(caught.value) and caught.value.hint
    return caught.value.reason


def test_judges_the_data_to_the_last_byte(saved: Path) -> None:
    whole = saved.read_bytes()
    assert check_nifti(str(saved)).shape == (3, 4, 5)
    saved.write_bytes(whole[:-3])
    assert reason(saved) == "truncated"
    saved.write_bytes(whole + bytes(8))
    assert reason(saved) == "corruptGzip"
    saved.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    assert reason(saved) == "corruptGzip"
    plain = gzip.decompress(whole)
    saved.write_bytes(gzip.compress(plain + b"x"))
    assert reason(saved) == "trailingData"
    saved.write_bytes(gzip.compress(plain[:-1]))
    assert reason(saved) == "truncated"
    saved.write_bytes(gzip.compress(plain[:300]) + gzip.compress(plain[300:]))
    np.testing.assert_array_equal(load_nifti(str(saved))[0], scan())


def test_never_unfolds_more_than_the_header_promises(saved: Path) -> None:
    plain = gzip.decompress(saved.read_bytes())
    saved.write_bytes(gzip.compress(plain + bytes(1 << 26)))
    assert reason(saved) == "trailingData"
    lying = bytearray(plain)
    lying[40:48] = np.array([3, 2000, 2000, 2000], "<i2").tobytes()
    saved.write_bytes(gzip.compress(bytes(lying)))
    assert reason(saved, max_bytes=1 << 40) == "truncated"
    assert reason(saved) == "tooLarge"


def test_refuses_what_is_no_file_of_one_volume(tmp_path: Path) -> None:
    assert reason(tmp_path) == "notAFile"
    assert reason(tmp_path / "nowhere.nii") == "missing"
    os.mkfifo(tmp_path / "pipe.nii")
    assert reason(tmp_path / "pipe.nii") == "notAFile"
    series = nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), np.int16), np.eye(4))
    nibabel.save(series, tmp_path / "series.nii.gz")
    assert reason(tmp_path / "series.nii.gz") == "dimensions"
    pointer = tmp_path / "pointer.nii.gz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert reason(pointer) == "notNifti"


@pytest.mark.parametrize(
    ("content", "name", "hint"),
    [
        (bytes(128) + b"DICM" + bytes(64), "DICOM", "freetumor data convert"),
        (b"NRRD0004\ntype: short\n", "NRRD", "3D Slicer"),
        (b"ObjectType = Image\n", "MetaImage", "3D Slicer"),
        (b"\x89HDF\r\n", "HDF5", "3D Slicer"),
        (b"\x93NUMPY\x01\x00", "NumPy", "affine"),
        (b"PK\x03\x04abcd", "a ZIP archive", "unzip"),
    ],
)
def test_names_other_formats_by_their_content(tmp_path: Path, content: bytes, name: str, hint: str) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(NiftiError, match=rf"not a NIfTI file \(found {name}\)") as caught:
        check_nifti(str(path))
    assert hint in caught.value.hint
