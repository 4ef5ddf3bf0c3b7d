"""The cache of prepared cases: one Zarr v3 group a case, one file an array.

`image` int16 HU [X, Y, Z], `label` uint8 [X, Y, Z], `index` uint16 [ids, X/16, Y/16, Z/16] (rounded up), in C order.
By default each is one uncompressed chunk. So any Zarr reader opens a case, and a feeder reads crops by position from
the raw chunk file, as is done here: only writing (cache_writer.py) needs Zarr itself. A path that exists is complete.
With `prepare.compression`, image and label are one shard each (cache_shards.py).

`checksums` uint32 holds CRC-32 values: of the five `zarr.json` files, of the index, of each slab of the image, of each
slab of the label, and of all values before the last one. A slab is 16 rows (axis Y) of one plane (axis X), so a reader
checks a crop without reading the volume. A compressed array has the values of its shard in place of its slabs.
src/sampling/case-group.ts reads the same layouts.
"""

import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from freetumor_runtime.data.boxes import Box
from freetumor_runtime.data.cache_shards import Shard, num_chunks
from freetumor_runtime.errors import DataError
from freetumor_runtime.foreign_text import read_json
from freetumor_runtime.system_errors import cannot_be_read

FORMAT_VERSION = 2
COMPRESSED_VERSION = 3
_VERSIONS = (FORMAT_VERSION, COMPRESSED_VERSION)
# The same arrays without checksums; `upgrade_prepared_case` of cache_writer.py adds them.
WITHOUT_CHECKSUMS = 1
BLOCK_VOXELS = 16
# A file name has at most 255 bytes, and a writer's temporary name is longer than the case's own.
_LONGEST_NAME = 160
_KEPT_OF_LONG_NAMES = 120
ARRAYS = {"image": "int16", "label": "uint8", "index": "uint16"}
# In the order of their checksums.
METADATA_FILES = ("zarr.json", *(f"{name}/zarr.json" for name in (*ARRAYS, "checksums")))
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


def read_prepared_case(
    path: str | Path, content_sha256: str | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return (image int16 HU [X, Y, Z], label uint8 [X, Y, Z], the `freetumor` attributes) of an undamaged case."""
    whole = slice(None), slice(None), slice(None)
    return read_prepared_subvolume(path, whole, content_sha256)


def read_prepared_subvolume(
    path: str | Path, part: Box, content_sha256: str | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the same of a part of the case; only the slabs of the part are read and checked.

    `content_sha256` is the hash that `prepare` reported. It is compared with the hash that the case states: nothing is
    hashed again, because the checksums cover the statement and the voxels.
    Raises DataError that names the file and the slab when one has changed since the case was prepared.
    """
    case = open_case(path)
    if content_sha256 is not None and case.attributes.get("contentSha256") != content_sha256:
        hint = "another command uses this cache for other scans of the same names: set prepare.cache of one of them"
        raise DataError(f"case {case.attributes.get('case')}: {path}: replaced since it was prepared", hint)
    image, label = (case.read(name, part) for name in ("image", "label"))
    return image, label, case.attributes


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Return the `freetumor` attributes of a case whose metadata and index are undamaged.

    Raises DataError if the case is missing, has another format or damaged metadata, or if the size of an array does not
    fit its shape.
    """
    return open_case(path).attributes


def verify_prepared_case(path: str | Path) -> dict[str, Any]:
    """Read every byte of a case and return its attributes. Raises DataError that names what is damaged."""
    case = open_case(path)
    for name in ("image", "label"):
        if case.compressed:
            case.shard(name).verify()
        else:
            case.check_slabs(name, case.map(name), slice(None), slice(None))
    return case.attributes


def content_hash(image_XYZ: np.ndarray, label_XYZ: np.ndarray) -> str:
    """Return the SHA-256 of a prepared image and label: a resumed run compares it, wherever the case lies."""
    digest = hashlib.sha256(np.ascontiguousarray(image_XYZ, "<i2"))
    digest.update(np.ascontiguousarray(label_XYZ, np.uint8))
    return digest.hexdigest()


@dataclass(frozen=True)
class CaseFiles:
    """A case whose metadata are undamaged; `checksums` are those of image and label."""

    path: Path
    attributes: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    checksums: dict[str, np.ndarray]
    compressed: bool

    def map(self, name: str) -> np.ndarray:
        # One chunk without a compressor is the array itself.
        file = chunk_file(self.path, name, len(self.shapes[name]))
        return np.memmap(file, np.dtype(ARRAYS[name]).newbyteorder("<"), "r", shape=self.shapes[name])

    def shard(self, name: str) -> Shard:
        file = chunk_file(self.path, name, 3)
        case = self.attributes.get("case")
        return Shard(f"case {case}: {file}", file, ARRAYS[name], self.shapes[name], self.checksums[name], _HINT)

    def read(self, name: str, part: Box) -> np.ndarray:
        if self.compressed:
            return self.shard(name).read(part)
        mapped_XYZ = self.map(name)
        self.check_slabs(name, mapped_XYZ, part[0], part[1])
        return np.array(mapped_XYZ[part])

    def check_slabs(self, name: str, array_XYZ: np.ndarray, planes: slice, rows: slice) -> None:
        """Check every slab that has one of the planes and one of the rows."""
        slabs = self.checksums[name].reshape(array_XYZ.shape[0], -1)
        first, stop, _ = rows.indices(array_XYZ.shape[1])
        for x in range(*planes.indices(array_XYZ.shape[0])):
            for slab in range(first // BLOCK_VOXELS, -(-stop // BLOCK_VOXELS)):
                row = slab * BLOCK_VOXELS
                if zlib.crc32(array_XYZ[x, row : row + BLOCK_VOXELS]) != slabs[x, slab]:
                    file = chunk_file(self.path, name, 3)
                    rows_of_slab = f"rows {row} to {min(row + BLOCK_VOXELS, array_XYZ.shape[1]) - 1}"
                    message = f"{file}: damaged since the case was prepared: plane {x}, {rows_of_slab}"
                    raise DataError(f"case {self.attributes.get('case')}: {message}", _HINT)


def open_case(path: str | Path, version: int = FORMAT_VERSION) -> CaseFiles:
    path = Path(path)
    try:
        attributes = _metadata(path)["attributes"]["freetumor"]
        found_version = attributes.get("version")
        shapes = {name: _shape(path, name) for name in ARRAYS}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise DataError(
            f"{path}: wrong content (expected a prepared case, found {type(error).__name__})", _HINT
        ) from error
    if found_version not in (_VERSIONS if version == FORMAT_VERSION else (version,)):
        expected = f"{FORMAT_VERSION} or {COMPRESSED_VERSION}" if version == FORMAT_VERSION else version
        raise DataError(f"{path}: wrong format (expected {expected}, found {found_version})", _HINT)
    compressed = found_version == COMPRESSED_VERSION
    for name, dtype in ARRAYS.items():
        if compressed and name != "index":
            continue  # `check_index` finds a file of another size
        expected = math.prod(shapes[name]) * np.dtype(dtype).itemsize
        file = chunk_file(path, name, len(shapes[name]))
        found = file.stat().st_size if file.exists() else 0
        if found != expected:
            raise DataError(f"{file}: wrong size (expected {expected} bytes, found {found})", _HINT)
    case_id = attributes.get("case")
    if case_id is not None and case_path(path.parent, str(case_id)).name != path.name:
        raise DataError(f"{path}: holds another case ({case_id})", _HINT)
    checksums = {} if version == WITHOUT_CHECKSUMS else _checksums_of_voxels(path, shapes, compressed)
    case = CaseFiles(path, dict(attributes), shapes, checksums, compressed)
    if compressed:
        for name in ("image", "label"):
            case.shard(name).check_index()
    return case


def _checksums_of_voxels(path: Path, shapes: Mapping[str, tuple[int, ...]], compressed: bool) -> dict[str, np.ndarray]:
    """Check all but the voxels; return the checksums of the voxels. Raises DataError that names the file."""

    def check(name: str, content: bytes, expected: int) -> None:
        if zlib.crc32(content) != expected:
            raise DataError(f"{path / name}: damaged since the case was prepared", _HINT)

    table = chunk_file(path, "checksums", 1)
    index = chunk_file(path, "index", len(shapes["index"]))
    shape = shapes["image"]
    try:
        values = np.fromfile(table, "<u4")
        count = -1
        if len(shape) == 3 and shapes["label"] == shape:
            count = 1 + num_chunks(shape) if compressed else shape[0] * -(-shape[1] // BLOCK_VOXELS)
        if count < 0 or len(values) != len(METADATA_FILES) + 2 + 2 * count:
            raise DataError(f"{table}: wrong number of checksums for shape {list(shape)}", _HINT)
        check("checksums/c/0", values[:-1].tobytes(), values[-1])
        for name, expected in zip(METADATA_FILES, values, strict=False):
            check(name, (path / name).read_bytes(), expected)
        check(str(index.relative_to(path)), index.read_bytes(), values[len(METADATA_FILES)])
    except OSError as error:
        raise DataError(cannot_be_read(path, error), _HINT) from error
    image, label = values[len(METADATA_FILES) + 1 : -1].reshape(2, count)
    return {"image": image, "label": label}


def chunk_file(path: str | Path, name: str, dimensions: int) -> Path:
    """Return the file that holds a whole array."""
    return Path(path).joinpath(name, "c", *["0"] * dimensions)


def _metadata(path: str | Path, *name: str) -> dict[str, Any]:
    return read_json(Path(path, *name, "zarr.json"))


def _shape(path: str | Path, name: str) -> tuple[int, ...]:
    metadata = _metadata(path, name)
    if metadata["data_type"] != ARRAYS[name]:
        raise ValueError(metadata["data_type"])
    return tuple(int(side) for side in metadata["shape"])


def total_bytes(path: str | Path) -> int:
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
