"""Write DICOM SEG objects: label maps in the frame of reference of their CT series, for a viewer.

A SEG carries the identity of its series (name, id, accession number, study), as a viewer needs it: it is written with
mode 0600 into a folder that only its owner can open. No event of this module holds text of a file.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from freetumor_runtime.dicom.headers import (
    Instance,
    Link,
    Unreadable,
    files_below,
    is_dicom,
    read_dataset,
    read_instances,
)
from freetumor_runtime.dicom.series import Refused, Stack, grouped, stack_of
from freetumor_runtime.errors import DataError

# A voxel of the label map may be off its place in the series by this part of a voxel, at the corners, too.
_OFF_VOXEL = 0.1
# A scan may differ from the pixels of its series by rounding, and where a converter replaces padding.
_OFF_HU = 1.0
_EQUAL_SHARE = 0.99
_MAX_SLICE_BYTES = 64 * 2**20
_SERIES_NUMBER = 300
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyID"),
)

ORGANS: dict[str, Code] = {
    "liver": codes.SCT.Liver,
    "pancreas": codes.SCT.Pancreas,
    "kidney": codes.SCT.Kidney,
    "lung": codes.SCT.Lung,
}
TYPES: dict[str, Code] = {"tumor": codes.SCT.Neoplasm, "lesion": codes.SCT.Lesion}


@dataclass(frozen=True)
class LabelledPlanes:
    """A label map on the grid of its series: ids [slice, row, column], and the scan there, or None."""

    ids: np.ndarray
    image: np.ndarray | None


def segment(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield `segmented` or `refused` for each job: the SEG of a label map, whose series lies below `folder`."""
    stacks, refusals = _stacks_below(request["folder"])
    for job in request["jobs"]:
        started = time.monotonic()
        try:
            done = _segment(job, stacks, refusals, request["version"])
        except (Refused, Unreadable) as error:
            code = error.code if isinstance(error, Refused) else "unreadable"
            yield {"type": "refused", "job": job["job"], "code": code, "reason": error.reason, "hint": ""}
            continue
        except (MemoryError, OSError) as error:
            reason = f"its SEG cannot be written ({type(error).__name__})"
            yield {"type": "refused", "job": job["job"], "code": "failed", "reason": reason, "hint": ""}
            continue
        yield {"type": "segmented", "job": job["job"], "seconds": round(time.monotonic() - started, 3), **done}


def _stacks_below(folder: str) -> tuple[list[Stack], list[Refused]]:
    """Return the CT volumes below a folder, and the reasons against its other CT series."""
    instances: list[Instance] = []
    for path in files_below(folder) if os.path.isdir(folder) else []:
        try:
            if not isinstance(path, Link) and is_dicom(path):
                instances += read_instances(path)
        except (Unreadable, OSError):
            continue  # a damaged file leaves a gap in its series, which is refused
    stacks: list[Stack] = []
    refusals: list[Refused] = []
    for group in grouped(instances).values():
        try:
            stacks.append(stack_of(group))
        except Refused as error:
            if error.code not in ("not-ct", "localizer"):
                refusals.append(error)
    if not stacks and not refusals:
        raise DataError(f"{folder}: no CT series (found {len(instances)} DICOM files)", "name the folder of the series")
    return stacks, refusals


def _segment(job: dict[str, Any], stacks: Sequence[Stack], refusals: Sequence[Refused], version: str) -> dict[str, Any]:
    stack, planes, compared = _series_of(job, stacks, refusals)
    ids, segments = _present(planes.ids, job["segments"])
    facts = {"slices": len(stack.slices), "compared": compared, "segments": [], "frames": 0, "reused": False}
    if not segments:
        return facts
    facts["segments"] = [
        {"name": one["name"], "voxels": int(np.count_nonzero(ids == at))} for at, one in enumerate(segments, 1)
    ]
    facts["frames"] = sum(int((ids == at).any(axis=(1, 2)).sum()) for at in range(1, len(segments) + 1))
    uid = _uid_of("instance", stack, ids, segments)
    if _is_there(job["target"], uid):
        return facts | {"reused": True}
    made = _object(stack, ids, segments, uid, version)
    _write(job["target"], made)
    return facts


def _series_of(
    job: dict[str, Any], stacks: Sequence[Stack], refusals: Sequence[Refused]
) -> tuple[Stack, LabelledPlanes, bool]:
    """Return the series that a label map lies on: the only one with its grid and with the pixels of its scan."""
    fitting = [(stack, planes) for stack in stacks if (planes := _on_grid(job, stack)) is not None]
    if not fitting:
        if not stacks:
            raise refusals[0]
        raise Refused("no-series", f"no series has the grid of the label map ({len(stacks)} CT series found)")
    agreements = [_agrees(stack, planes.image) for stack, planes in fitting]
    right = [one for one, agrees in zip(fitting, agreements, strict=True) if agrees is not False]
    if not right:
        raise Refused("other-pixels", "the series with the grid of the scan has other pixels")
    if len(right) > 1:
        raise Refused("several-series", f"{len(right)} series have the grid and the pixels of the scan")
    stack, planes = right[0]
    return stack, planes, True in agreements


def _on_grid(job: dict[str, Any], stack: Stack) -> LabelledPlanes | None:
    """Return the label map on the grid of the series, moved along its axes only; None for another grid."""
    mask = _opened(job["mask"])
    if len(mask.shape) != 3 or not np.issubdtype(mask.get_data_dtype(), np.integer):
        raise Refused("no-label-map", "the file is no label map of three axes with integers")
    moves = _moves(mask.affine, mask.shape, stack)
    if moves is None:
        return None
    ids = _moved(np.asanyarray(mask.dataobj), moves)
    if job["change"] is not None:
        # a tumor voxel of the scan itself lies where nothing was painted
        changed = _moved(np.asanyarray(_opened(job["change"]).dataobj), moves) > 0
        synthetic = {one["id"]: one["synthetic"] for one in job["segments"] if one["synthetic"] is not None}
        ids = ids.astype(np.int32)
        for own, painted in synthetic.items():
            ids[(ids == own) & changed] = painted
    if job["image"] is None:
        return LabelledPlanes(ids, None)
    image = _opened(job["image"])
    moves = _moves(image.affine, image.shape, stack)
    if moves is None:
        return None
    return LabelledPlanes(ids, _moved(np.asanyarray(image.dataobj), moves))


def _opened(path: str) -> Any:
    try:
        return nibabel.load(path)
    except ImageFileError:
        raise Refused("unreadable", "a NIfTI file of the case cannot be read") from None


def _moves(affine: np.ndarray, shape: Sequence[int], stack: Stack) -> tuple[tuple[int, ...], tuple[bool, ...]] | None:
    """Return which axis of an array is column, row and slice of the series, and which of them are reversed."""
    relation = np.linalg.inv(stack.affine) @ affine
    turn = np.round(relation[:3, :3])
    if not np.array_equal(np.abs(turn).sum(axis=0), np.ones(3)) or not np.array_equal(
        np.abs(turn).sum(axis=1), np.ones(3)
    ):
        return None
    axes = tuple(int(np.abs(turn[row]).argmax()) for row in range(3))
    reversed_axes = tuple(turn[row, axes[row]] < 0 for row in range(3))
    if tuple(shape[axis] for axis in axes) != stack.shape:
        return None
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    found = (relation @ corners.T)[:3].T
    wanted = np.stack(
        [
            (shape[axes[row]] - 1 - corners[:, axes[row]]) if reversed_axes[row] else corners[:, axes[row]]
            for row in range(3)
        ],
        axis=1,
    )
    return (axes, reversed_axes) if np.abs(found - wanted).max() <= _OFF_VOXEL else None


def _moved(array: np.ndarray, moves: tuple[tuple[int, ...], tuple[bool, ...]]) -> np.ndarray:
    """Return an array as [slice, row, column] of the series."""
    axes, reversed_axes = moves
    turned = array.transpose(axes)[tuple(slice(None, None, -1 if back else 1) for back in reversed_axes)]
    return turned.transpose(2, 1, 0)


def _agrees(stack: Stack, image: np.ndarray | None) -> bool | None:
    """Return whether the scan has the pixels of the series in three slices; None if they cannot be compared."""
    if image is None:
        return None
    count = len(stack.slices)
    for k in sorted({0, count // 2, count - 1}):
        one = stack.slices[k]
        if one.size // one.frames > _MAX_SLICE_BYTES:
            return None
        try:
            pixels = pixel_array(one.path, index=one.frame)
        except Exception:  # a decoder is missing, or the pixels are damaged
            return None
        hu = pixels * (one.slope or 1) + (one.intercept or 0)
        if float(np.mean(np.abs(hu - image[k]) <= _OFF_HU)) < _EQUAL_SHARE:
            return False
    return True


def _present(ids: np.ndarray, wanted: Sequence[dict[str, Any]]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the segments that have voxels, and the label map with their numbers from 1 on."""
    numbers = np.zeros(ids.shape, np.uint8)
    segments: list[dict[str, Any]] = []
    for one in wanted:
        for painted in (False, True):
            own = one["synthetic"] if painted else one["id"]
            if own is None or not (inside := ids == own).any():
                continue
            numbers[inside] = len(segments) + 1
            prefix = "SYNTHETIC " if painted else ""
            segments.append({**one, "name": prefix + one["name"], "painted": painted})
    return numbers, segments


def _object(
    stack: Stack,
    ids: np.ndarray,
    segments: Sequence[dict[str, Any]],
    uid: str,
    version: str,
) -> Dataset:
    import highdicom as hd

    if stack.slices[0].frame is None:
        sources = [_whole_header(one.path) for one in stack.slices]
    else:
        # highdicom takes the masks in the order of the frames of the source
        sources = [_whole_header(stack.slices[0].path)]
        ids = ids[np.argsort([one.frame or 0 for one in stack.slices])]
    algorithm = hd.AlgorithmIdentificationSequence("freetumor", codes.cid7162.ArtificialIntelligence, version)
    synthetic = any(one["painted"] for one in segments)
    about = "SYNTHETIC tumors, not findings" if synthetic else "Segmentation by freetumor"
    thickness = sources[0].get("SliceThickness") or stack.spacing[2]
    between_rows, between_columns = stack.slices[0].pixel_spacing or (1.0, 1.0)
    try:
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=np.ascontiguousarray(ids),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(number, one, algorithm) for number, one in enumerate(segments, 1)],
            series_instance_uid=_uid_of("series", stack, ids, segments),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=uid,
            instance_number=1,
            manufacturer="freetumor",
            manufacturer_model_name="freetumor",
            software_versions=version,
            device_serial_number="0",
            pixel_measures=hd.PixelMeasuresSequence(
                pixel_spacing=[between_rows, between_columns],
                slice_thickness=float(thickness),
                spacing_between_slices=_decimal(stack.spacing[2]),
            ),
            content_label="FREETUMOR",
            content_description=about,
            series_description=about,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        # the words of these errors may quote the header
        raise Refused("header", "the headers of its series lack what a SEG needs") from None


def _decimal(value: float) -> float:
    """Return a number that a decimal string of DICOM (16 characters) can hold."""
    return float(f"{value:.10g}")


def _description(number: int, one: dict[str, Any], algorithm: Any) -> Any:
    import highdicom as hd

    organ = ORGANS.get(one["organ"] or "")
    is_organ = one["kind"] == "organ"
    kind = ORGANS[one["organ"]] if is_organ else TYPES[one["kind"]]
    category = codes.SCT.AnatomicalStructure if is_organ else codes.SCT.MorphologicallyAbnormalStructure
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=one["name"],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        anatomic_regions=None if is_organ or organ is None else [organ],
    )


def _whole_header(path: str) -> Dataset:
    header = read_dataset(path)
    # a type 2 element may be absent in old files, and highdicom reads each of them
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, None)
    return header


def _uid_of(kind: str, stack: Stack, ids: np.ndarray, segments: Sequence[dict[str, Any]]) -> str:
    """Return a UID that the series and the segments decide: the same SEG replaces itself in an archive."""
    first = stack.slices[0]
    names = [[one["name"], one["kind"], one["organ"]] for one in segments]
    facts = repr((kind, first.series_uid, first.sop_uid, names, ids.shape)).encode()
    number = int.from_bytes(hashlib.sha256(facts + np.ascontiguousarray(ids).tobytes()).digest()[:16], "big")
    return f"2.25.{number}"


def _is_there(target: str, uid: str) -> bool:
    try:
        return read_dataset(target, ["SOPInstanceUID"]).get("SOPInstanceUID") == uid
    except (Unreadable, OSError):
        return False


def _write(target: str, made: Dataset) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    aside = f"{target}.tmp.{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            made.save_as(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    finally:
        if os.path.exists(aside):
            os.unlink(aside)
