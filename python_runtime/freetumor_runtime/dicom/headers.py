"""Read the headers of DICOM files: bounded in bytes, without pixels, without warnings that quote values."""

import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import _read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

# pydicom quotes values in its warnings, and values are patient text
warnings.filterwarnings("ignore")
logging.getLogger("pydicom").disabled = True
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RT_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
DIRECTORY = "1.2.840.10008.1.3.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"

# The longest value of a header that is read, and the most bytes and reads of a header. Those of slices have a few
# kilobytes; those of a segmentation with 10,000 frames have 200,000 elements.
_VALUE_BYTES = 1 << 20
_HEADER_BYTES = 16 << 20
_HEADER_READS = 500_000
_START = 128
# Limits of the texts that are kept: the longest value representations that are read are UI and LO with 64 characters.
_TEXT = 64

_UID = re.compile(r"[0-9.]{1,64}")
_IMAGE_TAGS = """
    SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID FrameOfReferenceUID PatientID Modality ImageType
    SeriesNumber SeriesDescription ProtocolName ConvolutionKernel ContrastBolusAgent BurnedInAnnotation
    NumberOfFrames Rows Columns PixelSpacing ImagePositionPatient ImageOrientationPatient SamplesPerPixel
    PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept
    RescaleType LossyImageCompression
"""
_FRAME_TAGS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# names that promise DICOM
_ENDINGS = (".dcm", ".dicom", ".ima")
_MARK = b"DICM"
# the first element of a file without its preamble: group 0002 or 0008, then a value representation or a short length
_BARE = re.compile(rb"[\x02\x08]\0.[\0-\x10](?:UI|UL|CS|SH|DA|TM|OB|..\0\0)", re.DOTALL)


class Unreadable(Exception):
    """A DICOM file whose header cannot be read; `reason` holds no text of the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Instance:
    """Header of one image. A missing or malformed value is empty or None; lengths in mm, vectors in DICOM's LPS."""

    path: str
    # place of the image in a multi-frame file, from 0; None for a file of one image
    frame: int | None
    size: int
    modified_ns: int
    sop_class: str
    sop_uid: str
    series_uid: str
    study_uid: str
    frame_uid: str
    transfer_syntax: str
    patient_id: str
    modality: str
    image_type: tuple[str, ...]
    series_number: int | None
    description: str
    protocol: str
    kernel: str
    contrast: bool
    burned_in: bool
    frames: int
    rows: int | None
    columns: int | None
    # between rows, then between columns
    pixel_spacing: tuple[float, ...] | None
    position: tuple[float, ...] | None
    # direction along a row, then along a column
    orientation: tuple[float, ...] | None
    samples: int | None
    photometric: str
    # allocated, stored, high bit, signed
    bits: tuple[int | None, ...]
    slope: float | None
    intercept: float | None
    rescale_type: str
    lossy: bool
    # from the pixels to the end of the file
    pixel_bytes: int


@dataclass(frozen=True)
class Link:
    """A symbolic link to a folder, which is not followed."""

    path: str


def files_below(folder: str, without: str | None = None) -> Iterator[str | Link]:
    """Yield the regular files of a tree in the order of their names, and the folders that cannot be opened.

    Hidden names are skipped. `without` is a folder that is not entered: the output may lie in the input.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder  # reading it fails in the same way
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if without is None or not os.path.samefile(entry.path, without):
                    yield from files_below(entry.path, without)
            elif stat.S_ISREG(mode := entry.stat().st_mode):
                yield entry.path
            elif stat.S_ISDIR(mode):
                yield Link(entry.path)
        except OSError:
            yield entry.path


def is_dicom(path: str) -> bool:
    """Return whether a file is DICOM by its content or its name. Raises OSError for one that cannot be read."""
    with open(path, "rb") as file:
        start = file.read(_START + 4)
    return start[_START:] == _MARK or path.lower().endswith(_ENDINGS) or _is_bare(path, start)


def preamble_of(path: str) -> bytes:
    """Return the bytes that a file lacks before its data set: none, or the preamble, the mark and the meta group."""
    with open(path, "rb") as file:
        start = file.read(_START + 4)
    if start[_START:] == _MARK or not _BARE.match(start):
        return b""
    if start[0] == 2:
        return bytes(_START) + _MARK
    syntax = str(_read(path, ["SOPClassUID"])[0].file_meta.TransferSyntaxUID).encode("ascii")
    syntax += b"\0" * (len(syntax) % 2)
    element = b"\x02\0\x10\0UI" + len(syntax).to_bytes(2, "little") + syntax
    return bytes(_START) + _MARK + b"\x02\0\0\0UL\x04\0" + len(element).to_bytes(4, "little") + element


def _is_bare(path: str, start: bytes) -> bool:
    """Return whether a file without the mark holds a data set: old archives leave out preamble and meta group."""
    if not _BARE.match(start):
        return False
    try:
        return _uid(_read(path, ["SOPClassUID"])[0], "SOPClassUID").startswith("1.2.840.10008.")
    except Unreadable:
        return False


def read_dataset(path: str, tags: Sequence[str] | None = None) -> FileDataset:
    """Return the header of a DICOM file without its pixels: at most 16 MiB, no value above 1 MiB.

    `tags` are the keywords that are kept; None keeps all. Raises Unreadable.
    """
    return _read(path, tags)[0]


def _read(path: str, tags: Sequence[str] | None) -> tuple[FileDataset, int]:
    """Return the header and the place where it ends."""
    try:
        with _BoundedFile(path) as file:
            if _transfer_syntax_of(file) == _DEFLATED:
                raise Unreadable("its header is compressed (Deflated Explicit VR Little Endian)")
            file.seek(0)
            header = pydicom.dcmread(
                file,
                stop_before_pixels=True,
                defer_size=_VALUE_BYTES,
                force=True,
                specific_tags=list(tags) if tags is not None else None,
            )
            if "TransferSyntaxUID" not in header.file_meta:
                implicit = header.original_encoding[0]
                header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            return header, file.tell()
    except Unreadable:
        raise
    except OSError as error:
        raise Unreadable(f"it cannot be read ({type(error).__name__})") from None
    except RecursionError:
        raise Unreadable("its sequences are nested too deep") from None
    except MemoryError:
        raise Unreadable("its header takes more memory than allowed") from None
    except Exception:  # pydicom raises errors of many types for malformed files
        raise Unreadable("its header is damaged") from None


def read_instances(path: str) -> list[Instance]:
    """Return the header of a DICOM file, or those of all frames of an enhanced CT. Raises Unreadable."""
    one = read_instance(path)
    if one.sop_class not in ENHANCED_CT:
        return [one]
    header = read_dataset(path, _FRAME_TAGS)
    try:
        (shared,) = header.get(_FRAME_TAGS[0]) or [Dataset()]
        frames = list(header[_FRAME_TAGS[1]].value)
        return [_frame(one, at, shared, frame) for at, frame in enumerate(frames)] or [one]
    except Exception:  # a malformed frame: the file states no grid
        return [one]


def _frame(one: Instance, at: int, shared: Dataset, frame: Dataset) -> Instance:
    def group(key: str) -> Any:
        found = frame.get(key) or shared.get(key)
        return found[0] if found else Dataset()

    measures, rescale = group("PixelMeasuresSequence"), group("PixelValueTransformationSequence")
    spacing = _numbers(measures, "PixelSpacing", 2)
    return replace(
        one,
        frame=at,
        image_type=_texts(group("CTImageFrameTypeSequence"), "FrameType") or one.image_type,
        kernel=" ".join(_texts(group("CTReconstructionSequence"), "ConvolutionKernel"))[:_TEXT],
        pixel_spacing=spacing if spacing is not None and min(spacing) > 0 else None,
        position=_numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=_numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        slope=_number(rescale, "RescaleSlope"),
        intercept=_number(rescale, "RescaleIntercept"),
        rescale_type=_text(rescale, "RescaleType"),
    )


def read_instance(path: str) -> Instance:
    """Return the header of one DICOM file. Raises Unreadable."""
    found = os.stat(path)
    header, end = _read(path, _IMAGE_TAGS.split())
    meta = header.file_meta
    spacing = _numbers(header, "PixelSpacing", 2)
    return Instance(
        path=path,
        frame=None,
        size=found.st_size,
        modified_ns=found.st_mtime_ns,
        sop_class=_uid(header, "SOPClassUID") or _uid(meta, "MediaStorageSOPClassUID"),
        sop_uid=_uid(header, "SOPInstanceUID"),
        series_uid=_uid(header, "SeriesInstanceUID"),
        study_uid=_uid(header, "StudyInstanceUID"),
        frame_uid=_uid(header, "FrameOfReferenceUID"),
        transfer_syntax=_uid(meta, "TransferSyntaxUID"),
        patient_id=_text(header, "PatientID"),
        modality=_text(header, "Modality"),
        image_type=_texts(header, "ImageType"),
        series_number=_integer(header, "SeriesNumber"),
        description=_text(header, "SeriesDescription"),
        protocol=_text(header, "ProtocolName"),
        kernel=" ".join(_texts(header, "ConvolutionKernel"))[:_TEXT],
        contrast=_text(header, "ContrastBolusAgent") != "",
        burned_in=_text(header, "BurnedInAnnotation").upper() == "YES",
        frames=_integer(header, "NumberOfFrames") or 1,
        rows=_integer(header, "Rows"),
        columns=_integer(header, "Columns"),
        pixel_spacing=spacing if spacing is not None and min(spacing) > 0 else None,
        position=_numbers(header, "ImagePositionPatient", 3),
        orientation=_numbers(header, "ImageOrientationPatient", 6),
        samples=_integer(header, "SamplesPerPixel"),
        photometric=_text(header, "PhotometricInterpretation"),
        bits=tuple(_integer(header, key) for key in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")),
        slope=_number(header, "RescaleSlope"),
        intercept=_number(header, "RescaleIntercept"),
        rescale_type=_text(header, "RescaleType"),
        lossy=_text(header, "LossyImageCompression") == "01",
        pixel_bytes=found.st_size - end,
    )


class _BoundedFile(io.BufferedReader):
    """A file that refuses to read more of a header than real headers have."""

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(os.open(Path(path), os.O_RDONLY | os.O_NONBLOCK), "rb"))
        self._bytes = 0
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > _VALUE_BYTES:
            raise Unreadable("a value of its header is too long")
        self._bytes += size
        self._reads += 1
        if self._bytes > _HEADER_BYTES or self._reads > _HEADER_READS:
            raise Unreadable("its header is too long")
        return super().read(size)


def _transfer_syntax_of(file: _BoundedFile) -> str:
    """Return the transfer syntax of the group that no syntax compresses; empty for a file without this group."""
    file.seek(0)
    start = file.read(_START + 4)
    if start[_START:] != _MARK:
        if not _BARE.match(start):
            raise Unreadable("it does not have the mark of a DICOM file")
        file.seek(0)
        if start[0] != 2:
            return ""
    meta = _read_file_meta_info(file)
    return _uid(meta, "TransferSyntaxUID")


def _value(header: Any, key: str) -> Any:
    try:
        return header.get(key)
    except Exception:  # a malformed value counts as missing, whatever pydicom raises
        return None


def _uid(header: Any, key: str) -> str:
    text = str(_value(header, key) or "")
    return text if _UID.fullmatch(text) else ""


def _text(header: Any, key: str) -> str:
    return " ".join(_texts(header, key))[:_TEXT]


def _texts(header: Any, key: str) -> tuple[str, ...]:
    value = _value(header, key)
    values = [] if value is None else [value] if isinstance(value, str) else value
    try:
        return tuple(str(one).strip()[:_TEXT] for one in list(values)[:16])
    except TypeError:
        return (str(values).strip()[:_TEXT],)


def _number(header: Any, key: str) -> float | None:
    found = _numbers(header, key, 1)
    return None if found is None else found[0]


def _numbers(header: Any, key: str, count: int) -> tuple[float, ...] | None:
    value = _value(header, key)
    try:
        numbers = tuple(float(one) for one in ([value] if count == 1 else value))
    except (TypeError, ValueError):
        return None
    finite = all(abs(one) < 1e9 for one in numbers)  # false for NaN, too
    return numbers if len(numbers) == count and finite else None


def _integer(header: Any, key: str) -> int | None:
    number = _number(header, key)
    return int(number) if number is not None and number == int(number) else None
