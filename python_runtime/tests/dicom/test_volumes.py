import subprocess
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from freetumor_runtime.dicom import volumes
from freetumor_runtime.dicom.series import series_below, stack_of
from freetumor_runtime.dicom.volumes import Volume, convert_volume
from freetumor_runtime.errors import DataError
from tests.dicom import made_series as made


def volume_of(stack):
    first = stack.slices[0]
    return Volume(
        paths=list(dict.fromkeys(one.path for one in stack.slices)),
        shape=stack.shape,
        affine=stack.affine,
        rescale=(first.slope, first.intercept),
        frames=None if first.frame is None else [one.frame for one in stack.slices],
    )


def convert(folder, target):
    """Convert the first series of a folder; return its voxels in HU, its affine, its header and its stack."""
    stack = stack_of(next(iter(series_below(str(folder)).values())))
    convert_volume(volume_of(stack), str(target), str(target.parent / "work"))
    image = nibabel.nifti1.load(target)
    return np.asanyarray(image.dataobj), image.affine, image.header, stack


@pytest.mark.parametrize("name", made.ENHANCED)
def test_the_volume_of_an_enhanced_ct_has_the_hu_of_its_slices_on_their_grid(tmp_path, name):
    made.ENHANCED[name](tmp_path / "in")
    hu, affine, _, stack = convert(tmp_path / "in", tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(hu, made.voxels().transpose(2, 1, 0).astype(int) - 1024)
    np.testing.assert_allclose(affine, stack.affine, atol=1e-5)


def test_another_order_of_slices_than_that_of_the_decoder_is_an_error(tmp_path):
    made.write_enhanced(tmp_path / "in")
    (group,) = series_below(str(tmp_path / "in")).values()
    volume = replace(volume_of(stack_of(group)), frames=[1, 0, 2, 3, 4, 5])
    with pytest.raises(DataError, match="other pixels than the frames"):
        convert_volume(volume, str(tmp_path / "v.nii.gz"), str(tmp_path / "work"))


@pytest.mark.parametrize(("signed", "extra"), [(0, 0x1000), (1, 0x0800)])
def test_bits_above_the_stored_ones_are_no_part_of_a_value(tmp_path, signed, extra):
    """An overlay, and a sign that is not extended."""
    values = made.voxels() % 2000
    stored = values.copy()
    stored[2, 5, 5] |= extra
    values[2, 5, 5] = values[2, 5, 5] - 2048 if signed else values[2, 5, 5]
    change = made._set(BitsStored=12, HighBit=11, PixelRepresentation=signed)
    made.write_ct(tmp_path / "in", stored=stored, change=change)
    hu, _, _, _ = convert(tmp_path / "in", tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(hu, values.transpose(2, 1, 0).astype(int) - 1024)


@pytest.mark.parametrize("name", made.WHOLE)
def test_the_volume_of_a_whole_series_has_the_hu_of_its_slices_on_their_grid(tmp_path, name):
    made.WHOLE[name](tmp_path / "in")
    hu, affine, header, stack = convert(tmp_path / "in", tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(hu, made.voxels().transpose(2, 1, 0).astype(int) - 1024)
    np.testing.assert_allclose(affine, stack.affine, atol=1e-5)
    assert hu.dtype == np.int16
    assert not list((tmp_path / "work").iterdir())


def test_the_header_holds_no_text_and_equal_input_gives_equal_bytes(tmp_path):
    made.write_ct(tmp_path / "in")
    _, _, header, _ = convert(tmp_path / "in", tmp_path / "a.nii.gz")
    convert(tmp_path / "in", tmp_path / "b.nii.gz")
    assert all(bytes(header[key]).strip(b"\0") == b"" for key in ("descrip", "aux_file", "intent_name", "db_name"))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert b"a.nii" not in (tmp_path / "a.nii.gz").read_bytes()


def test_a_slope_that_is_no_integer_is_applied_in_float(tmp_path):
    made.write_ct(tmp_path / "in", change=made._set(RescaleSlope="0.1", RescaleIntercept="-10.5"))
    hu, _, _, _ = convert(tmp_path / "in", tmp_path / "v.nii.gz")
    expected = made.voxels().transpose(2, 1, 0).astype(np.float64) * 0.1 - 10.5
    np.testing.assert_array_equal(hu, expected.astype(np.float32))


def test_values_beyond_int16_are_kept(tmp_path):
    stored = made.voxels().astype(np.uint16)
    stored[0, 0, 0] = 65_535

    def unsigned(k, one):
        one.PixelRepresentation = 0
        one.PixelData = stored[k].astype("<u2").tobytes()

    made.write_ct(tmp_path / "in", change=unsigned)
    hu, _, _, _ = convert(tmp_path / "in", tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(hu, stored.transpose(2, 1, 0).astype(int) - 1024)


def test_a_damaged_slice_is_an_error_and_leaves_nothing(tmp_path):
    made.WHOLE["jpegLs"](tmp_path / "in")
    damaged = tmp_path / "in/slice-003.dcm"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-300])
    with pytest.raises(DataError):
        convert(tmp_path / "in", tmp_path / "v.nii.gz")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "work"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("#!/bin/sh\nexit 2\n", "exit code 2"),
        ("#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
        ("#!/bin/sh\nexit 0\n", "expected 1 volume, found 0"),
        ("#!/bin/sh\n: > v.nii; : > v_Eq.nii\n", "expected 1 volume, found 2"),
        ("#!/bin/sh\nhead -c 50000000 /dev/zero > v.nii\n", "cannot decode"),
    ],
)
def test_a_decoder_that_fails_or_writes_too_much_is_an_error(tmp_path, monkeypatch, program, words):
    made.write_ct(tmp_path / "in")
    stand_in = tmp_path / "dcm2niix"
    stand_in.write_text(program)
    stand_in.chmod(0o755)
    import dcm2niix

    monkeypatch.setattr(dcm2niix, "bin", str(stand_in))
    with pytest.raises(DataError, match=words):
        convert(tmp_path / "in", tmp_path / "v.nii.gz")
    assert not (tmp_path / "v.nii.gz").exists()


def test_another_grid_of_the_decoder_is_an_error(tmp_path):
    made.write_ct(tmp_path / "in")
    stack = stack_of(next(iter(series_below(str(tmp_path / "in")).values())))
    moved = stack.affine.copy()
    moved[2, 3] += 5
    volume = Volume([one.path for one in stack.slices], stack.shape, moved, (1.0, -1024.0))
    with pytest.raises(DataError, match="another grid"):
        convert_volume(volume, str(tmp_path / "v.nii.gz"), str(tmp_path / "work"))


def test_the_decoder_gets_no_name_of_a_file(tmp_path, monkeypatch):
    seen = []

    def run(argv, **_):
        seen.extend(argv)
        return subprocess.CompletedProcess(argv, 1)

    monkeypatch.setattr(volumes.subprocess, "run", run)
    made.write_ct(tmp_path / "DOE_JANE", names=[f"DOE^JANE {k}" for k in range(made.SLICES)])
    with pytest.raises(DataError):
        convert(tmp_path / "DOE_JANE", tmp_path / "v.nii.gz")
    assert not [argument for argument in seen if "DOE" in argument]
