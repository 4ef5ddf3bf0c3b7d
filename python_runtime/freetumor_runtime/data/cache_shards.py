"""Compressed arrays of the cache: each one Zarr shard, a file of Blosc chunks of 32^3 voxels and an index at its end.

The index lists (offset, bytes) of each chunk in C order, uint64, and ends with its own CRC-32C. Chunks at the far ends
are padded with zeros. LZ4 with shuffled bytes is the fastest codec to read that halves a CT: src/sampling/blosc.ts
decodes it without a library. The checksums of an array are the CRC-32 of its index, then of each chunk as stored.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from freetumor_runtime.data.boxes import Box
from freetumor_runtime.errors import DataError
from freetumor_runtime.system_errors import cannot_be_read

if TYPE_CHECKING:
    import zarr

CHUNK_VOXELS = 32
_CODEC, _LEVEL, _SHUFFLE = "lz4hc", 5, 1
# offset and bytes of a chunk
_ENTRY_BYTES = 16
_CRC_BYTES = 4


def chunks_of(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-side // CHUNK_VOXELS) for side in shape)


def num_chunks(shape: Sequence[int]) -> int:
    return math.prod(chunks_of(shape))


def create_sharded(group: "zarr.Group", name: str, shape: Sequence[int], dtype: str) -> "zarr.Array":
    """Create the metadata of a compressed array; `write_shard` writes its file."""
    from zarr.codecs import BloscCodec

    size = np.dtype(dtype).itemsize
    block = size * CHUNK_VOXELS**3
    codec = BloscCodec(cname=_CODEC, clevel=_LEVEL, shuffle="shuffle", typesize=size, blocksize=block)
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=(CHUNK_VOXELS,) * 3,
        shards=tuple(side * CHUNK_VOXELS for side in chunks_of(shape)),
        dtype=dtype,
        compressors=codec,
        fill_value=0,
    )


def write_shard(file: Path, array_XYZ: np.ndarray) -> list[int]:
    """Write the file of a compressed array; return its checksums. Zarr alone takes three times as long."""
    import google_crc32c

    index, checksums, position = [], [], 0
    file.parent.mkdir(parents=True)
    with file.open("wb") as shard:
        for chunk in _encoded(array_XYZ):
            shard.write(chunk)
            index += [position, len(chunk)]
            checksums.append(zlib.crc32(chunk))
            position += len(chunk)
        entries = np.array(index, "<u8").tobytes()
        entries += google_crc32c.value(entries).to_bytes(_CRC_BYTES, "little")
        shard.write(entries)
    return [zlib.crc32(entries), *checksums]


def _encoded(array_XYZ: np.ndarray) -> Iterator[bytes]:
    blosc = _blosc()
    for place in product(*map(range, chunks_of(array_XYZ.shape))):
        part_XYZ = array_XYZ[tuple(slice(at * CHUNK_VOXELS, (at + 1) * CHUNK_VOXELS) for at in place)]
        chunk_XYZ = np.zeros((CHUNK_VOXELS,) * 3, array_XYZ.dtype.newbyteorder("<"))
        chunk_XYZ[tuple(slice(side) for side in part_XYZ.shape)] = part_XYZ
        # one block, which a reader decodes at once
        yield blosc.compress(chunk_XYZ.reshape(-1), _CODEC.encode(), _LEVEL, _SHUFFLE, chunk_XYZ.nbytes)


@dataclass(frozen=True)
class Shard:
    """A compressed array of a case; `name` starts its errors, `hint` ends them."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    checksums: np.ndarray
    hint: str

    def read(self, part: Box) -> np.ndarray:
        """Return a part; only its chunks are read and checked. Raises DataError that names a damaged chunk."""
        ranges = [range(*one.indices(side)) for one, side in zip(part, self.shape, strict=True)]
        found = np.empty([len(one) for one in ranges], self.dtype)
        places = [range(one.start // CHUNK_VOXELS, -(-one.stop // CHUNK_VOXELS)) if one else one for one in ranges]
        blosc, expected = _blosc(), CHUNK_VOXELS**3 * found.itemsize
        for place, chunk in self._chunks(product(*places)):
            if int.from_bytes(chunk[4:8], "little") != expected:
                raise self._damaged(place)
            chunk_XYZ = np.frombuffer(blosc.decompress(chunk), np.dtype(self.dtype).newbyteorder("<"))
            chunk_XYZ = chunk_XYZ.reshape((CHUNK_VOXELS,) * 3)
            first = [at * CHUNK_VOXELS for at in place]
            low = [max(one.start, at) for one, at in zip(ranges, first, strict=True)]
            high = [min(one.stop, at + CHUNK_VOXELS) for one, at in zip(ranges, first, strict=True)]
            inner, outer = (
                tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin, strict=True))
                for origin in (first, [one.start for one in ranges])
            )
            found[outer] = chunk_XYZ[inner]
        return found

    def check_index(self) -> None:
        """Raise DataError if the file is missing, was truncated, or has a damaged index."""
        for _ in self._chunks(iter(())):
            pass

    def verify(self) -> None:
        """Read every byte. Raises DataError that names what is damaged."""
        for _ in self._chunks(product(*map(range, chunks_of(self.shape)))):
            pass

    def _chunks(self, places: Iterator[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], bytes]]:
        grid = chunks_of(self.shape)
        index_bytes = _ENTRY_BYTES * math.prod(grid) + _CRC_BYTES
        try:
            with self.file.open("rb") as shard:
                size = shard.seek(0, 2)
                shard.seek(max(0, size - index_bytes))
                entries = shard.read(index_bytes)
                if zlib.crc32(entries) != self.checksums[0]:
                    raise DataError(f"{self.name}: damaged since the case was prepared: its index", self.hint)
                index = np.frombuffer(entries[:-_CRC_BYTES], "<u8").reshape(-1, 2)
                for place in places:
                    at = int(np.ravel_multi_index(place, grid))
                    shard.seek(int(index[at, 0]))
                    chunk = shard.read(int(index[at, 1]))
                    if zlib.crc32(chunk) != self.checksums[1 + at]:
                        raise self._damaged(place)
                    yield place, chunk
        except OSError as error:
            raise DataError(cannot_be_read(self.file, error), self.hint) from error

    def _damaged(self, place: Sequence[int]) -> DataError:
        first = [at * CHUNK_VOXELS for at in place]
        return DataError(f"{self.name}: damaged since the case was prepared: chunk at voxel {first}", self.hint)


def _blosc() -> Any:
    # a compiled module, without types
    from numcodecs import blosc  # pyright: ignore[reportAttributeAccessIssue]

    # one thread per worker; the bytes do not depend on it
    blosc.use_threads = False
    return blosc
