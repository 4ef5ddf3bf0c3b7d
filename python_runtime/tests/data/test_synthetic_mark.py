"""The mark of a synthetic scan, as nibabel reads it, and after nibabel writes the file again."""

import hashlib
import json

import nibabel
import numpy as np
import pytest

from freetumor_runtime.data.original_scan import load_original, write_like

FACTS = {"kind": "image", "verdict": "accepted", "variant": 3, "host": "ab" * 32, "settings": "cd" * 32}


def write_host(path, kind, endianness):
    stored = np.random.default_rng(0).integers(-900, 1100, (7, 6, 5)).astype(np.int16)
    image = kind(stored, np.diag([0.8, 0.8, 2.5, 1]), kind.header_class(endianness=endianness), dtype=np.int16)
    image.to_filename(path)
    return stored


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_a_mark_states_the_origin_and_the_voxels_of_its_file(tmp_path, kind, endianness):
    stored = write_host(tmp_path / "host.nii", kind, endianness)
    scan = load_original(str(tmp_path / "host.nii"))
    write_like(str(tmp_path / "scan.nii.gz"), scan, scan.stored_IJK, is_scan=True, mark=FACTS)
    image = nibabel.load(tmp_path / "scan.nii.gz")
    (extension,) = image.header.extensions
    assert extension.get_code() == 6
    voxels = hashlib.sha256(stored.astype("<i2").tobytes(order="F")).hexdigest()
    assert json.loads(extension.text) == {"format": "freetumor mark 1", "synthetic": True, **FACTS, "voxels": voxels}
    assert bytes(image.header["descrip"]).startswith(b"synthetic tumors")
    assert np.array_equal(np.asanyarray(image.dataobj), stored)
    assert int(image.dataobj.offset) % 16 == 0


def test_a_mark_survives_that_nibabel_writes_the_file_again(tmp_path):
    write_host(tmp_path / "host.nii", nibabel.Nifti1Image, "<")
    scan = load_original(str(tmp_path / "host.nii"))
    write_like(str(tmp_path / "scan.nii.gz"), scan, scan.stored_IJK, is_scan=True, mark=FACTS)
    nibabel.save(nibabel.load(tmp_path / "scan.nii.gz"), tmp_path / "again.nii.gz")
    before, after = (nibabel.load(tmp_path / name) for name in ("scan.nii.gz", "again.nii.gz"))
    assert after.header.extensions == before.header.extensions
    assert after.header["descrip"] == before.header["descrip"]
