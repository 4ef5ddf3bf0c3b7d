import os
import shutil

import pytest

from freetumor_runtime.dicom import conversion
from freetumor_runtime.dicom.conversion import scan
from tests.dicom import made_series as made


def scanned(folder):
    """Return the series of a folder and the counts of its files."""
    *series, counts = [
        one for one in scan({"folder": str(folder), "without": None}) if one["type"] in ("series", "scanned")
    ]
    return series, counts


def test_links_to_folders_and_other_files_are_counted(tmp_path):
    made.write_ct(tmp_path / "in/a")
    (tmp_path / "in/notes.txt").write_text("other")
    (tmp_path / "in/link").symlink_to(tmp_path, target_is_directory=True)
    series, counts = scanned(tmp_path / "in")
    assert len(series) == 1
    assert (counts["files"], counts["others"], counts["links"], counts["unreadable"]) == (made.SLICES, 1, 1, [])


def test_a_folder_and_a_file_that_cannot_be_opened_are_reported(tmp_path, monkeypatch):
    """As root, every file can be opened, so the system calls refuse by name."""
    made.write_ct(tmp_path / "open")
    made.write_ct(tmp_path / "shut")
    (tmp_path / "shut.dcm").write_bytes(b"")
    list_folder = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    _, counts = scanned(tmp_path)
    reasons = [one["reason"] for one in counts["unreadable"]]
    assert counts["files"] == made.SLICES
    assert reasons == ["it cannot be read", "it does not have the mark of a DICOM file"]


@pytest.mark.parametrize("error", [MemoryError, PermissionError])
def test_a_label_object_that_fails_leaves_the_other_series(tmp_path, monkeypatch, error):
    made.write_ct(tmp_path)
    made.write_structures(tmp_path / "rt.dcm", [("Liver", [made.circle(made.lps_of(), 1, (10, 10), 3)])])

    def fail(path):
        raise error

    monkeypatch.setattr(conversion, "read_label_object", fail)
    series, _ = scanned(tmp_path)
    assert [(one["kind"], (one["refusal"] or {}).get("code")) for one in series] == [
        ("image", None),
        ("rtstruct", "unreadable"),
    ]


def test_an_enhanced_ct_is_one_file_of_several_slices(tmp_path):
    made.ENHANCED["shuffled"](tmp_path)
    ((series,), counts) = scanned(tmp_path)
    assert (counts["files"], series["files"], len(series["state"])) == (1, 1, 1)
    assert series["volume"]["frames"] == [1, 3, 5, 0, 4, 2]
    assert len(series["volume"]["paths"]) == 1


def test_a_structure_set_without_preamble_is_read(tmp_path):
    made.write_ct(tmp_path)
    path = tmp_path / "rt.dcm"
    made.write_structures(path, [("Liver", [made.circle(made.lps_of(), 1, (10, 10), 3)])])
    path.write_bytes(path.read_bytes()[132:])
    shutil.move(path, tmp_path / "rt")
    series, _ = scanned(tmp_path)
    assert [one["labels"]["segments"][0]["name"] for one in series if one["kind"] == "rtstruct"] == ["Liver"]
