"""NIfTI files changed at random, and bombs: what test and campaign give to the readers of both languages.

    python test/contract/mutated_nifti.py FOLDER COUNT SEED
    python test/contract/mutated_nifti.py FOLDER bombs BYTES

writes COUNT files, or bombs that unfold into BYTES, into FOLDER and prints their paths, one a line.
"""

import gzip
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np

# Fields of a NIfTI-1 header by offset and struct code; what matters to a reader.
FIELDS = {
    0: "i", 40: "h", 42: "h", 44: "h", 46: "h", 48: "h", 70: "h", 72: "h", 76: "f", 80: "f", 84: "f", 88: "f",
    108: "f", 112: "f", 116: "f", 252: "h", 254: "h", 256: "f", 260: "f", 264: "f", 280: "f", 300: "f", 320: "f",
}  # fmt: skip
EXTREMES = {
    "h": (0, 1, -1, 2, 3, 4, 7, 16, 512, 4096, 4097, 32767, -32768),
    "i": (0, 348, 540, -1, 2**31 - 1, 1543569408),
    "f": (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"), 352.5, 1e9),
}


def write_mutated(folder: Path, count: int, seed: int) -> list[Path]:
    """Files of up to some 100 KB, each a sound file changed in one to four ways. The same seed, the same files."""
    sound = [make() for make in SOUND]
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        content = bytearray(sound[rng.integers(len(sound))])
        inside_gzip = rng.random() < 0.5
        for _ in range(rng.integers(1, 5) if inside_gzip else 0):
            content = bytearray(MUTATIONS[rng.integers(len(MUTATIONS))](content, rng))
        if zipped := bool(rng.random() < 0.6):
            content = bytearray(gzip.compress(bytes(content), compresslevel=int(rng.integers(0, 10)), mtime=0))
        if not inside_gzip:
            for _ in range(rng.integers(1, 5)):
                content = bytearray(MUTATIONS[rng.integers(len(MUTATIONS))](content, rng))
        path = folder / f"{seed}_{number:06d}.nii{'.gz' if zipped else ''}"
        path.write_bytes(content)
        paths.append(path)
    return paths


def write_bombs(folder: Path, unfolded_bytes: int) -> dict[str, Path]:
    """Small files that unfold into `unfolded_bytes`: more than the header says, as it says, and nested members."""
    small = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)).to_bytes()
    side = int(np.sqrt(unfolded_bytes / 4096))
    honest = bytearray(small[:352])
    struct.pack_into("<4h", honest, 40, 3, side, side, 4096)
    struct.pack_into("<2h", honest, 70, 2, 8)
    lying = bytearray(honest)
    struct.pack_into("<4h", lying, 40, 3, 4096, 4096, max(1, unfolded_bytes >> 25))
    member = gzip.compress(bytes(1 << 20), mtime=0)
    contents = {
        "goes_on.nii.gz": zeros_behind(small, unfolded_bytes),
        "as_large_as_it_says.nii.gz": zeros_behind(bytes(honest), side * side * 4096),
        "promises_more.nii.gz": gzip.compress(bytes(lying) + bytes(1 << 16), mtime=0),
        "members.nii.gz": gzip.compress(small, mtime=0) + member * (unfolded_bytes >> 20),
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / name
        paths[name].write_bytes(content)
    return paths


def zeros_behind(start: bytes, count: int) -> bytes:
    deflate = zlib.compressobj(9, wbits=31)
    parts = [deflate.compress(start)]
    block = bytes(1 << 20)
    parts += [deflate.compress(block[: min(len(block), count - at)]) for at in range(0, count, len(block))]
    return b"".join([*parts, deflate.flush()])


def _nifti(dtype: type, shape: tuple[int, ...], kind: type = nibabel.Nifti1Image) -> bytes:
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    image = kind(values, np.diag([0.8, -0.8, 2.5, 1]), dtype=dtype)
    image.header.set_qform(image.affine, code=1)
    return image.to_bytes()


def _big_endian() -> bytes:
    image = nibabel.Nifti1Image.from_bytes(_nifti(np.int16, (12, 10, 8)))
    header = image.header.as_byteswapped(">")
    return nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, header).to_bytes()


def _rescaled() -> bytes:
    content = bytearray(_nifti(np.uint16, (12, 10, 8)))
    struct.pack_into("<2f", content, 112, 0.5, -1024)
    return bytes(content)


SOUND: list[Callable[[], bytes]] = [
    lambda: _nifti(np.int16, (16, 12, 10)),
    lambda: _nifti(np.uint8, (20, 20, 5)),
    lambda: _nifti(np.float32, (9, 9, 9)),
    lambda: _nifti(np.int64, (6, 5, 4)),
    lambda: _nifti(np.int16, (40, 40, 30)),
    lambda: _nifti(np.int16, (10, 10, 10), nibabel.Nifti2Image),
    _big_endian,
    _rescaled,
]


def _flip_bits(content: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, 8 * max(1, len(content)), rng.integers(1, 9)).tolist():
        if place // 8 < len(content):
            content[place // 8] ^= 1 << place % 8
    return content


def _flip_header_byte(content: bytearray, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(0, 352))
    if place < len(content):
        content[place] = int(rng.integers(256))
    return content


def _set_field(content: bytearray, rng: np.random.Generator) -> bytes:
    offset = list(FIELDS)[rng.integers(len(FIELDS))]
    code = FIELDS[offset]
    if len(content) >= offset + 4:
        value = EXTREMES[code][rng.integers(len(EXTREMES[code]))]
        struct.pack_into("<>"[rng.integers(2)] + code, content, offset, value)
    return content


def _truncate(content: bytearray, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(0, len(content) + 1)]


def _append(content: bytearray, rng: np.random.Generator) -> bytes:
    more = rng.integers(1, 2000)
    return content + (bytes(more) if rng.random() < 0.5 else rng.bytes(more))


def _cut_out(content: bytearray, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:start] + content[min(end, start + 64) :]


def _repeat(content: bytearray, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:end] + content[start:]


def _overwrite(content: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(content) + 1))
    noise = rng.bytes(int(rng.integers(1, 64)))
    return content[:start] + noise + content[start + len(noise) :]


MUTATIONS = [_flip_bits, _flip_header_byte, _set_field, _set_field, _truncate, _append, _cut_out, _repeat, _overwrite]


def main(folder: str, kind: str, number: str) -> None:
    if kind == "bombs":
        paths = list(write_bombs(Path(folder), int(number)).values())
    else:
        paths = write_mutated(Path(folder), int(kind), int(number))
    print("\n".join(map(str, paths)))


if __name__ == "__main__":
    main(*sys.argv[1:])
