import numpy as np
import pytest

from freetumor_runtime.dicom import headers
from freetumor_runtime.dicom.headers import Link, Unreadable, files_below, is_dicom, read_dataset, read_instance
from freetumor_runtime.dicom.series import Refused, kind_of, series_below, stack_of
from tests.dicom import made_series as made


def stacks(folder):
    return [stack_of(group) for group in series_below(str(folder)).values()]


@pytest.mark.parametrize("name", made.WHOLE)
def test_a_whole_series_is_sorted_along_its_normal_with_the_grid_of_its_slices(tmp_path, name):
    made.WHOLE[name](tmp_path)
    found = stacks(tmp_path)
    assert len(found) == (2 if name == "twoSeries" else 1)
    lps = made.lps_of(made.ORIENTATIONS.get(name, made.AXIAL))
    for stack in found:
        assert stack.shape == (made.COLUMNS, made.ROWS, made.SLICES)
        np.testing.assert_allclose(stack.lps, lps, atol=1e-6)
        np.testing.assert_allclose(stack.affine, np.diag([-1, -1, 1, 1]) @ lps, atol=1e-6)
        # the UID of a slice ends with its place
        assert [one.sop_uid.split(".")[-1] for one in stack.slices] == [str(k + 1) for k in range(made.SLICES)]
    assert found[0].repeated == (1 if name == "repeated" else 0)


@pytest.mark.parametrize("code", made.REFUSED)
def test_a_series_that_is_no_ct_volume_is_refused_by_name(tmp_path, code):
    made.REFUSED[code](tmp_path)
    with pytest.raises(Refused) as refused:
        stacks(tmp_path)
    assert refused.value.code == code
    assert "Doe" not in refused.value.reason


@pytest.mark.parametrize("name", made.ENHANCED)
def test_the_frames_of_an_enhanced_ct_are_slices(tmp_path, name):
    made.ENHANCED[name](tmp_path)
    (stack,) = stacks(tmp_path)
    np.testing.assert_allclose(stack.lps, made.lps_of(made.ORIENTATIONS.get(name, made.AXIAL)), atol=1e-6)
    order = {"in order": (0, 1, 2, 3, 4, 5), "reversed": (5, 4, 3, 2, 1, 0)}.get(name, (1, 3, 5, 0, 4, 2))
    assert tuple(one.frame for one in stack.slices) == order


@pytest.mark.parametrize("code", made.REFUSED_ENHANCED)
def test_an_enhanced_ct_that_is_no_volume_is_refused_by_name(tmp_path, code):
    made.REFUSED_ENHANCED[code](tmp_path)
    with pytest.raises(Refused) as refused:
        stacks(tmp_path)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("gap", "1 slice is missing after slice 3 of 5 (expected steps of 2.5 mm, found 5)"),
        ("gantry-tilt", "tilted by 11.3 degrees"),
        ("duplicate-slice", "slices 4 and 5 of 6"),
        ("missing-tag", "ImagePositionPatient is missing"),
    ],
)
def test_the_reason_of_a_refusal_states_what_was_found(tmp_path, code, words):
    made.REFUSED[code](tmp_path)
    with pytest.raises(Refused) as refused:
        stacks(tmp_path)
    assert words in refused.value.reason


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.50"])
def test_a_transfer_syntax_that_is_not_decoded_is_refused_with_its_uid(tmp_path, uid):
    made.write_ct(tmp_path)
    made.change_syntax(tmp_path, uid)
    with pytest.raises(Refused) as refused:
        stacks(tmp_path)
    assert (refused.value.code, uid in refused.value.reason) == ("transfer-syntax", True)


def test_positions_with_one_decimal_are_even(tmp_path):
    def rounded(k, one):
        one.ImagePositionPatient = [-100.5, -80.25, round(40 + 0.625 * k, 1)]

    made.write_ct(tmp_path, change=rounded, stored=made.voxels(9))
    assert stacks(tmp_path)[0].spacing[2] == pytest.approx(0.625, abs=1e-9)


def test_different_files_with_one_instance_uid_are_refused(tmp_path):
    made.write_ct(tmp_path / "a")
    made.write_ct(tmp_path / "b", stored=made.voxels(seed=2))
    with pytest.raises(Refused) as refused:
        stacks(tmp_path)
    assert refused.value.code == "duplicate-instance"


@pytest.mark.parametrize(("bytes_left", "code"), [(400, "missing-tag"), (-1, "truncated")])
def test_a_file_that_ends_early_is_refused(tmp_path, bytes_left, code):
    path = made.write_ct(tmp_path)[2]
    path.write_bytes(path.read_bytes()[:bytes_left])
    codes = []
    for group in series_below(str(tmp_path)).values():
        try:
            stack_of(group)
        except Refused as refused:
            codes.append(refused.code)
    assert code in codes


def test_a_series_of_label_objects_is_named_by_its_kind(tmp_path):
    made.write_structures(tmp_path / "rt.dcm", [("Liver", [])])
    (group,) = series_below(str(tmp_path)).values()
    assert kind_of(group) == "rtstruct"


def deflated(path):
    header = read_dataset(str(path))
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    header.save_as(path)


def nested(path):
    """Write a header with 3,000 sequences in each other."""
    start = path.read_bytes()
    item = b"\x09\x00\x10\x10SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    meta_end = start.index(b"\x08\x00\x08\x00")
    path.write_bytes(start[:meta_end] + item * 3000)


def endless(path):
    """Write a header with more small values than any header has."""
    start = path.read_bytes()
    meta_end = start.index(b"\x08\x00\x08\x00")
    path.write_bytes(start[:meta_end] + b"\x08\x00\x05\x00CS\x02\x00AA" * 8_000)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(deflated, "Deflated"), (nested, "nested too deep"), (endless, "too long")],
)
def test_a_hostile_header_is_unreadable(tmp_path, monkeypatch, spoil, reason):
    monkeypatch.setattr(headers, "_HEADER_READS", 10_000)
    path = made.write_ct(tmp_path)[0]
    spoil(path)
    with pytest.raises(Unreadable, match=reason):
        read_instance(str(path))


def test_files_and_links_are_found_below_hidden_names_pipes_and_the_output_excepted(tmp_path):
    import os

    for name in ("b/2/x", "b/1", "a", ".hidden", "out/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "b/loop").symlink_to(tmp_path, target_is_directory=True)
    found = files_below(str(tmp_path), str(tmp_path / "out"))
    paths = [one.path if isinstance(one, Link) else one for one in found]
    assert [path.removeprefix(f"{tmp_path}/") for path in paths] == ["a", "b/1", "b/2/x", "b/loop"]


@pytest.mark.parametrize("first", [b"\x08\0\x05\0CS\x02\0AA", b"\x08\0\0\0\x04\0\0\0", b"\x02\0"])
def test_a_file_of_another_format_with_the_first_bytes_of_a_data_set_is_no_dicom(tmp_path, first):
    (tmp_path / "a").write_bytes(first + bytes(range(256)) * 4)
    assert not is_dicom(str(tmp_path / "a"))
