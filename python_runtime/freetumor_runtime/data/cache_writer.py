"""Writes prepared cases into the cache (cache.py has its layout).

A case is written to a temporary folder and renamed. The folder is locked while its writer runs, so that the folders of
killed writers can be recognised.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from freetumor_runtime.data.cache import (
    ARRAYS,
    BLOCK_VOXELS,
    COMPRESSED_VERSION,
    FORMAT_VERSION,
    METADATA_FILES,
    WITHOUT_CHECKSUMS,
    chunk_file,
    content_hash,
    open_case,
    read_attributes,
)
from freetumor_runtime.data.cache_shards import create_sharded, write_shard
from freetumor_runtime.errors import DataError, EnvironmentError

if TYPE_CHECKING:
    import zarr

# On a file system without locks, a folder of this age has no running writer.
_ABANDONED_SECONDS = 24 * 3600


def write_prepared_case(
    path: str | Path,
    image_XYZ: np.ndarray,
    label_XYZ: np.ndarray,
    num_ids: int,
    window_lower_hu: float,
    attributes: Mapping[str, Any],
    compression: str = "none",
) -> None:
    """Write a case so that it is either complete or absent; replace an existing one.

    `image_XYZ` is int16 HU, `label_XYZ` uint8 below `num_ids` or `IGNORED_LABEL`. `attributes` become the group's
    `freetumor` attribute (JSON-safe: case, sourceShape, sourceAffine, affine, spacingMm, windowHu, cropStart,
    labelVoxels, key). `compression` is `none` or `blosc`. Raises EnvironmentError when the disk refuses.
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
            version = FORMAT_VERSION if compression == "none" else COMPRESSED_VERSION
            group = zarr.open_group(
                made, mode="w", zarr_format=3, attributes={"freetumor": {"version": version, **attributes}}
            )
            _write_single_chunk(group, "index", arrays["index"])
            voxels: list[int] = []
            for name in ("image", "label"):
                voxels += _write_voxels(group, made, name, arrays[name], compression)
            _write_checksums(group, made, arrays["index"], voxels)
            _sync_tree(made)
            if not _written_meanwhile(path, before, attributes.get("key")):
                _publish(made, path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error})"
        raise EnvironmentError(message, "free some space on the disk, or choose another prepare.cache") from error


def upgrade_prepared_case(path: str | Path) -> dict[str, Any] | None:
    """Add checksums to a case that was prepared without them; return its attributes.

    None where there is nothing to add, or where the voxels are not those that were prepared (by their SHA-256).
    """
    try:
        case = open_case(path, WITHOUT_CHECKSUMS)
        image_XYZ, label_XYZ = (np.array(case.map(name)) for name in ("image", "label"))
        if content_hash(image_XYZ, label_XYZ) != case.attributes.get("contentSha256"):
            return None
    except DataError:
        return None
    attributes = {name: value for name, value in case.attributes.items() if name != "version"}
    num_ids, window_lower_hu = case.shapes["index"][0], attributes["windowHu"][0]
    write_prepared_case(path, image_XYZ, label_XYZ, num_ids, window_lower_hu, attributes)
    return read_attributes(path)


def build_index(image_XYZ: np.ndarray, label_XYZ: np.ndarray, num_ids: int, window_lower_hu: float) -> np.ndarray:
    """Return counts per block of 16^3 voxels, uint16 [num_ids, blocks...]: of label 0 above the window's lower end,
    then of each label; ignored voxels are in none. It lets a uniform voxel of a class be drawn by reading one block."""
    blocks = tuple(-(-side // BLOCK_VOXELS) for side in label_XYZ.shape)
    index = np.zeros((num_ids, *blocks), np.uint16)
    index[0] = _count_by_block((label_XYZ == 0) & (image_XYZ > window_lower_hu))
    for label in range(1, num_ids):
        index[label] = _count_by_block(label_XYZ == label)
    return index


def sweep_dead_writers(directory: str | Path) -> list[str]:
    """Remove the folders of killed writers, on this machine or another; return their names."""
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
    """Return whether no writer holds the folder's lock. Process ids are useless: each container has its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_SECONDS
    return True


def _write_voxels(group: "zarr.Group", root: Path, name: str, array_XYZ: np.ndarray, compression: str) -> list[int]:
    """Write image or label; return its checksums."""
    if compression == "none":
        _write_single_chunk(group, name, array_XYZ)
        # of the array as it was given, so a failed write is found
        return _slab_checksums(array_XYZ, ARRAYS[name])
    create_sharded(group, name, array_XYZ.shape, ARRAYS[name])
    return write_shard(chunk_file(root, name, 3), array_XYZ.astype(ARRAYS[name], copy=False))


def _write_checksums(group: "zarr.Group", root: Path, index: np.ndarray, voxels: Sequence[int]) -> None:
    """Write the checksums of what the group holds."""
    written = _create_single_chunk(group, "checksums", (len(METADATA_FILES) + 2 + len(voxels),), "uint32")
    index = np.ascontiguousarray(index, np.dtype(ARRAYS["index"]).newbyteorder("<"))
    metadata = [zlib.crc32((root / name).read_bytes()) for name in METADATA_FILES]
    values = np.array([*metadata, zlib.crc32(index), *voxels], "<u4")
    written[...] = np.append(values, np.uint32(zlib.crc32(values)))


def _slab_checksums(array_XYZ: np.ndarray, dtype: str) -> list[int]:
    array_XYZ = np.ascontiguousarray(array_XYZ, np.dtype(dtype).newbyteorder("<"))
    rows = range(0, array_XYZ.shape[1], BLOCK_VOXELS)
    return [zlib.crc32(plane_YZ[row : row + BLOCK_VOXELS]) for plane_YZ in array_XYZ for row in rows]


def _write_single_chunk(group: "zarr.Group", name: str, array: np.ndarray) -> None:
    _create_single_chunk(group, name, array.shape, ARRAYS[name])[...] = array


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
    """Create a folder next to `path`, locked while its writer runs; remove it at the end."""
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
    """Return the identity of a case on the disk; None if there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_ctime_ns


def _written_meanwhile(path: Path, before: tuple[int, int] | None, key: object) -> bool:
    """Return whether another writer has published the same case meanwhile: it may be in use, so it stays."""
    if _identity(path) in (before, None):
        return False
    try:
        return read_attributes(path).get("key") == key
    except DataError:
        return False


def _publish(made: Path, path: Path) -> None:
    # A directory cannot be renamed onto a full one: an existing case first moves into our folder, as often as needed.
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
