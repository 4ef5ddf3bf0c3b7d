"""NIfTI files: checked before they are decoded, read into [X, Y, Z] arrays, written without free text.

A scan may be a pair, named by its header: `a.hdr` holds the header, `a.img` the voxels.

The twin of src/volume/nifti.ts: both give the same verdict with the same reason.
"""

import gzip
import hashlib
import os
import re
import stat
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from freetumor_runtime.data.plain_nibabel import HeaderDataError, nibabel
from freetumor_runtime.errors import DataError, EnvironmentError
from freetumor_runtime.system_errors import read_problem

# A CT of 512 x 512 x 2048 voxels in float32.
DEFAULT_MAX_BYTES = 2**31

_MIN_HEADER_BYTES = 348
_MAX_HEADER_BYTES = 540
_MAX_DIMENSION = 4096
# float32 of 0.01 is a little below 0.01.
_SPACING_RANGE_MM = (0.01 * (1 - 1e-6), 50 * (1 + 1e-6))
_MIN_VOXEL_MM3 = 1e-6
# Deflate cannot do better, so a header that promises more than this many bytes a stored byte lies.
_MAX_INFLATION = 1032
_CHUNK_BYTES = 1 << 20

_PAIR_HEADER = re.compile(r"\.(hdr)(\.gz)?$", re.IGNORECASE)
_PAIR_VOXELS = re.compile(r"\.img(\.gz)?$", re.IGNORECASE)

_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_CONVERT = "convert it to a single NIfTI file (.nii or .nii.gz) of one 3-D volume"
_REPAIR = "write the file again from its source, or repair its header"
_FETCH = "copy or download it again"
_TO_NIFTI = "convert it to .nii.gz, for example in 3D Slicer or with SimpleITK"
# Name, first bytes and remedy of formats that are not read; src/volume/foreign-formats.ts has the same words.
_FORMATS = (
    (
        "DICOM",
        rb"(?s:.{128}DICM|[\x02\x08]\0.[\0-\x10](?:UI|UL|CS|SH|DA|TM|OB|..\0\0))",
        "convert the series to NIfTI: `freetumor data convert FOLDER --out scans`",
    ),
    ("NRRD", rb"NRRD000", _TO_NIFTI),
    ("MetaImage", rb"(ObjectType|NDims)\s*=", _TO_NIFTI),
    ("HDF5", rb"\x89HDF", _TO_NIFTI),
    ("NumPy", rb"\x93NUMPY", "write it as NIfTI with its affine"),
    ("a ZIP archive", rb"PK\x03\x04", "unzip it"),
)


class NiftiError(DataError):
    """A file that is refused; `reason` is a word of NiftiProblem in src/volume/nifti-header.ts."""

    def __init__(self, reason: str, path: str, message: str, hint: str) -> None:
        super().__init__(f"{path}: {message}", hint)
        self.reason = reason


@dataclass(frozen=True)
class NiftiHeader:
    """A checked header: affine 4x4 float64, voxel to RAS millimetres, by nibabel's rule."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    slope: float
    inter: float
    affine: np.ndarray
    voxel_offset: int
    # the voxels lie in another file, the .img of a .hdr
    is_pair: bool


def check_nifti(path: str, max_bytes: int = DEFAULT_MAX_BYTES) -> NiftiHeader:
    """Check header and data to the last byte. Raises NiftiError with a reason, DataError's kind."""
    return _read(path, max_bytes)[0]


def read_header(path: str) -> NiftiHeader:
    """Return the checked header without reading the voxels. Raises NiftiError."""
    with _open(path) as file:
        return _judge(_start(file, path), path)


def load_nifti(path: str, max_bytes: int = DEFAULT_MAX_BYTES) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3-D volume: array [X, Y, Z] in the stored type, or floating point if a rescale applies, and its affine.

    The affine is 4x4 float64, voxel to RAS millimetres. Raises NiftiError that names the file.
    """
    header, voxels = _read(path, max_bytes)
    array = voxels.view(header.dtype).reshape(header.shape, order="F")
    array = array.astype(header.dtype.newbyteorder("="), copy=False)
    if (header.slope, header.inter) != (1.0, 0.0):
        array = _rescaled(array, header.slope, header.inter)
    return array, header.affine


def load_stored(path: str, max_bytes: int = DEFAULT_MAX_BYTES) -> tuple[NiftiHeader, np.ndarray, nibabel.Nifti1Header]:
    """Read the header of a file, its stored voxels [X, Y, Z] without rescale, and its raw header."""
    header, voxels = _read(path, max_bytes)
    with _open(path) as file:
        raw_header = _parse(_start(file, path), path)[1]
    stored = np.frombuffer(voxels, header.dtype).reshape(header.shape, order="F")
    return header, stored, raw_header


def save_nifti(path: str, array: np.ndarray, affine: np.ndarray, dtype: type[np.generic] | np.dtype) -> str:
    """Write array [X, Y, Z] with a fresh header: sform, qform if the axes are at right angles, millimetres.

    Returns the file's SHA-256. Values must fit `dtype`. Written aside, synced and renamed. Gzipped when the name ends
    in .gz; the same input always gives the same bytes.
    """
    image = nibabel.Nifti1Image(_converted(array, np.dtype(dtype), path), None)
    header = image.header
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm")
    header.set_zooms(np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0))
    header.set_sform(affine, code=1)
    header.set_qform(affine if _right_angled(affine) else None, code=1 if _right_angled(affine) else 0)
    content = image.to_bytes()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=3, mtime=0)
    write_synced(path, content)
    return hashlib.sha256(content).hexdigest()


def files_of_scan(path: str) -> list[str]:
    """Return the files that hold a scan: the file itself, and for a .hdr its .img if there is one.

    The only rule of pairs here; `filesOfScan` in src/volume/scan-files.ts is its twin.
    """
    path = os.fspath(path)
    ending = _PAIR_HEADER.search(path)
    if ending is None:
        return [path]
    stem = path[: ending.start()]
    written = "IMG" if ending[1] == "HDR" else "img"
    names = list(dict.fromkeys([written, "img", "IMG", "Img"]))
    plain = [f"{stem}.{name}" for name in names]
    zipped = [f"{stem}.{name}{zip_ending}" for name in names for zip_ending in (".gz", ".GZ")]
    for voxels in (zipped + plain) if ending[2] else (plain + zipped):
        if os.path.exists(voxels):
            return [path, voxels]
    return [path]


def _read(path: str, max_bytes: int) -> tuple[NiftiHeader, np.ndarray]:
    with _open(path) as file:
        stored = _checked_size(file, path, max_bytes)
        header = _judge(_start(file, path), path)
        if not header.is_pair:
            return header, _voxels(file, path, stored, header, max_bytes)
        _read_through(file, path, max_bytes)
    voxel_path = _voxel_file_of(path)
    with _open(voxel_path) as file:
        stored = _checked_size(file, voxel_path, max_bytes)
        return header, _voxels(file, voxel_path, stored, header, max_bytes)


def _checked_size(file: BinaryIO, path: str, max_bytes: int) -> int:
    stored = os.fstat(file.fileno()).st_size
    if stored > max_bytes:
        raise _too_large(path, stored, max_bytes)
    return stored


def _voxel_file_of(path: str) -> str:
    files = files_of_scan(path)
    if len(files) == 2:
        return files[1]
    found, hint = (
        ("its .img is missing", "fetch the .img of the same name")
        if _PAIR_HEADER.search(str(path))
        else ("its name does not end in .hdr", "name the files .hdr and .img")
    )
    raise NiftiError("headerOnly", path, f"a header without voxels ({found})", hint)


def _read_through(file: BinaryIO, path: str, max_bytes: int) -> None:
    """Read the file to its end, and keep nothing: damage anywhere is found."""
    position = 0
    for chunk in _decoded(file, path, 1 << 16):
        position += len(chunk)
        if position > max_bytes:
            raise _trailing(path, max_bytes)


def _voxels(file: BinaryIO, path: str, stored: int, header: NiftiHeader, max_bytes: int) -> np.ndarray:
    length = int(np.prod(header.shape, dtype=np.int64)) * header.dtype.itemsize
    if header.voxel_offset + length > max_bytes:
        raise _too_large(path, header.voxel_offset + length, max_bytes)
    return _rest(file, path, stored, header.voxel_offset, length)


def _open(path: str) -> BinaryIO:
    try:
        # Without NONBLOCK a pipe of that name would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NiftiError("missing", path, read_problem(error), "correct the path, or fetch the file") from error
    except OSError as error:
        raise NiftiError("unreadable", path, read_problem(error), "check the disk and the permissions") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NiftiError("notAFile", path, "not a regular file", "name a NIfTI file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _start(file: BinaryIO, path: str) -> bytes:
    start = b""
    try:
        for chunk in _decoded(file, path, 1 << 14):
            start += chunk
            if len(start) >= _MAX_HEADER_BYTES:
                break
    except NiftiError:
        # Enough to be judged is judged first; the damage behind it is found when the voxels are read.
        if len(start) < _MIN_HEADER_BYTES:
            raise
    return start[:_MAX_HEADER_BYTES]


def _rest(file: BinaryIO, path: str, stored: int, offset: int, length: int) -> np.ndarray:
    total = offset + length
    compressed = _is_gzip(file)
    if stored * (_MAX_INFLATION if compressed else 1) < total:
        raise _truncated(path, stored, total)
    if not compressed and stored > total:
        raise _trailing(path, total)
    # Not zeroed: memory that the file does not fill is never touched, whatever its header promises.
    rest = np.empty(length, np.uint8)
    target = memoryview(rest)
    position = 0
    for chunk in _decoded(file, path, _CHUNK_BYTES):
        if position + len(chunk) > total:
            raise _trailing(path, total)
        skipped = min(len(chunk), max(0, offset - position))
        start = position + skipped - offset
        target[max(0, start) : max(0, start) + len(chunk) - skipped] = memoryview(chunk)[skipped:]
        position += len(chunk)
    if position < total:
        raise _truncated(path, position, total)
    return rest


def _rescaled(array: np.ndarray, slope: float, inter: float) -> np.ndarray:
    small = array.dtype.itemsize < 4 or array.dtype == np.float32
    result = np.empty(array.shape, np.float32 if small else np.float64, order="F")
    # Slice by slice: the product is made in float64, and a whole CT of that is large.
    for z in range(array.shape[2]):
        result[:, :, z] = array[:, :, z] * np.float64(slope) + inter
    return result


def _is_gzip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(2) == b"\x1f\x8b"


def _decoded(file: BinaryIO, path: str, chunk_bytes: int) -> Iterator[bytes]:
    """Iterate over the file's bytes, inflated if it is gzip, at most `chunk_bytes` at a time."""
    compressed = _is_gzip(file)
    file.seek(0)
    if not compressed:
        while chunk := file.read(chunk_bytes):
            yield chunk
        return
    inflate = zlib.decompressobj(wbits=31)
    pending = b""
    while True:
        pending = pending or file.read(chunk_bytes)
        if inflate.eof:
            # Members may follow each other; anything else behind the end is refused.
            if not pending:
                return
            if pending[0] == 0:
                # alone it could be the start of a member; src/volume/decoded-bytes.ts has the same words
                raise NiftiError("corruptGzip", path, "other bytes follow the compressed data", _FETCH)
            inflate = zlib.decompressobj(wbits=31)
        try:
            chunk = inflate.decompress(pending, chunk_bytes)
        except zlib.error as error:
            raise NiftiError("corruptGzip", path, "the compressed data are damaged", _FETCH) from error
        if not pending and not chunk and not inflate.eof:
            raise NiftiError("truncated", path, "the compressed data are truncated", _FETCH)
        pending = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        if chunk:
            yield chunk


def _judge(start: bytes, path: str) -> NiftiHeader:
    """Check a header as parseNiftiHeader in src/volume/nifti-header.ts does, in the same order."""
    version, header, is_pair = _parse(start, path)
    shape = _checked_shape([int(size) for size in header["dim"]], path)
    _check_data_type(int(header["datatype"]), int(header["bitpix"]), path)
    offset = float(header["vox_offset"])
    smallest = 0 if is_pair else 352 if version == 1 else 544
    if not (offset.is_integer() and smallest <= offset < 2**53):
        message = f"wrong voxel offset (expected an integer of at least {smallest}, found {offset:g})"
        raise NiftiError("voxelOffset", path, message, _REPAIR)
    spacing = [float(mm) for mm in header["pixdim"][1:4]]
    if not _in_range(spacing):
        message = f"wrong spacing (expected 0.01 to 50 mm, found {' x '.join(f'{mm:g}' for mm in spacing)} mm)"
        raise NiftiError("spacing", path, message, "write the file again with its spacing in millimetres")
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite([slope, inter]).all():
        message = f"wrong rescale (expected finite numbers, found slope {slope} and intercept {inter})"
        raise NiftiError("scaling", path, message, "write the file again with the rescale of its scanner")
    if slope == 0:
        # The standard: no scaling.
        slope, inter = 1.0, 0.0
    affine = _checked_affine(header, path)
    return NiftiHeader(shape, header.get_data_dtype(), slope, inter, affine, int(offset), is_pair)


def _parse(start: bytes, path: str) -> tuple[int, nibabel.Nifti1Header, bool]:
    sizes = struct.unpack("<i", start[:4]) + struct.unpack(">i", start[:4]) if len(start) >= 4 else ()
    version = 1 if 348 in sizes else 2 if 540 in sizes else 0
    length = {0: 1 << 30, 1: 348, 2: 540}[version]
    if len(start) < length:
        raise _not_nifti(start, path)
    magic = start[344:348] if version == 1 else start[4:12]
    tail = b"%d" % version + (b"\0" if version == 1 else b"\0\r\n\x1a\n")
    if magic not in (b"n+" + tail, b"ni" + tail):
        message = "the NIfTI magic is missing (an Analyze file states no orientation)"
        hint = "convert it from its source again, to a single NIfTI file (.nii.gz)"
        raise NiftiError("notNifti", path, message, hint)
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    little = struct.unpack("<i", start[:4])[0] == length
    header = kind(start[:length], endianness="<" if little else ">", check=False)
    return version, header, magic.startswith(b"ni")


def _checked_shape(dims: list[int], path: str) -> tuple[int, int, int]:
    count = dims[0]
    used = dims[1 : 1 + max(0, min(7, count))]
    if not 3 <= count <= 7 or any(size != 1 for size in used[3:]):
        found = " x ".join(map(str, used))
        message = f"wrong dimensions (expected one 3-D volume, found {count}-D: {found})"
        raise NiftiError("dimensions", path, message, "extract one volume into a separate file")
    x, y, z = used[:3]
    if not all(1 <= size <= _MAX_DIMENSION for size in (x, y, z)):
        message = f"wrong size (expected 1 to {_MAX_DIMENSION} voxels per axis, found {x} x {y} x {z})"
        raise NiftiError("dimensions", path, message, _REPAIR)
    return x, y, z


def _check_data_type(code: int, bits: int, path: str) -> None:
    if code not in _BITS:
        message = f"unsupported data type (expected a CT or a label, found data type {code})"
        raise NiftiError("dataType", path, message, _CONVERT)
    if _BITS[code] != bits:
        message = f"contradictory header (expected {_BITS[code]} bits per voxel of data type {code}, found {bits})"
        raise NiftiError("dataType", path, message, _REPAIR)


def _checked_affine(header: nibabel.Nifti1Header, path: str) -> np.ndarray:
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError):
        affine = np.full((4, 4), np.nan)
    usable = (
        bool(np.isfinite(affine).all())
        and abs(np.linalg.det(affine[:3, :3])) > _MIN_VOXEL_MM3
        and _in_range(np.linalg.norm(affine[:3, :3], axis=0))
    )
    if not usable:
        message = "the affine is unusable: not finite, flat or out of scale"
        raise NiftiError("affine", path, message, _REPAIR)
    return affine


def _in_range(spacing_mm) -> bool:
    low, high = _SPACING_RANGE_MM
    return all(low <= mm <= high for mm in spacing_mm)


def _not_nifti(start: bytes, path: str) -> NiftiError:
    if _PAIR_VOXELS.search(str(path)):
        return NiftiError("notNifti", path, "not a NIfTI header (found the voxels of a pair)", "pass its .hdr")
    for name, mark, remedy in _FORMATS:
        if re.match(mark, start):
            return NiftiError("notNifti", path, f"not a NIfTI file (found {name})", remedy)
    return NiftiError("notNifti", path, "not a NIfTI file", _hint_for_other(start))


def _hint_for_other(start: bytes) -> str:
    if start.startswith(b"version https://git-lfs"):
        return "fetch the data with `git lfs pull`: this is a Git LFS pointer"
    if 0 < len(start) < 400 and all(32 <= byte < 127 or chr(byte).isspace() for byte in start):
        return "fetch the data: the file holds a line of text, perhaps a copied link"
    return _CONVERT


def _too_large(path: str, size: int, max_bytes: int) -> NiftiError:
    return NiftiError(
        "tooLarge",
        path,
        f"too large (expected at most {max_bytes} bytes, found {size})",
        "crop the scan, or raise the limit",
    )


def _truncated(path: str, found: int, expected: int) -> NiftiError:
    return NiftiError("truncated", path, f"truncated (expected {expected} bytes by its header, found {found})", _FETCH)


def _trailing(path: str, expected: int) -> NiftiError:
    return NiftiError("trailingData", path, f"too long (expected {expected} bytes by its header, found more)", _FETCH)


def _converted(array: np.ndarray, dtype: np.dtype, path: str) -> np.ndarray:
    converted = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(converted, array):
        raise DataError(f"{path}: some values do not fit {dtype}", "choose a wider data type, or round them first")
    return converted


def _right_angled(affine: np.ndarray) -> bool:
    axes = np.asarray(affine, np.float64)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1.75e-4)


def write_synced(path: str, content: bytes) -> None:
    """Write a file completely or not at all. Raises EnvironmentError that names it."""
    write_synced_parts(path, [content])


def write_synced_parts(path: str, parts: Iterable[bytes]) -> None:
    """Write consecutive parts as one file, as `write_synced` does."""
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        message = f"{path}: cannot be written ({error.strerror})"
        raise EnvironmentError(message, "check the folder, its permissions and the space on the disk") from error
