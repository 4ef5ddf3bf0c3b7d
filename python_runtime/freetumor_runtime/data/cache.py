"""The cache of prepared cases: one Zarr v3 group a case, one uncompressed chunk an array.

`image` int16 HU [X, Y, Z], `label` uint8 [X, Y, Z], `index` uint16 [ids, X/16, Y/16, Z/16] (rounded up), in C order.
So any Zarr reader opens a case, and a feeder reads crops by position from the raw chunk file, as is done here: only
writing needs Zarr itself. A case is written aside and renamed, so a path that exists is complete.

`checksums` uint32 holds CRC-32 values: of the five `zarr.json` files, of the index, of each slab of the image, of each
slab of the label, and of all values before the last one. A slab is 16 rows (axis Y) of one plane (axis X), so a reader
checks a crop without reading the volume. src/sampling/case-group.ts reads the same layout.
"""

import errno
import fcntl
import hashlib
import math
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from freetumor_runtime.errors import DataError, EnvironmentError
from freetumor_runtime.foreign_text import read_json

if TYPE_CHECKING:
    import zarr

FORMAT_VERSION = 2
# The same arrays without checksums; `upgrade_prepared_case` adds them.
_WITHOUT_CHECKSUMS = 1
BLOCK_VOXELS = 16
# A file name has at most 255 bytes, and a writer's temporary name is longer than the case's own.
_LONGEST_NAME = 160
_KEPT_OF_LONG_NAMES = 120
# Where the file system has no locks, a folder so old has no living writer.
_ABANDONED_SECONDS = 24 * 3600
_ARRAYS = {"image": "int16", "label": "uint8", "index": "uint16"}
# In the order of their checksums.
_METADATA = ("zarr.json", *(f"{name}/zarr.json" for name in (*_ARRAYS, "checksums")))
_HINT = "run `freetumor prepare` again: it replaces a damaged case"


def case_path(directory: str | Path, case_id: str) -> Path:
    """Return where a case lies; the id is quoted, so that it may hold any character.

    A quoted id that is too long for a file name is cut, and its hash is appended: `cacheName` in
    src/curation/case-file-names.ts follows the same rule.
    """
    name = quote(case_id, safe="", errors="surrogatepass")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_KEPT_OF_LONG_NAMES]}%-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return Path(directory) / f"{name}.zarr"


def write_prepared_case(
    path: str | Path,
    image_XYZ: np.ndarray,
    label_XYZ: np.ndarray,
    num_ids: int,
    window_lower_hu: float,
    attributes: Mapping[str, Any],
) -> None:
    """Writes a case so that it is either whole or absent; replaces what was there.

    `image_XYZ` is int16 HU, `label_XYZ` uint8 below `num_ids`. `attributes` become the group's `freetumor` attribute
    (JSON-safe: case, sourceShape, sourceAffine, affine, spacingMm, windowHu, cropStart, labelVoxels, key). Raises
    EnvironmentError when the disk refuses.
    """
    import zarr

    path = Path(path)
    arrays = {
        "image": image_XYZ,
        "label": label_XYZ,
        "index": build_index(image_XYZ, label_XYZ, num_ids, window_lower_hu),
    }
    before = _identity(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _folder_of_its_own(path) as folder:
            made = folder / "case"
            group = zarr.open_group(
                made, mode="w", zarr_format=3, attributes={"freetumor": {"version": FORMAT_VERSION, **attributes}}
            )
            for name, array in arrays.items():
                _write_single_chunk(group, name, array)
            _write_checksums(group, made, arrays)
            _sync_tree(made)
            if not _written_meanwhile(path, before, attributes.get("key")):
                _publish(made, path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error})"
        raise EnvironmentError(message, "free some space on the disk, or choose another prepare.cache") from error


def read_prepared_case(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return (image int16 HU [X, Y, Z], label uint8 [X, Y, Z], the `freetumor` attributes) of an undamaged case."""
    whole = slice(None), slice(None), slice(None)
    return read_prepared_subvolume(path, whole)


def read_prepared_subvolume(
    path: str | Path, part: tuple[slice, slice, slice]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the same of a part of the case; only the slabs of the part are read and checked.

    Raises DataError that names the file and the slab when one has changed since the case was prepared.
    """
    case = _open_case(path)
    image, label = (case.read(name, part) for name in ("image", "label"))
    return image, label, case.attributes


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Return the `freetumor` attributes of a case whose metadata and index are undamaged.

    Raises DataError when the case is missing, of another format, damaged there, or an array is not the size that its
    shape says.
    """
    return _open_case(path).attributes


def verify_prepared_case(path: str | Path) -> dict[str, Any]:
    """Read every byte of a case and return its attributes. Raises DataError that names what is damaged."""
    case = _open_case(path)
    for name in ("image", "label"):
        case.check_slabs(name, case.map(name), slice(None), slice(None))
    return case.attributes


def upgrade_prepared_case(path: str | Path) -> dict[str, Any] | None:
    """Add checksums to a case that was prepared without them; return its attributes.

    None where there is nothing to add, or where the voxels are not those that were prepared (by their SHA-256).
    """
    try:
        case = _open_case(path, _WITHOUT_CHECKSUMS)
        image_XYZ, label_XYZ = (np.array(case.map(name)) for name in ("image", "label"))
        if content_hash(image_XYZ, label_XYZ) != case.attributes.get("contentSha256"):
            return None
    except DataError:
        return None
    attributes = {name: value for name, value in case.attributes.items() if name != "version"}
    num_ids, window_lower_hu = case.shapes["index"][0], attributes["windowHu"][0]
    write_prepared_case(path, image_XYZ, label_XYZ, num_ids, window_lower_hu, attributes)
    return read_attributes(path)


def content_hash(image_XYZ: np.ndarray, label_XYZ: np.ndarray) -> str:
    """Return the SHA-256 of a prepared image and label: a resumed run compares it, wherever the case lies."""
    digest = hashlib.sha256(np.ascontiguousarray(image_XYZ, "<i2"))
    digest.update(np.ascontiguousarray(label_XYZ, np.uint8))
    return digest.hexdigest()


@dataclass(frozen=True)
class _OpenCase:
    """A case whose metadata are undamaged; `slabs` are the checksums [X, ceil(Y / 16)] of image and label."""

    path: Path
    attributes: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    slabs: dict[str, np.ndarray]

    def map(self, name: str) -> np.ndarray:
        # One chunk without a compressor is the array itself.
        file = chunk_file(self.path, name, len(self.shapes[name]))
        return np.memmap(file, np.dtype(_ARRAYS[name]).newbyteorder("<"), "r", shape=self.shapes[name])

    def read(self, name: str, part: tuple[slice, slice, slice]) -> np.ndarray:
        mapped_XYZ = self.map(name)
        self.check_slabs(name, mapped_XYZ, part[0], part[1])
        return np.array(mapped_XYZ[part])

    def check_slabs(self, name: str, array_XYZ: np.ndarray, planes: slice, rows: slice) -> None:
        """Check every slab that has one of the planes and one of the rows."""
        first, stop, _ = rows.indices(array_XYZ.shape[1])
        for x in range(*planes.indices(array_XYZ.shape[0])):
            for slab in range(first // BLOCK_VOXELS, -(-stop // BLOCK_VOXELS)):
                row = slab * BLOCK_VOXELS
                if zlib.crc32(array_XYZ[x, row : row + BLOCK_VOXELS]) != self.slabs[name][x, slab]:
                    file = chunk_file(self.path, name, 3)
                    rows_of_slab = f"rows {row} to {min(row + BLOCK_VOXELS, array_XYZ.shape[1]) - 1}"
                    message = f"{file}: damaged since the case was prepared: plane {x}, {rows_of_slab}"
                    raise DataError(f"case {self.attributes.get('case')}: {message}", _HINT)


def _open_case(path: str | Path, version: int = FORMAT_VERSION) -> _OpenCase:
    path = Path(path)
    try:
        attributes = _metadata(path)["attributes"]["freetumor"]
        found_version = attributes.get("version")
        shapes = {name: _shape(path, name) for name in _ARRAYS}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise DataError(f"{path}: a prepared case was expected, found {type(error).__name__}", _HINT) from error
    if found_version != version:
        raise DataError(f"{path}: format {version} was expected, found {found_version}", _HINT)
    for name, dtype in _ARRAYS.items():
        expected = math.prod(shapes[name]) * np.dtype(dtype).itemsize
        file = chunk_file(path, name, len(shapes[name]))
        found = file.stat().st_size if file.exists() else 0
        if found != expected:
            raise DataError(f"{file}: {expected} bytes were expected, found {found}", _HINT)
    case_id = attributes.get("case")
    if case_id is not None and case_path(path.parent, str(case_id)).name != path.name:
        raise DataError(f"{path}: holds case {case_id}", _HINT)
    slabs = {} if version == _WITHOUT_CHECKSUMS else _checked_slabs(path, shapes)
    return _OpenCase(path, dict(attributes), shapes, slabs)


def _checked_slabs(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Check all but the voxels; return the checksums of the slabs. Raises DataError that names the file."""

    def check(name: str, content: bytes, expected: int) -> None:
        if zlib.crc32(content) != expected:
            raise DataError(f"{path / name}: damaged since the case was prepared", _HINT)

    table = chunk_file(path, "checksums", 1)
    index = chunk_file(path, "index", len(shapes["index"]))
    shape = shapes["image"]
    slabs = (shape[0], -(-shape[1] // BLOCK_VOXELS))
    count = math.prod(slabs)
    try:
        values = np.fromfile(table, "<u4")
        if len(shape) != 3 or len(values) != len(_METADATA) + 2 + 2 * count:
            raise DataError(f"{table}: {len(values)} checksums do not fit the shape {list(shape)}", _HINT)
        check("checksums/c/0", values[:-1].tobytes(), values[-1])
        for name, expected in zip(_METADATA, values, strict=False):
            check(name, (path / name).read_bytes(), expected)
        check(str(index.relative_to(path)), index.read_bytes(), values[len(_METADATA)])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", _HINT) from error
    image, label = values[len(_METADATA) + 1 : -1].reshape(2, *slabs)
    return {"image": image, "label": label}


def chunk_file(path: str | Path, name: str, dimensions: int) -> Path:
    """The one file that holds all of an array."""
    return Path(path).joinpath(name, "c", *["0"] * dimensions)


def _metadata(path: str | Path, *name: str) -> dict[str, Any]:
    return read_json(Path(path, *name, "zarr.json"))


def _shape(path: str | Path, name: str) -> tuple[int, ...]:
    metadata = _metadata(path, name)
    if metadata["data_type"] != _ARRAYS[name]:
        raise ValueError(metadata["data_type"])
    return tuple(int(side) for side in metadata["shape"])


def build_index(image_XYZ: np.ndarray, label_XYZ: np.ndarray, num_ids: int, window_lower_hu: float) -> np.ndarray:
    """Counts per block of 16^3 voxels, uint16 [num_ids, blocks...]: of label 0 with HU above the window's lower end,
    then of each label. It lets a uniform voxel of a class be drawn by reading one block."""
    blocks = tuple(-(-side // BLOCK_VOXELS) for side in label_XYZ.shape)
    index = np.zeros((num_ids, *blocks), np.uint16)
    index[0] = _count_by_block((label_XYZ == 0) & (image_XYZ > window_lower_hu))
    for label in range(1, num_ids):
        index[label] = _count_by_block(label_XYZ == label)
    return index


def sweep_dead_writers(directory: str | Path) -> list[str]:
    """Removes what writers left that no longer run, on this machine or another; returns the names."""
    return sorted(aside.name for aside in Path(directory).glob("*.zarr.tmp.*") if _sweep(aside))


def _sweep(aside: Path) -> bool:
    try:
        descriptor = os.open(aside, os.O_RDONLY)
    except OSError:
        return False
    try:
        if not _is_abandoned(descriptor):
            return False
        # while the lock is held: a writer that waits for it then finds its folder gone
        shutil.rmtree(aside, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def _is_abandoned(descriptor: int) -> bool:
    """Whether no writer holds the folder's lock. A process id would not tell: each container counts its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_SECONDS
    return True


def total_bytes(path: str | Path) -> int:
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def _write_checksums(group: "zarr.Group", root: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the checksums of what the group holds; of the arrays as they were given, so a failed write is found."""
    slabs = [value for name in ("image", "label") for value in _slab_checksums(arrays[name], _ARRAYS[name])]
    written = _create_single_chunk(group, "checksums", (len(_METADATA) + 2 + len(slabs),), "uint32")
    index = np.ascontiguousarray(arrays["index"], np.dtype(_ARRAYS["index"]).newbyteorder("<"))
    metadata = [zlib.crc32((root / name).read_bytes()) for name in _METADATA]
    values = np.array([*metadata, zlib.crc32(index), *slabs], "<u4")
    written[...] = np.append(values, np.uint32(zlib.crc32(values)))


def _slab_checksums(array_XYZ: np.ndarray, dtype: str) -> list[int]:
    array_XYZ = np.ascontiguousarray(array_XYZ, np.dtype(dtype).newbyteorder("<"))
    rows = range(0, array_XYZ.shape[1], BLOCK_VOXELS)
    return [zlib.crc32(plane_YZ[row : row + BLOCK_VOXELS]) for plane_YZ in array_XYZ for row in rows]


def _write_single_chunk(group: "zarr.Group", name: str, array: np.ndarray) -> None:
    _create_single_chunk(group, name, array.shape, _ARRAYS[name])[...] = array


def _create_single_chunk(group: "zarr.Group", name: str, shape: Sequence[int], dtype: str) -> "zarr.Array":
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(shape),
        dtype=dtype,
        compressors=None,
        fill_value=0,
        # A label without any organ is all fill value; its chunk must exist all the same.
        config={"write_empty_chunks": True},
    )


def _count_by_block(mask_XYZ: np.ndarray) -> np.ndarray:
    counts = mask_XYZ.astype(np.uint16)
    for axis, side in enumerate(mask_XYZ.shape):
        counts = np.add.reduceat(counts, np.arange(0, side, BLOCK_VOXELS), axis=axis, dtype=np.uint16)
    return counts


def _sync_tree(root: Path) -> None:
    for entry in [*root.rglob("*"), root]:
        _sync(entry)


def _sync(entry: Path) -> None:
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _folder_of_its_own(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, locked while its writer lives, removed in the end."""
    while True:
        folder = path.with_name(f"{path.name}.tmp.{secrets.token_hex(8)}")
        folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # swept before it was locked
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.exists():
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int] | None:
    """Of a case on the disk; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_ctime_ns


def _written_meanwhile(path: Path, before: tuple[int, int] | None, key: object) -> bool:
    """Whether another writer has published the same case since: it may be in use by now, so it stays."""
    if _identity(path) in (before, None):
        return False
    try:
        return read_attributes(path).get("key") == key
    except DataError:
        return False


def _publish(made: Path, path: Path) -> None:
    # A directory cannot be renamed onto a full one: what was there goes into our folder first, as often as it takes.
    for attempt in range(100):
        try:
            os.rename(made, path)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == 99:
                raise
        with suppress(FileNotFoundError):
            os.rename(path, made.with_name(f"old-{attempt}"))
    _sync(path.parent)
