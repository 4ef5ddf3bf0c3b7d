"""The cache of prepared cases: one Zarr v3 group a case, one uncompressed chunk an array.

`image` int16 HU [X, Y, Z], `label` uint8 [X, Y, Z], `index` uint16 [ids, X/16, Y/16, Z/16] (rounded up), in C order.
So any Zarr reader opens a case, and a feeder reads crops by position from the raw chunk file, as is done here: only
writing needs Zarr itself. A case is written aside and renamed, so a path that exists is complete.
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from freetumor_runtime.errors import DataError, EnvironmentError

if TYPE_CHECKING:
    import zarr

FORMAT_VERSION = 1
BLOCK_VOXELS = 16
# Where the file system has no locks, a folder so old has no living writer.
_ABANDONED_SECONDS = 24 * 3600
_ARRAYS = {"image": "int16", "label": "uint8", "index": "uint16"}


def case_path(directory: str | Path, case_id: str) -> Path:
    """Where a case lies; the id is quoted, so that it may hold any character."""
    return Path(directory) / f"{quote(case_id, safe='')}.zarr"


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
            _sync_tree(made)
            if not _written_meanwhile(path, before, attributes.get("key")):
                _publish(made, path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error})"
        raise EnvironmentError(message, "free some space on the disk, or choose another prepare.cache") from error


def read_prepared_case(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """(image int16 HU [X, Y, Z], label uint8 [X, Y, Z], the `freetumor` attributes)."""
    whole = (slice(None),) * 3
    return read_prepared_region(path, whole)


def read_prepared_region(
    path: str | Path, part: tuple[slice, slice, slice]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """The same of a part of the case; the rest is not read."""
    attributes = read_attributes(path)
    image, label = (
        # one chunk without a compressor is the array itself
        np.array(np.memmap(chunk_file(path, name, 3), dtype, "r", shape=_shape(path, name))[part])
        for name, dtype in (("image", np.dtype("<i2")), ("label", np.dtype("u1")))
    )
    return image, label, attributes


def read_attributes(path: str | Path) -> dict[str, Any]:
    """The `freetumor` attributes of a whole case.

    Raises DataError when the case is missing, of another format, or an array is not the size that its shape says.
    """
    hint = "delete it and prepare the case again"
    try:
        attributes = _metadata(path)["attributes"]["freetumor"]
        shapes = {name: _shape(path, name) for name in _ARRAYS}
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path}: a prepared case was expected, found {type(error).__name__}", hint) from error
    if attributes.get("version") != FORMAT_VERSION:
        raise DataError(f"{path}: format {FORMAT_VERSION} was expected, found {attributes.get('version')}", hint)
    for name, dtype in _ARRAYS.items():
        expected = int(np.prod(shapes[name])) * np.dtype(dtype).itemsize
        file = chunk_file(path, name, len(shapes[name]))
        found = file.stat().st_size if file.exists() else 0
        if found != expected:
            raise DataError(f"{file}: {expected} bytes were expected, found {found}", hint)
    return dict(attributes)


def chunk_file(path: str | Path, name: str, dimensions: int) -> Path:
    """The one file that holds all of an array."""
    return Path(path).joinpath(name, "c", *["0"] * dimensions)


def _metadata(path: str | Path, *name: str) -> dict[str, Any]:
    return json.loads(Path(path, *name, "zarr.json").read_text(encoding="utf-8"))


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


def _write_single_chunk(group: "zarr.Group", name: str, array: np.ndarray) -> None:
    written = group.create_array(
        name,
        shape=array.shape,
        chunks=array.shape,
        dtype=_ARRAYS[name],
        compressors=None,
        fill_value=0,
        # A label without any organ is all fill value; its chunk must exist all the same.
        config={"write_empty_chunks": True},
    )
    written[...] = array


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
