"""A small CT series with text that no output but a SEG may hold."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

IDENTITY = {
    "PatientName": "Canary^Patient",
    "PatientID": "canary-id-17",
    "AccessionNumber": "canary-accession",
    "StudyID": "canary-study",
}
SHAPE = (12, 10, 6)
SPACING = (0.8, 0.75, 2.5)

Orientation = tuple[float, float, float, float, float, float]
AXIAL: Orientation = (1, 0, 0, 0, 1, 0)
CORONAL: Orientation = (1, 0, 0, 0, 0, -1)
SAGITTAL: Orientation = (0, 1, 0, 0, 0, -1)
FLIPPED: Orientation = (-1, 0, 0, 0, -1, 0)


def write_series(folder: Path, orientation: Orientation = AXIAL, seed: int = 0, descending: bool = False) -> np.ndarray:
    """Write the slices of a series in a mixed order of files; return its HU [column, row, slice along the normal]."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 1000, SHAPE).astype(np.int16)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    order = rng.permutation(SHAPE[2])
    for number, k in enumerate(order):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{seed + 1}.{k + 1}")
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset(str(folder / "unused"), Dataset(), file_meta=meta, preamble=b"\0" * 128)
        for keyword, value in IDENTITY.items():
            setattr(one, keyword, value)
        one.SOPClassUID = meta.MediaStorageSOPClassUID
        one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.3", f"1.2.3.{seed + 1}"
        one.FrameOfReferenceUID = "1.2.3.99"
        one.Modality, one.SeriesDescription = "CT", "canary-description"
        one.SeriesNumber = 1
        one.InstanceNumber = SHAPE[2] - int(k) if descending else int(k) + 1
        one.ImageOrientationPatient = list(orientation)
        one.ImagePositionPatient = [round(float(x), 4) for x in np.array([-20.0, 30.0, 5.0]) + normal * SPACING[2] * k]
        one.PixelSpacing = [SPACING[1], SPACING[0]]
        one.SliceThickness = SPACING[2]
        one.Rows, one.Columns = SHAPE[1], SHAPE[0]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.PixelData = (hu[:, :, k] + 1024).T.astype("<i2").tobytes()
        one.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return hu


def affine_of(orientation: Orientation) -> np.ndarray:
    """Return the affine (RAS mm) of the array that `write_series` returns."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = row * SPACING[0], column * SPACING[1]
    lps[:3, 2] = np.cross(row, column) * SPACING[2]
    lps[:3, 3] = (-20, 30, 5)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray, axes: str = "") -> str:
    """Write an array, in another order of axes if `axes` names one (such as `LPI`)."""
    image = nibabel.Nifti1Image(array, affine)
    if axes:
        now = nibabel.orientations.io_orientation(affine)
        wanted = nibabel.orientations.axcodes2ornt(axes)
        image = image.as_reoriented(nibabel.orientations.ornt_transform(now, wanted).tolist())
    image.to_filename(path)
    return str(path)


def header_of(path: Path) -> Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)
