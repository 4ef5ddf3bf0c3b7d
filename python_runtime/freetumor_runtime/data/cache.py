"""The cache of prepared cases: one Zarr v3 group a case, one uncompressed chunk an array.

`image` int16 HU [X, Y, Z], `label` uint8 [X, Y, Z], `index` uint16 [ids, X/16, Y/16, Z/16] (rounded up), in C order.
So any Zarr reader opens a case, and a feeder reads crops by position from the raw chunk file, as is done here: only
writing needs Zarr itself. A case is written aside and renamed, so a path that exists is complete.
"""

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from freetumor_runtime.errors import DataError, EnvironmentError
from freetumor_runtime.foreign_text import read_json

if TYPE_CHECKING:
    import zarr

FORMAT_VERSION = 1
BLOCK_VOXELS = 16
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
    aside = path.with_name(f"{path.name}.tmp.{socket.gethostname()}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        group = zarr.open_group(
            aside, mode="w", zarr_format=3, attributes={"freetumor": {"version": FORMAT_VERSION, **attributes}}
        )
        for name, array in arrays.items():
            _write_single_chunk(group, name, array)
        _sync_tree(aside)
        _publish(aside, path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error})"
        raise EnvironmentError(message, "free some space on the disk, or choose another prepare.cache") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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
    """Removes what writers of this host left behind that no longer run; returns the names."""
    swept = []
    for aside in Path(directory).glob(f"*.zarr.tmp.{socket.gethostname()}.*"):
        writer = aside.name.split(".zarr.tmp.")[1].removeprefix(f"{socket.gethostname()}.").split(".")[0]
        if writer.isdigit() and not _is_running(int(writer)):
            shutil.rmtree(aside, ignore_errors=True)
            swept.append(aside.name)
    return sorted(swept)


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


def _publish(aside: Path, path: Path) -> None:
    # A directory cannot be renamed onto a full one: what was there goes aside first.
    old: Sequence[Path] = [aside.with_name(f"{aside.name}.old")] if path.exists() else []
    for place in old:
        shutil.rmtree(place, ignore_errors=True)
        os.rename(path, place)
    os.rename(aside, path)
    _sync(path.parent)
    for place in old:
        shutil.rmtree(place, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _has_ended(process)


def _has_ended(process: int) -> bool:
    """A killed process keeps its id until its parent, or who adopted it, has asked how it ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False  # no Linux, or gone by now: then the next sweep finds it so
    # the name before the state stands in brackets and may hold any letter
    return state.rpartition(")")[2].split()[0] in "ZX"
