"""Write DICOM series for tests: a small CT with known voxels, and the odd ones that hospitals have.

python -m tests.dicom.made_series FOLDER NAME|many [COPIES]
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from freetumor_runtime.dicom.headers import CT_IMAGE, RT_STRUCTURES

ROOT = "1.2.826.0.1.3680043.8.498"
STUDY = f"{ROOT}.1"
FRAME = f"{ROOT}.2"
ROWS, COLUMNS, SLICES = 20, 24, 6
SPACING = (0.8, 0.7, 2.5)  # between rows, between columns, between slices
AXIAL = (1, 0, 0, 0, 1, 0)
# axial of a patient who lies head first supine; prone; coronal; sagittal; oblique
ORIENTATIONS = {
    "axial": AXIAL,
    "prone": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.6, 0.8, 0),
}


def voxels(slices: int = SLICES, seed: int = 0) -> np.ndarray:
    """Return stored values [slice, row, column] int16 without any symmetry; HU are 1024 less."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3000, (slices, ROWS, COLUMNS)).astype(np.int16)


def lps_of(orientation: Sequence[float] = AXIAL, spacing: Sequence[float] = SPACING) -> np.ndarray:
    """Return voxel (column, row, slice) to LPS millimetres of a made series."""
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = row * spacing[1], column * spacing[0]
    lps[:3, 2] = np.cross(row, column) * spacing[2]
    lps[:3, 3] = (-100.5, -80.25, 40.0)
    return lps


def write_ct(
    folder: Path,
    *,
    stored: np.ndarray | None = None,
    orientation: Sequence[float] = AXIAL,
    syntax: str = ExplicitVRLittleEndian,
    series: str = f"{ROOT}.3",
    change: Callable[[int, Dataset], None] | None = None,
    names: Sequence[str] | None = None,
) -> list[Path]:
    """Write a CT series; `change` edits the header of each slice before it is written, or removes it with `skip`."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = voxels() if stored is None else stored
    lps = lps_of(orientation)
    written = []
    for k, plane in enumerate(stored):
        one = _slice(k, plane, lps, orientation, series)
        if change is not None:
            change(k, one)
        if "skip" in vars(one):
            continue
        path = folder / (names[k] if names is not None else f"slice-{k:03d}.dcm")
        save(one, path, syntax)
        written.append(path)
    return written


def save(dataset: FileDataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> None:
    """Write a dataset; compress it if the transfer syntax does."""
    if syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    endian = syntax != ExplicitVRBigEndian
    implicit = syntax == ImplicitVRLittleEndian
    # unlike save_as, it writes a dataset of one byte order in the other
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=endian, force_encoding=True)


def _slice(k: int, plane: np.ndarray, lps: np.ndarray, orientation: Sequence[float], series: str) -> FileDataset:
    one = _file(CT_IMAGE, f"{series}.{k + 1}")
    one.Modality, one.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.PatientID, one.PatientName = "4711", "Doe^Jane"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = STUDY, series, FRAME
    one.SeriesNumber, one.InstanceNumber = 1, k + 1
    one.SeriesDescription, one.ConvolutionKernel = "Abdomen portal venous", "STANDARD"
    one.Rows, one.Columns = plane.shape
    one.PixelSpacing, one.SliceThickness = list(SPACING[:2]), SPACING[2]
    one.ImageOrientationPatient = [float(value) for value in orientation]
    one.ImagePositionPatient = [round(float(value), 6) for value in (lps @ (0, 0, k, 1))[:3]]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 1
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = plane.astype("<i2").tobytes()
    return one


def _file(sop_class: str, uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    one.SOPClassUID, one.SOPInstanceUID = sop_class, uid
    return one


def write_structures(
    path: Path, rois: Sequence[tuple[str, Sequence[np.ndarray]]], series: str = f"{ROOT}.3", kind: str = "CLOSED_PLANAR"
) -> None:
    """Write an RTSTRUCT: ROIs with names and contours [N, 3] in LPS millimetres."""
    one = _file(RT_STRUCTURES, f"{series}.900")
    one.Modality, one.PatientID, one.PatientName = "RTSTRUCT", "4711", "Doe^Jane"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.SeriesNumber = STUDY, f"{series}.9", 9
    referenced, study, frame = Dataset(), Dataset(), Dataset()
    referenced.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [referenced]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = FRAME, [study]
    one.ReferencedFrameOfReferenceSequence = [frame]
    one.StructureSetROISequence, one.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois, 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{value:.6g}" for value in np.asarray(points).ravel()]
            drawn.ContourSequence.append(contour)
        one.StructureSetROISequence.append(roi)
        one.ROIContourSequence.append(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(one, path)


def circle(lps: np.ndarray, k: int, centre: tuple[float, float], radius: float, points: int = 90) -> np.ndarray:
    """Return a circle on a slice [points, 3] in LPS mm; centre and radius are in pixels (column, row)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    column, row = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return (np.stack([column, row, np.full(points, k), np.ones(points)], axis=1) @ lps.T)[:, :3]


def _set(**values: object) -> Callable[[int, Dataset], None]:
    def change(_: int, one: Dataset) -> None:
        for key, value in values.items():
            setattr(one, key, value)

    return change


def _without(key: str, at: int | None = None) -> Callable[[int, Dataset], None]:
    def change(k: int, one: Dataset) -> None:
        if at is None or k == at:
            delattr(one, key)

    return change


def _gap(k: int, one: Dataset) -> None:
    if k == 3:
        one.__dict__["skip"] = True


def _moved(k: int, one: Dataset, to: Callable[[int, list[float]], list[float]]) -> None:
    one.ImagePositionPatient = to(k, [float(value) for value in one.ImagePositionPatient])


def _tilt(k: int, one: Dataset) -> None:
    _moved(k, one, lambda k, p: [p[0], p[1] + 0.5 * k, p[2]])


def _same_place(k: int, one: Dataset) -> None:
    _moved(k, one, lambda k, p: [p[0], p[1], p[2] - (2.5 if k == 4 else 0)])


def _uneven(k: int, one: Dataset) -> None:
    _moved(k, one, lambda k, p: [p[0], p[1], p[2] + (0.8 if k == 2 else 0)])


def _turned(k: int, one: Dataset) -> None:
    if k == 3:
        one.ImageOrientationPatient = list(ORIENTATIONS["coronal"])


def _other_patient(k: int, one: Dataset) -> None:
    if k == 3:
        one.PatientID = "4712"


def _other_slope(k: int, one: Dataset) -> None:
    if k == 3:
        one.RescaleIntercept = 0


def write_enhanced(
    folder: Path,
    order: Sequence[int] = range(SLICES),
    orientation: Sequence[float] = AXIAL,
    syntax: str = ExplicitVRLittleEndian,
    change: Callable[[Dataset], None] | None = None,
    name: str = "enhanced.dcm",
) -> None:
    """Write an enhanced CT: one file whose frames have the slices in this order."""
    lps, stored = lps_of(orientation), voxels()
    one = _slice(0, stored[0], lps, orientation, f"{ROOT}.3")
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    measures, plane, rescale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = one.PixelSpacing, one.SliceThickness
    plane.ImageOrientationPatient = one.ImageOrientationPatient
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -1024, "HU"
    for key in ["PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"]:
        delattr(one, key)
    del one.RescaleSlope, one.RescaleIntercept
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [rescale]
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = [shared], []
    for k in order:
        place, content, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(value), 6) for value in (lps @ (0, 0, k, 1))[:3]]
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", k + 1, [1, k + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        one.PerFrameFunctionalGroupsSequence.append(frame)
    one.NumberOfFrames, one.PixelData = SLICES, stored[list(order)].tobytes()
    if change is not None:
        change(one)
    folder.mkdir(parents=True, exist_ok=True)
    save(one, folder / name, syntax)


def _enhanced_slope(one: Dataset) -> None:
    own = Dataset()
    own.RescaleSlope, own.RescaleIntercept, own.RescaleType = 2, -1024, "HU"
    one.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence = [own]


def _enhanced_gap(one: Dataset) -> None:
    place = one.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0]
    x, y, z = place.ImagePositionPatient
    place.ImagePositionPatient = [x, y, z + 2 * SPACING[2]]


def _two_enhanced(folder: Path) -> None:
    write_enhanced(folder)
    write_enhanced(folder, name="second.dcm")


def _bare(folder: Path, implicit: bool) -> None:
    """Write slices without preamble, mark and meta group, as old archives do."""
    for path in write_ct(folder, syntax=ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian):
        one = pydicom.dcmread(path)
        one.file_meta, one.preamble = FileMetaDataset(), None
        pydicom.dcmwrite(path.with_suffix(""), one, implicit_vr=implicit, little_endian=True)
        path.unlink()


def _without_preamble(folder: Path) -> None:
    for path in write_ct(folder):
        path.with_suffix("").write_bytes(path.read_bytes()[132:])
        path.unlink()


def _twice(folder: Path) -> None:
    first = write_ct(folder)[0]
    shutil.copy(first, folder / "copy of a slice.dcm")


def _two_series(folder: Path) -> None:
    write_ct(folder, names=[f"a{k}" for k in range(SLICES)])
    write_ct(folder, series=f"{ROOT}.4", stored=voxels(seed=1), names=[f"b{k}" for k in range(SLICES)])


def _private(k: int, one: Dataset) -> None:
    block = one.private_block(0x0029, "HOSPITAL PRIVATE", create=True)
    block.add_new(1, "LO", "private text")
    block.add_new(2, "UN", bytes(200_000))


def _unsigned(k: int, one: Dataset) -> None:
    one.BitsStored, one.HighBit, one.PixelRepresentation = 12, 11, 0


SHUFFLED = [f"IM{(7 * k + 3) % SLICES:04d}" for k in range(SLICES)]
# those that become a volume
WHOLE: dict[str, Callable[[Path], object]] = {
    "plain": write_ct,
    "shuffled": lambda folder: write_ct(folder, names=SHUFFLED, change=_set(InstanceNumber=1)),
    "repeated": _twice,
    "private": lambda folder: write_ct(folder, change=_private),
    "unsigned": lambda folder: write_ct(folder, change=_unsigned),
    "implicit": lambda folder: write_ct(folder, syntax=ImplicitVRLittleEndian),
    "bigEndian": lambda folder: write_ct(folder, syntax=ExplicitVRBigEndian),
    "rle": lambda folder: write_ct(folder, syntax=RLELossless),
    "jpegLs": lambda folder: write_ct(folder, syntax=JPEGLSLossless, change=_unsigned),
    "twoSeries": _two_series,
    "withoutPreamble": _without_preamble,
    "bareImplicit": lambda folder: _bare(folder, True),
    "bareExplicit": lambda folder: _bare(folder, False),
    **{
        name: lambda folder, one=one: write_ct(folder, orientation=one)
        for name, one in ORIENTATIONS.items()
        if name != "axial"
    },
}
# those that are refused, by the word of their reason
REFUSED: dict[str, Callable[[Path], object]] = {
    "gantry-tilt": lambda folder: write_ct(folder, change=_tilt),
    "gap": lambda folder: write_ct(folder, change=_gap),
    "duplicate-slice": lambda folder: write_ct(folder, change=_same_place),
    "uneven-slices": lambda folder: write_ct(folder, change=_uneven),
    "mixed-orientations": lambda folder: write_ct(folder, change=_turned),
    "mixed-patients": lambda folder: write_ct(folder, change=_other_patient),
    "mixed-rescale": lambda folder: write_ct(folder, change=_other_slope),
    "missing-tag": lambda folder: write_ct(folder, change=_without("ImagePositionPatient", 2)),
    "localizer": lambda folder: write_ct(folder, change=_set(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    "burned-in-annotation": lambda folder: write_ct(folder, change=_set(BurnedInAnnotation="YES")),
    "secondary-capture": lambda folder: write_ct(folder, change=_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")),
    "enhanced-multi-frame": _two_enhanced,
    "photometric": lambda folder: write_ct(folder, change=_set(PhotometricInterpretation="MONOCHROME1")),
    "pixel-format": lambda folder: write_ct(folder, change=_set(BitsStored=12)),
    "not-ct": lambda folder: write_ct(folder, change=_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR")),
    "rescale-type": lambda folder: write_ct(folder, change=_set(RescaleType="OD")),
    "single-image": lambda folder: write_ct(folder, stored=voxels(1)),
}


# enhanced CT that become a volume
ENHANCED: dict[str, Callable[[Path], object]] = {
    "in order": write_enhanced,
    "reversed": lambda folder: write_enhanced(folder, range(SLICES)[::-1]),
    "shuffled": lambda folder: write_enhanced(folder, (3, 0, 5, 1, 4, 2)),
    "coronal": lambda folder: write_enhanced(folder, (3, 0, 5, 1, 4, 2), ORIENTATIONS["coronal"]),
    "oblique": lambda folder: write_enhanced(folder, (3, 0, 5, 1, 4, 2), ORIENTATIONS["oblique"]),
    "implicit": lambda folder: write_enhanced(folder, (3, 0, 5, 1, 4, 2), syntax=ImplicitVRLittleEndian),
}
# those that are refused, by the word of their reason
REFUSED_ENHANCED: dict[str, Callable[[Path], object]] = {
    "mixed-rescale": lambda folder: write_enhanced(folder, change=_enhanced_slope),
    "duplicate-slice": lambda folder: write_enhanced(folder, (0, 1, 2, 3, 4, 4)),
    "gap": lambda folder: write_enhanced(folder, change=_enhanced_gap),
    "enhanced-multi-frame": lambda folder: write_enhanced(
        folder, change=lambda one: delattr(one, "PerFrameFunctionalGroupsSequence")
    ),
    "truncated": lambda folder: write_enhanced(
        folder, change=lambda one: setattr(one, "PixelData", one.PixelData[:-800])
    ),
    "transfer-syntax": lambda folder: write_enhanced(folder, syntax=RLELossless),
}


def write_many(folder: Path, copies: int) -> None:
    """Write two series for each of several patients."""
    for copy in range(copies):
        for series in (1, 2):
            uid = f"{ROOT}.7.{copy + 1}.{series}"
            change = _set(PatientID=str(copy), StudyInstanceUID=f"{ROOT}.6.{copy + 1}")
            place = folder / str(copy) / str(series)
            write_ct(place, stored=voxels(seed=2 * copy + series), series=uid, change=change)


def change_syntax(folder: Path, uid: str) -> None:
    """State another transfer syntax than the files have."""
    for path in folder.iterdir():
        one = pydicom.dcmread(path)
        one.file_meta.TransferSyntaxUID = uid
        del one.PixelData
        pydicom.dcmwrite(path, one, implicit_vr=False, little_endian=True, force_encoding=True)


CANARIES = [f"CANARY{number:02d}" for number in range(1, 21)]


def write_canaries(folder: Path) -> None:
    """Write a CT, an RTSTRUCT and a SEG whose every free text is a canary, as are the names of folders and files."""
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    c = CANARIES

    def change(_: int, one: Dataset) -> None:
        _private(0, one)
        one.PatientName, one.PatientID, one.PatientComments, one.OtherPatientNames = c[0], c[1], c[2], c[3]
        one.SeriesDescription, one.StudyDescription, one.ProtocolName = f"{c[4]} liver", c[5], c[6]
        one.InstitutionName, one.ReferringPhysicianName, one.AccessionNumber = c[7], c[8], c[9]
        one.ConvolutionKernel, one.ImageComments, one.StationName, one.ContrastBolusAgent = c[10], c[11], c[12], c[13]
        one.private_block(0x0029, "HOSPITAL PRIVATE").add_new(3, "LO", c[14])
        one.StudyDate, one.StudyTime, one.StudyID, one.PatientBirthDate, one.PatientSex = "", "", "", "", ""

    paths = write_ct(folder / c[15], change=change, names=[f"{c[16]} {k}" for k in range(SLICES)])
    box = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    box[2:4, 5:9, 6:12] = 1
    kind = hd.seg.SegmentAlgorithmTypeValues.MANUAL
    other = Code(c[17], "99HOSPITAL", c[18])
    described = [
        hd.seg.SegmentDescription(1, c[19], codes.SCT.Tissue, codes.SCT.Liver, kind),
        hd.seg.SegmentDescription(2, f"{c[19]} 2", codes.SCT.Tissue, other, kind),
    ]
    source = [pydicom.dcmread(path) for path in paths]
    hd.seg.Segmentation(
        source, np.stack([box, 1 - box], axis=3), hd.seg.SegmentationTypeValues.BINARY, described,
        f"{ROOT}.8", 8, f"{ROOT}.8.1", 1, c[7], c[12], "1", "1", series_description=c[4],
    ).save_as(folder / c[15] / f"{c[16]} seg")  # fmt: skip
    write_structures(folder / f"{c[15]}.rt", [(c[19], [circle(lps_of(), 2, (9, 9), 3)])])
    damaged = pydicom.dcmread(paths[0])
    damaged.SeriesInstanceUID, damaged.SOPInstanceUID, damaged.Rows = f"{ROOT}.5", f"{ROOT}.5.1", None
    damaged.save_as(folder / f"{c[16]} damaged.dcm")


if __name__ == "__main__":
    if sys.argv[2] == "many":
        write_many(Path(sys.argv[1]), int(sys.argv[3]))
    else:
        {**WHOLE, **REFUSED, "canaries": write_canaries}[sys.argv[2]](Path(sys.argv[1]))
