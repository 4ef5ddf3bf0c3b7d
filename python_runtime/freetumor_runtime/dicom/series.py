"""Group the files of DICOM series, sort their slices and state their grid; refuse by name what is no CT volume."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from freetumor_runtime.dicom.headers import (
    CT_IMAGE,
    ENHANCED_CT,
    RT_STRUCTURES,
    SECONDARY_CAPTURE,
    SEGMENTATION,
    Instance,
    files_below,
    is_dicom,
    read_instances,
)

# Positions are often written with one decimal, so a slice may be off its place by 0.05 mm.
_POSITION_MM = 0.06
_SPACING_FRACTION = 0.02
_DIRECTION = 1e-3

# What dcm2niix decodes without loss, and with the loss that the file itself has.
_READ_SYNTAXES = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.5": "RLE Lossless",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}
# dcm2niix decodes compressed frames of a file wrongly, as the comparison with pydicom showed
_FRAME_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
# transfer syntaxes with compressed pixels
_ENCAPSULATED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
_IMPLICIT = "1.2.840.10008.1.2"
_CAPTURES = {"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "DOSE_INFO", "DOSE INFO", "PROTOCOL", "REPORT"}


class Refused(Exception):
    """A series that is no CT volume: a word for programs, a sentence for people. Neither holds text of a file."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Stack:
    """The slices of a volume in ascending order along the normal of their plane, and their grid.

    `affine` is 4x4 float64, voxel (column, row, slice) to RAS millimetres. `lps` is the same in DICOM's own axes.
    """

    slices: tuple[Instance, ...]
    affine: np.ndarray
    lps: np.ndarray
    # files that repeat a slice byte for byte in their header, and were left out
    repeated: int

    @property
    def shape(self) -> tuple[int, int, int]:
        first = self.slices[0]
        return first.columns or 0, first.rows or 0, len(self.slices)

    @property
    def spacing(self) -> tuple[float, float, float]:
        x, y, z = (float(np.linalg.norm(self.lps[:3, axis])) for axis in range(3))
        return x, y, z


def series_below(folder: str) -> dict[str, list[Instance]]:
    """Return the files of each series of a tree, by the UID of the series. Raises Unreadable for a damaged file."""
    paths = (path for path in files_below(folder) if isinstance(path, str) and is_dicom(path))
    return grouped(one for path in paths for one in read_instances(path))


def grouped(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Return the instances of each series, by its UID, in the order of their first file."""
    groups: dict[str, list[Instance]] = {}
    for one in instances:
        groups.setdefault(one.series_uid, []).append(one)
    return groups


def kind_of(instances: Sequence[Instance]) -> str:
    """Return `image`, `seg` or `rtstruct`: how a series could be converted."""
    if all(one.sop_class in SEGMENTATION for one in instances):
        return "seg"
    return "rtstruct" if all(one.sop_class == RT_STRUCTURES for one in instances) else "image"


def stack_of(instances: Sequence[Instance]) -> Stack:
    """Return the volume of a CT series. Raises Refused with the first reason against it."""
    for check in (_refuse_other_kinds, _refuse_missing_tags, _refuse_mixtures, _refuse_pixels, _refuse_truncated):
        check(instances)
    _refuse_orientation(instances)
    slices, repeated = _without_repetitions(instances)
    if len(slices) < 2:
        raise Refused("single-image", "it has one image, which is no volume (expected at least 2 slices)")
    return _sorted_stack(slices, repeated)


def _refuse_other_kinds(instances: Sequence[Instance]) -> None:
    for one in instances:
        if one.series_uid == "":
            raise Refused("missing-tag", "SeriesInstanceUID is missing")
        if one.sop_class == SECONDARY_CAPTURE or one.sop_class.startswith(SECONDARY_CAPTURE + "."):
            raise Refused("secondary-capture", "it is a secondary capture, which may show patient text")
        if one.burned_in:
            raise Refused("burned-in-annotation", "BurnedInAnnotation is YES: its pixels may show patient text")
        if one.sop_class in ENHANCED_CT:
            _refuse_frames(instances)
        elif one.sop_class != CT_IMAGE:
            raise Refused("not-ct", "it is no CT image")
        words = {word.upper() for word in one.image_type}
        if words & {"LOCALIZER", "SCOUT", "TOPOGRAM"}:
            raise Refused("localizer", "it is a localizer")
        if words & _CAPTURES:
            raise Refused("secondary-capture", "it is a screen capture, which may show patient text")
        if one.frames != 1 and one.frame is None:
            raise Refused("multi-frame", "a file has several frames (expected one slice a file)")
        if one.transfer_syntax not in _READ_SYNTAXES:
            raise Refused("transfer-syntax", f"its transfer syntax is unsupported ({one.transfer_syntax or 'missing'})")


def _refuse_frames(instances: Sequence[Instance]) -> None:
    """Refuse an enhanced CT of several files, without positions, or with compressed pixels."""
    one = instances[0]
    if len({each.path for each in instances}) != 1:
        raise Refused("enhanced-multi-frame", "it has several enhanced multi-frame files (expected 1)")
    if one.frame is None or one.frames != len(instances):
        raise Refused("enhanced-multi-frame", "its images have no positions, or another number than the file states")
    if one.transfer_syntax not in _FRAME_SYNTAXES:
        raise Refused("transfer-syntax", f"its compressed multi-frame images are unsupported ({one.transfer_syntax})")


def _refuse_missing_tags(instances: Sequence[Instance]) -> None:
    for one in instances:
        values = {
            "SOPInstanceUID": one.sop_uid or None,
            "Rows": one.rows,
            "Columns": one.columns,
            "PixelSpacing": one.pixel_spacing,
            "ImagePositionPatient": one.position,
            "ImageOrientationPatient": one.orientation,
            "BitsAllocated": one.bits[0],
            "BitsStored": one.bits[1],
            "HighBit": one.bits[2],
            "PixelRepresentation": one.bits[3],
            "RescaleSlope": one.slope or None,
            "RescaleIntercept": one.intercept,
        }
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise Refused("missing-tag", f"{', '.join(missing)} is missing or malformed in a file")


def _refuse_mixtures(instances: Sequence[Instance]) -> None:
    first = instances[0]
    for one in instances:
        if one.patient_id != first.patient_id or one.study_uid != first.study_uid:
            raise Refused("mixed-patients", "its files state several patients or studies")
        if one.frame_uid != first.frame_uid:
            raise Refused("mixed-frames", "its files state several frames of reference")
        if (one.rows, one.columns) != (first.rows, first.columns):
            raise Refused("mixed-sizes", "its images have several sizes")
        if not np.allclose(one.pixel_spacing or 0, first.pixel_spacing or 0, rtol=1e-4, atol=0):
            raise Refused("mixed-spacings", "its images have several pixel spacings")
        if not np.allclose(one.orientation or 0, first.orientation or 0, rtol=0, atol=_DIRECTION):
            raise Refused("mixed-orientations", "its images have several orientations")
        if (one.slope, one.intercept) != (first.slope, first.intercept):
            raise Refused("mixed-rescale", "its images have several rescale slopes or intercepts")
        if one.bits != first.bits:
            raise Refused("mixed-pixels", "its images have several pixel formats")


def _refuse_pixels(instances: Sequence[Instance]) -> None:
    one = instances[0]
    if one.samples not in (None, 1) or one.photometric != "MONOCHROME2":
        raise Refused("photometric", "its pixels are no grey values (expected MONOCHROME2 with one sample)")
    allocated, stored, high_bit, signed = one.bits
    if allocated != 16 or stored is None or not 8 <= stored <= 16 or high_bit != stored - 1 or signed not in (0, 1):
        raise Refused("pixel-format", "its pixel format is unsupported (expected 8 to 16 bits in 16)")
    if not (1 <= (one.rows or 0) <= 4096 and 1 <= (one.columns or 0) <= 4096):
        raise Refused("image-size", "its images have an unsupported size (expected 1 to 4096 rows and columns)")
    if one.rescale_type.upper() not in ("", "HU", "US"):
        raise Refused("rescale-type", "its rescale does not lead to HU")


def _refuse_truncated(instances: Sequence[Instance]) -> None:
    """Refuse files that end within their pixels: a decoder would fill them up."""
    for one in instances:
        native = not one.transfer_syntax.startswith(_ENCAPSULATED)
        wanted = (one.rows or 0) * (one.columns or 0) * 2 * one.frames if native else 1
        tag_and_length = 8 if one.transfer_syntax == _IMPLICIT else 12
        if one.pixel_bytes < wanted + tag_and_length:
            raise Refused("truncated", "a file ends within its pixels")


def _refuse_orientation(instances: Sequence[Instance]) -> None:
    row, column = _directions(instances[0])
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > _DIRECTION or abs(float(row @ column)) > _DIRECTION:
        raise Refused("orientation", "ImageOrientationPatient has no perpendicular unit vectors")


def _directions(one: Instance) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(one.orientation, np.float64)
    return both[:3], both[3:]


def _without_repetitions(instances: Sequence[Instance]) -> tuple[list[Instance], int]:
    """Leave out copies of a file: the same instance with the same bytes."""
    found: dict[tuple[str, int | None], Instance] = {}
    for one in instances:
        known = found.setdefault((one.sop_uid, one.frame), one)
        if known is not one and not _same_bytes(known, one):
            raise Refused("duplicate-instance", "two different files state the same SOPInstanceUID")
    return list(found.values()), len(instances) - len(found)


def _same_bytes(a: Instance, b: Instance) -> bool:
    if a.size != b.size:
        return False
    with open(a.path, "rb") as first, open(b.path, "rb") as second:
        while chunk := first.read(1 << 20):
            if chunk != second.read(len(chunk)):
                return False
    return True


def _sorted_stack(instances: Sequence[Instance], repeated: int) -> Stack:
    row, column = _directions(instances[0])
    normal = np.cross(row, column)
    positions = np.array([one.position for one in instances], np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    slices = tuple(instances[at] for at in order)
    positions = positions[order]
    along = (positions - positions[0]) @ normal
    spacing = _spacing_of(along)
    _refuse_tilt(positions, row, column, along)
    lps = np.eye(4)
    between_rows, between_columns = instances[0].pixel_spacing or (0, 0)
    lps[:3, 0] = row * between_columns
    lps[:3, 1] = column * between_rows
    lps[:3, 2] = normal * spacing
    lps[:3, 3] = positions[0]
    return Stack(slices=slices, affine=np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, lps=lps, repeated=repeated)


def _spacing_of(along: np.ndarray) -> float:
    """Return the distance of slices, whose positions `along` the normal are sorted."""
    steps = np.diff(along)
    usual = float(np.median(steps))
    if steps.min() < 0.01:
        at = int(steps.argmin())
        raise Refused("duplicate-slice", f"slices {at + 1} and {at + 2} of {len(along)} have the same position")
    if steps.max() > 1.5 * usual:
        at = int(steps.argmax())
        lost = round(float(steps[at]) / usual) - 1
        raise Refused(
            "gap",
            f"{lost} slice{'s are' if lost != 1 else ' is'} missing after slice {at + 1} of {len(along)} "
            f"(expected steps of {usual:.3g} mm, found {steps[at]:.3g})",
        )
    spacing = float(along[-1]) / (len(along) - 1)
    off = np.abs(along - spacing * np.arange(len(along))).max()
    if off > max(_POSITION_MM, _SPACING_FRACTION * spacing):
        raise Refused("uneven-slices", f"its slices have uneven distances ({steps.min():.3g} to {steps.max():.3g} mm)")
    return spacing


def _refuse_tilt(positions: np.ndarray, row: np.ndarray, column: np.ndarray, along: np.ndarray) -> None:
    """Refuse slices that are shifted in their plane: a resampled volume would not have the measured HU."""
    moved = positions - positions[0]
    shift = np.stack([moved @ row, moved @ column], axis=1)
    if np.abs(shift).max() <= _POSITION_MM:
        return
    slope = shift[-1] / along[-1]
    if np.abs(shift - along[:, None] * slope).max() <= 2 * _POSITION_MM:
        angle = np.degrees(np.arctan(np.linalg.norm(slope)))
        raise Refused("gantry-tilt", f"the gantry is tilted by {angle:.3g} degrees, so its slices form no box")
    raise Refused("shifted-slices", "its slices are shifted in their plane, so they form no box")
