"""Turn RTSTRUCT and SEG objects into label maps on the grid of their CT series.

Names of ROIs and segments are free text: they go to the caller, which maps them, and into no message and no file.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels

from freetumor_runtime.dicom.headers import SEGMENTATION, Unreadable, read_dataset
from freetumor_runtime.dicom.series import Refused

_MIB = 2**20
# Contours and frames of a body: above these, a file is hostile or of another kind.
_MAX_STRUCTURE_BYTES = 512 * _MIB
_MAX_SEGMENTATION_BYTES = 4096 * _MIB
_MAX_SEGMENTS = 4096
_TEXT = 64
# A contour may be off the plane of its slice, and a frame off its place, by these parts of a voxel.
_OFF_PLANE = 0.25
_OFF_VOXEL = 0.05
# A code is shown only if its scheme gives it this form: other codes are free text.
_CODES = {
    "SCT": re.compile(r"\d{6,18}"),
    "SRT": re.compile(r"[A-Z]-[0-9A-F]{5}"),
    "FMA": re.compile(r"\d{1,7}"),
    "NCIt": re.compile(r"C\d{1,7}"),
    "DCM": re.compile(r"\d{5,6}"),
}
_PLANAR = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True)
class Segment:
    """An ROI or a segment. `name` is free text; `code` and `anatomy` are `SCHEME:VALUE` of known schemes, or empty."""

    number: int
    name: str
    code: str
    anatomy: str


@dataclass(frozen=True)
class LabelObject:
    """An RTSTRUCT or SEG: the series that it labels, its frame of reference, and its segments."""

    series_uid: str
    frame_uid: str
    segments: tuple[Segment, ...]


def read_label_object(path: str) -> LabelObject:
    """Return what an RTSTRUCT or a SEG labels. Raises Unreadable or Refused."""
    with _as_unreadable("its header is damaged"):
        header = _whole(path) if _is_structures(path) else _header_of_segmentation(path)
        found = _structures(header) if "StructureSetROISequence" in header else _segmentation(header)
    if len(found.segments) > _MAX_SEGMENTS:
        raise Refused("too-many-segments", f"it has {len(found.segments)} segments (expected at most {_MAX_SEGMENTS})")
    return found


def paint(
    path: str, shape: Sequence[int], lps: np.ndarray, ids: Mapping[int, int], order: Sequence[int]
) -> tuple[np.ndarray, dict[int, int], list[str]]:
    """Return the label map [column, row, slice] as uint8, the voxels of each segment, and notes.

    `ids` maps numbers of segments to label ids; `order` lists label ids, and a later one wins where two overlap.
    Raises Unreadable, or Refused for another grid.
    """
    labels = np.zeros(shape, np.uint8, order="F")
    rank = np.full(256, -1, np.int16)
    rank[list(order)] = np.arange(len(order))
    rank[0] = -1
    counts: dict[int, int] = dict.fromkeys(ids, 0)
    notes: list[str] = []
    with _as_unreadable("its content is damaged"):
        read = _contour_planes if _is_structures(path) else _frame_planes
        for number, k, plane in read(path, shape, lps, ids, notes):
            target = labels[:, :, k]
            counts[number] += int(plane.sum())
            wins = plane & (rank[target] < rank[ids[number]])
            target[wins] = ids[number]
    return labels, counts, list(dict.fromkeys(notes))


@contextmanager
def _as_unreadable(reason: str) -> Iterator[None]:
    """Turn an error of a malformed file into Unreadable: pydicom raises errors of many types."""
    try:
        yield
    except (Refused, Unreadable, OSError):
        raise
    except MemoryError:
        raise Unreadable("it takes more memory than allowed") from None
    except Exception:
        raise Unreadable(reason) from None


def fill_even_odd(contours: Sequence[np.ndarray], columns: int, rows: int) -> np.ndarray:
    """Return the pixels [column, row] whose centre is inside the polygons by the even-odd rule, as bool.

    Each contour is [N, 2] in pixels (column, row), and is closed. A polygon inside another one is a hole.
    """
    toggles = np.zeros((rows, columns + 1), np.int64)
    for contour in contours:
        start, end = contour, np.roll(contour, -1, axis=0)
        low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        # rows y with low <= y < high: a vertex on a row counts for one of its two edges
        first = np.clip(np.ceil(low), 0, rows).astype(np.int64)
        last = np.clip(np.ceil(high), 0, rows).astype(np.int64)
        spans = last - first
        edges = np.repeat(np.arange(len(contour)), spans)
        y = np.arange(len(edges)) - np.repeat(np.cumsum(spans) - spans, spans) + first[edges]
        run = end[edges] - start[edges]
        x = start[edges, 0] + (y - start[edges, 1]) * run[:, 0] / run[:, 1]
        np.add.at(toggles, (y, np.clip(np.ceil(x), 0, columns).astype(np.int64)), 1)
    return (np.cumsum(toggles, axis=1)[:, :columns] & 1).astype(bool).T


def _is_structures(path: str) -> bool:
    return str(read_dataset(path, ["SOPClassUID"]).get("SOPClassUID")) not in SEGMENTATION


def _whole(path: str) -> Dataset:
    """Return a structure set with its contours."""
    if os.stat(path).st_size > _MAX_STRUCTURE_BYTES:
        raise Unreadable(f"it is too large (expected at most {_MAX_STRUCTURE_BYTES // _MIB} MiB)")
    read_dataset(path, ["SOPClassUID"])  # refuses a compressed header, which can become any size
    return _read(path)


def _header_of_segmentation(path: str) -> Dataset:
    if os.stat(path).st_size > _MAX_SEGMENTATION_BYTES:
        raise Unreadable(f"it is too large (expected at most {_MAX_SEGMENTATION_BYTES // _MIB} MiB)")
    read_dataset(path, ["SOPClassUID"])
    return _read(path, stop_before_pixels=True)


def _read(path: str, **options: Any) -> Dataset:
    return pydicom.dcmread(path, force=True, **options)


def _structures(header: Dataset) -> LabelObject:
    codes = {
        int(one.ReferencedROINumber): _code(one, "RTROIIdentificationCodeSequence")
        for one in header.get("RTROIObservationsSequence") or ()
    }
    segments = tuple(
        Segment(number, str(one.get("ROIName") or "")[:_TEXT], codes.get(number, ""), "")
        for one in header.StructureSetROISequence
        for number in (int(one.ROINumber),)
    )
    series, frame = "", ""
    for one in header.get("ReferencedFrameOfReferenceSequence") or ():
        frame = frame or str(one.get("FrameOfReferenceUID") or "")
        for study in one.get("RTReferencedStudySequence") or ():
            for referenced in study.get("RTReferencedSeriesSequence") or ():
                series = series or str(referenced.get("SeriesInstanceUID") or "")
    return LabelObject(series[:_TEXT], frame[:_TEXT], segments)


def _segmentation(header: Dataset) -> LabelObject:
    segments = tuple(
        Segment(
            int(one.SegmentNumber),
            str(one.get("SegmentLabel") or "")[:_TEXT],
            _code(one, "SegmentedPropertyTypeCodeSequence"),
            _code(one, "AnatomicRegionSequence"),
        )
        for one in header.SegmentSequence
        if int(one.SegmentNumber) > 0  # 0 is the background of a label map
    )
    referenced = header.get("ReferencedSeriesSequence") or ()
    series = str(referenced[0].get("SeriesInstanceUID") or "") if len(referenced) == 1 else ""
    return LabelObject(series[:_TEXT], str(header.get("FrameOfReferenceUID") or "")[:_TEXT], segments)


def _code(item: Dataset, sequence: str) -> str:
    found = item.get(sequence) or ()
    if not found:
        return ""
    scheme, value = str(found[0].get("CodingSchemeDesignator") or ""), str(found[0].get("CodeValue") or "")
    form = _CODES.get(scheme)
    return f"{scheme}:{value}" if form is not None and form.fullmatch(value) else ""


def _contour_planes(
    path: str, shape: Sequence[int], lps: np.ndarray, ids: Mapping[int, int], notes: list[str]
) -> Iterator[tuple[int, int, np.ndarray]]:
    columns, rows, slices = shape
    to_voxels = np.linalg.inv(lps)
    for roi in _whole(path).get("ROIContourSequence") or ():
        number = int(roi.ReferencedROINumber)
        if number not in ids:
            continue
        planes: dict[int, list[np.ndarray]] = {}
        for contour in roi.get("ContourSequence") or ():
            if str(contour.get("ContourGeometricType")) not in _PLANAR:
                notes.append(f"ROI {number}: a contour that is no closed polygon was left out")
                continue
            points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
            if len(points) < 3 or not np.isfinite(points).all():
                notes.append(f"ROI {number}: a contour without an area was left out")
                continue
            voxels = points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
            k = int(np.rint(voxels[:, 2].mean()))
            if np.abs(voxels[:, 2] - k).max() > _OFF_PLANE or not 0 <= k < slices:
                raise Refused("other-grid", f"a contour of ROI {number} lies on no slice of the CT series")
            drawn = planes.setdefault(k, [])
            if any(np.array_equal(voxels[:, :2], other) for other in drawn):
                notes.append(f"ROI {number}: a contour that repeats another one was left out")
                continue
            drawn.append(voxels[:, :2])
        if planes and len(planes) < max(planes) - min(planes) + 1:
            lost = max(planes) - min(planes) + 1 - len(planes)
            notes.append(f"ROI {number}: {lost} slices between its first and its last have no contour")
        for k in sorted(planes):
            yield number, k, fill_even_odd(planes[k], columns, rows)


def _frame_planes(
    path: str, shape: Sequence[int], lps: np.ndarray, ids: Mapping[int, int], notes: list[str]
) -> Iterator[tuple[int, int, np.ndarray]]:
    header = _header_of_segmentation(path)
    kind = str(header.get("SegmentationType"))
    threshold = 0.5 * float(header.get("MaximumFractionalValue") or 255) if kind == "FRACTIONAL" else 0.5
    if kind == "FRACTIONAL":
        notes.append("a fractional segmentation was cut at half of its largest value")
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups = header.PerFrameFunctionalGroupsSequence
    if len(groups) != int(header.NumberOfFrames):
        raise Unreadable("its content is damaged")
    for frame, pixels in zip(groups, _pixels_of(path), strict=True):
        k, columns, rows, plane = _placed(np.asarray(pixels), frame, shared, shape, lps)
        for number in _numbers_in(frame, shared, kind, plane):
            if number in ids:
                mask = np.zeros((shape[0], shape[1]), bool)
                mask[columns, rows] = plane == number if kind == "LABELMAP" else plane > threshold
                yield number, k, mask


def _pixels_of(path: str) -> Iterator[np.ndarray]:
    try:
        yield from iter_pixels(path)
    except (NotImplementedError, RuntimeError):
        raise Refused("transfer-syntax", "its transfer syntax is unsupported for label objects") from None


def _numbers_in(frame: Dataset, shared: Dataset, kind: str, plane: np.ndarray) -> list[int]:
    if kind == "LABELMAP":
        return [int(value) for value in np.unique(plane) if value != 0]
    group = frame if "SegmentIdentificationSequence" in frame else shared
    return [int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]


def _placed(
    pixels: np.ndarray, frame: Dataset, shared: Dataset, shape: Sequence[int], lps: np.ndarray
) -> tuple[int, slice, slice, np.ndarray]:
    """Return the slice of a frame, its columns and rows in the CT grid, and its pixels [column, row] in that order."""

    def value(sequence: str, key: str) -> np.ndarray:
        group = frame if sequence in frame else shared
        return np.array(group[sequence].value[0][key].value, np.float64)

    orientation = value("PlaneOrientationSequence", "ImageOrientationPatient")
    between_rows, between_columns = value("PixelMeasuresSequence", "PixelSpacing")
    to_voxels = np.linalg.inv(lps)
    origin = to_voxels @ np.append(value("PlanePositionSequence", "ImagePositionPatient"), 1)
    steps = to_voxels[:3, :3] @ np.stack([orientation[:3] * between_columns, orientation[3:] * between_rows], axis=1)
    turns = np.rint(steps)
    place = np.rint(origin[:3]).astype(int)
    plane = pixels.T  # [column, row] of the frame
    # a deviation grows along the frame
    grown = np.abs(steps - turns) * np.array(plane.shape)
    swapped = abs(turns[0, 0]) != 1
    axes = np.abs(turns[:2, ::-1] if swapped else turns[:2])
    if (
        np.abs(origin[:3] - place)[:2].max() > _OFF_VOXEL
        or abs(origin[2] - place[2]) > _OFF_PLANE
        or grown.max() > 0.5
        or turns[2].any()
        or not np.array_equal(axes, np.eye(2))
    ):
        raise Refused("other-grid", "a frame does not lie on the grid of the CT series")
    if swapped:
        plane, turns = plane.T, turns[:, ::-1]
    ranges = []
    for axis in range(2):
        size, sign = plane.shape[axis], int(turns[axis, axis])
        low = place[axis] if sign > 0 else place[axis] - size + 1
        if low < 0 or low + size > shape[axis]:
            raise Refused("other-grid", "a frame exceeds the images of the CT series")
        ranges.append(slice(int(low), int(low) + size))
        if sign < 0:
            plane = np.flip(plane, axis)
    if not 0 <= place[2] < shape[2]:
        raise Refused("other-grid", "a frame lies on no slice of the CT series")
    return int(place[2]), ranges[0], ranges[1], plane
