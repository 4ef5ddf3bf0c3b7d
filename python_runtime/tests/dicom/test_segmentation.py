import os
import stat
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from nibabel.nifti1 import Nifti1Image
from pydicom.sr.codedict import codes

from freetumor_runtime.dicom.segmentation import segment
from freetumor_runtime.errors import DataError
from tests.dicom.made_series import COLUMNS, ROWS, SLICES, lps_of, voxels, write_enhanced
from tests.dicom.seg_series import (
    AXIAL,
    CORONAL,
    FLIPPED,
    IDENTITY,
    SAGITTAL,
    SHAPE,
    SPACING,
    Orientation,
    affine_of,
    header_of,
    write_nifti,
    write_series,
)

LIVER = {"id": 1, "name": "liver", "kind": "organ", "organ": "liver", "synthetic": None}
TUMOR = {"id": 2, "name": "liver tumor", "kind": "tumor", "organ": "liver", "synthetic": None}
LESION = {"id": 5, "name": "lesion", "kind": "lesion", "organ": "lung", "synthetic": None}


def made_mask(seed: int = 3) -> np.ndarray:
    """Return ids 0, 1 and 2 in no symmetric place, so that a reversed or exchanged axis shows."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:9, 1:7, 1:5] = 1
    mask[rng.random(SHAPE) < 0.2] = 2
    mask[:, :, 0] = 0
    return mask


def run(folder: Path, target: Path, **job: Any) -> dict[str, Any]:
    whole = {"job": 0, "image": None, "change": None, "target": str(target), "segments": [LIVER, TUMOR], **job}
    request = {"folder": str(folder), "version": "1.2.3", "jobs": [whole]}
    (event,) = list(segment(request))
    return event


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, FLIPPED])
@pytest.mark.parametrize("axes", ["", "RAS", "LPI", "PIR"])
def test_pydicom_and_highdicom_read_back_mask_codes_geometry_and_source_slices(
    tmp_path: Path, orientation: Orientation, axes: str
) -> None:
    hu = write_series(tmp_path / "ct", orientation, descending=axes == "RAS")
    mask = made_mask()
    image = write_nifti(tmp_path / "scan.nii.gz", hu, affine_of(orientation), axes)
    written = write_nifti(tmp_path / "mask.nii.gz", mask, affine_of(orientation), axes)

    event = run(tmp_path / "ct", tmp_path / "seg.dcm", image=image, mask=written)

    assert event["type"] == "segmented" and event["compared"] is True
    assert [one["voxels"] for one in event["segments"]] == [int((mask == id).sum()) for id in (1, 2)]
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    sources = {str(one.SOPInstanceUID): one for one in map(header_of, (tmp_path / "ct").iterdir())}
    # masks and geometry, as highdicom reads them
    volume = seg.get_volume(combine_segments=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_of(orientation)
    assert (volume.array == 1).sum() == (mask == 1).sum() and (volume.array == 2).sum() == (mask == 2).sum()
    for k, j, i in np.argwhere(volume.array > 0)[::7]:
        place = volume.affine @ [k, j, i, 1]
        own = np.round(np.linalg.inv(lps) @ place).astype(int)
        assert np.allclose(lps @ own, place, atol=1e-3)
        assert mask[tuple(own[:3])] == volume.array[k, j, i]
    # source slices and planes, as pydicom reads them
    plain = pydicom.dcmread(tmp_path / "seg.dcm")
    assert np.allclose(
        [float(one) for one in plain.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing],
        [SPACING[1], SPACING[0]],
    )
    pixels = plain.pixel_array
    for frame, group in zip(pixels, plain.PerFrameFunctionalGroupsSequence, strict=True):
        uid = str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        source = sources[uid]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose([float(x) for x in position], [float(x) for x in source.ImagePositionPatient], atol=1e-4)
        k = int(uid.split(".")[-1]) - 1
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert np.array_equal(frame.T, mask[:, :, k] == number)
    assert plain.FrameOfReferenceUID == "1.2.3.99"


def test_a_seg_references_the_frames_of_an_enhanced_ct(tmp_path: Path) -> None:
    order = (3, 0, 5, 1, 4, 2)
    write_enhanced(tmp_path / "ct", order)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps_of()
    mask = np.zeros((COLUMNS, ROWS, SLICES), np.uint8)
    mask[3:9, 4:8, 1:4] = 1
    mask[5, 6:8, 3] = 2
    image = write_nifti(tmp_path / "scan.nii.gz", voxels().transpose(2, 1, 0) - 1024, affine, "")
    written = write_nifti(tmp_path / "mask.nii.gz", mask, affine, "")

    event = run(tmp_path / "ct", tmp_path / "seg.dcm", image=image, mask=written)

    assert event["type"] == "segmented" and event["compared"] is True
    plain = pydicom.dcmread(tmp_path / "seg.dcm")
    for frame, group in zip(plain.pixel_array, plain.PerFrameFunctionalGroupsSequence, strict=True):
        k = order[int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber) - 1]
        assert np.allclose(group.PlanePositionSequence[0].ImagePositionPatient, (lps_of() @ (0, 0, k, 1))[:3])
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert np.array_equal(frame.T, mask[:, :, k] == number)


def test_segments_have_snomed_codes(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    mask = made_mask()
    mask[11, 9, 5] = 5
    written = write_nifti(tmp_path / "mask.nii.gz", mask, affine_of(AXIAL))
    run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written, segments=[LIVER, TUMOR, LESION])
    found = [
        (
            one.segmented_property_category,
            one.segmented_property_type,
            list(one.anatomic_regions),
            one.segment_label,
            one.algorithm_type.value,
        )
        for one in hd.seg.segread(tmp_path / "seg.dcm").SegmentSequence
    ]
    abnormal = codes.SCT.MorphologicallyAbnormalStructure
    assert found == [
        (codes.SCT.AnatomicalStructure, codes.SCT.Liver, [], "liver", "AUTOMATIC"),
        (abnormal, codes.SCT.Neoplasm, [codes.SCT.Liver], "liver tumor", "AUTOMATIC"),
        (abnormal, codes.SCT.Lesion, [codes.SCT.Lung], "lesion", "AUTOMATIC"),
    ]
    plain = pydicom.dcmread(tmp_path / "seg.dcm")
    first = plain.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (first.CodeValue, first.CodingSchemeDesignator) == ("10200004", "SCT")


def test_a_seg_carries_the_identity_of_its_series_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    written = write_nifti(tmp_path / "mask.nii.gz", made_mask(), affine_of(AXIAL))
    event = run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written)
    assert "canary" not in repr(event).lower()
    plain = header_of(tmp_path / "seg.dcm")
    assert {keyword: str(plain.get(keyword)) for keyword in IDENTITY} == IDENTITY
    assert plain.StudyInstanceUID == "1.2.3" and plain.SeriesInstanceUID.startswith("2.25.")
    assert stat.S_IMODE(os.stat(tmp_path / "seg.dcm").st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["ct", "mask.nii.gz", "seg.dcm"]


def test_a_synthetic_tumor_is_named_so_and_a_real_one_is_not(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:9, 2:8, 1:5] = 1
    mask[3:5, 3:5, 2:4] = 2
    mask[6:8, 3:5, 2:4] = 2
    change = np.zeros(SHAPE, np.uint8)
    change[5:9, 2:6, 1:5] = 1
    event = run(
        tmp_path / "ct",
        tmp_path / "seg.dcm",
        mask=write_nifti(tmp_path / "mask.nii.gz", mask, affine_of(AXIAL)),
        change=write_nifti(tmp_path / "change.nii.gz", change, affine_of(AXIAL)),
        segments=[LIVER, {**TUMOR, "synthetic": 1002}],
    )
    assert event["segments"] == [
        {"name": "liver", "voxels": 7 * 6 * 4 - 16},
        {"name": "liver tumor", "voxels": 8},
        {"name": "SYNTHETIC liver tumor", "voxels": 8},
    ]
    assert header_of(tmp_path / "seg.dcm").SeriesDescription == "SYNTHETIC tumors, not findings"


def test_the_same_mask_is_not_written_again_and_another_one_is(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    written = write_nifti(tmp_path / "mask.nii.gz", made_mask(), affine_of(AXIAL))
    assert run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written)["reused"] is False
    first = header_of(tmp_path / "seg.dcm").SOPInstanceUID
    assert run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written)["reused"] is True
    write_nifti(tmp_path / "mask.nii.gz", made_mask(4), affine_of(AXIAL))
    assert run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written)["reused"] is False
    assert header_of(tmp_path / "seg.dcm").SOPInstanceUID != first


def test_the_pixels_select_among_series_of_one_grid(tmp_path: Path) -> None:
    write_series(tmp_path / "ct" / "arterial", seed=1)
    hu = write_series(tmp_path / "ct" / "venous", seed=2)
    written = write_nifti(tmp_path / "mask.nii.gz", made_mask(), affine_of(AXIAL))
    image = write_nifti(tmp_path / "scan.nii.gz", hu, affine_of(AXIAL))
    assert run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written, image=image)["type"] == "segmented"
    assert str(header_of(tmp_path / "seg.dcm").ReferencedSeriesSequence[0].SeriesInstanceUID) == "1.2.3.3"


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ("shift", "no-series", "no series has the grid of the label map (1 CT series found)"),
        ("pixels", "other-pixels", "the series with the grid of the scan has other pixels"),
        ("twice", "several-series", "2 series have the grid and the pixels of the scan"),
        ("float", "no-label-map", "the file is no label map of three axes with integers"),
    ],
)
def test_refuses_a_wrong_series(tmp_path: Path, change: str, code: str, reason: str) -> None:
    hu = write_series(tmp_path / "ct" / "a")
    affine = affine_of(AXIAL)
    if change == "shift":
        affine[0, 3] += 0.2
    if change == "twice":
        write_series(tmp_path / "ct" / "b", seed=5)
    mask = made_mask().astype(np.float32 if change == "float" else np.uint8)
    written = write_nifti(tmp_path / "mask.nii.gz", mask, affine)
    image = write_nifti(tmp_path / "scan.nii.gz", hu + 5, affine) if change == "pixels" else None
    event = run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written, image=image)
    assert (event["type"], event["code"], event["reason"]) == ("refused", code, reason)
    assert not (tmp_path / "seg.dcm").exists()


def test_an_empty_mask_gives_no_file(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    written = write_nifti(tmp_path / "mask.nii.gz", np.zeros(SHAPE, np.uint8), affine_of(AXIAL))
    event = run(tmp_path / "ct", tmp_path / "seg.dcm", mask=written)
    assert event["type"] == "segmented" and event["segments"] == []
    assert not (tmp_path / "seg.dcm").exists()


def test_names_a_folder_without_a_ct_series(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no CT series"):
        run(tmp_path / "empty", tmp_path / "seg.dcm", mask="")


DATA = Path(os.environ.get("FREETUMOR_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
SERIES = DATA / "dicom" / "crlm_ct_1004"
SCAN = DATA / "crlm" / "CRLM-CT-1004_ct.nii.gz"


@pytest.mark.skipif(not (SERIES.exists() and SCAN.exists()), reason=f"needs the real CT series in {SERIES}")
def test_a_real_series_gets_a_seg_that_reads_back(tmp_path: Path) -> None:
    image = Nifti1Image.from_filename(SCAN)
    mask = np.zeros(image.shape, np.uint8)
    mask[100:200, 200:300, 5:20] = 1
    mask[120:140, 220:240, 10:12] = 2
    Nifti1Image(mask, image.affine).to_filename(tmp_path / "mask.nii.gz")
    event = run(SERIES, tmp_path / "seg.dcm", mask=str(tmp_path / "mask.nii.gz"), image=str(SCAN))
    assert event["type"] == "segmented" and event["compared"] is True and event["slices"] == 41
    volume = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    # array [i, j, k] of the NIfTI file from the physical places of both
    places = np.argwhere(volume.array > 0)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine @ np.c_[places, np.ones(len(places))].T
    own = np.round(np.linalg.inv(image.affine) @ ras)[:3].T.astype(int)
    back = np.zeros_like(mask)
    back[tuple(own.T)] = volume.array[tuple(places.T)]
    assert np.array_equal(back, mask)
