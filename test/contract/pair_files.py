"""NIfTI pairs written by nibabel, at random: for the readers of both languages.

    python test/contract/pair_files.py FOLDER COUNT SEED

writes COUNT pairs into FOLDER and prints a JSON array: for each the path of its header, and what nibabel reads there as
test/contract/nifti_verdicts.py states it.
"""

import gzip
import json
import sys
from pathlib import Path

import nibabel
import numpy as np

DTYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8")
ENDINGS = (("hdr", "img"), ("HDR", "IMG"), ("Hdr", "Img"), ("hdr", "IMG"), ("hdr.gz", "img.gz"), ("hdr", "img.gz"))


def write_pairs(folder: Path, count: int, seed: int) -> list[Path]:
    """Write pairs of random shape, orientation, data type, rescale, byte order, version and letter case."""
    rng = np.random.default_rng(seed)
    return [write_pair(folder, number, rng) for number in range(count)]


def write_pair(folder: Path, number: int, rng: np.random.Generator) -> Path:
    kind = nibabel.Nifti1Pair if rng.random() < 0.8 else nibabel.Nifti2Pair
    dtype = np.dtype(DTYPES[rng.integers(len(DTYPES))])
    shape = tuple(int(side) for side in rng.integers(1, 12, 3))
    values = rng.integers(0, 100, shape) if dtype.kind in "iu" else rng.normal(0, 300, shape)
    header = kind.header_class(endianness="<>"[rng.integers(2)])
    header.set_data_dtype(dtype)
    # the third axis of orthogonal matrices may point either way
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.5, 5, 3)
    if rng.random() < 0.5:
        axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3) * rng.uniform(0.5, 5, 3)
    affine = np.eye(4)
    affine[:3] = np.column_stack([axes, rng.normal(0, 200, 3)])
    image = kind(values.astype(dtype), affine, header)
    image.set_sform(affine, code=int(rng.integers(0, 3)))
    image.set_qform(affine, code=int(rng.integers(0, 3)))
    if rng.random() < 0.4 and dtype.itemsize < 8:
        image.header.set_slope_inter(float(rng.choice([0.5, 2, 0.1])), float(rng.integers(-1024, 3)))
    plain = folder / f"{number:04d}_plain.hdr"
    image.to_filename(plain)
    header_ending, voxel_ending = ENDINGS[rng.integers(len(ENDINGS))]
    # other tools leave room before the voxels
    room = 16 * int(rng.integers(0, 3)) if kind is nibabel.Nifti1Pair else 0
    content, voxels = bytearray(plain.read_bytes()), bytes(room) + plain.with_suffix(".img").read_bytes()
    if kind is nibabel.Nifti1Pair:
        content[108:112] = np.array(room, image.header.endianness + "f4").tobytes()
    path = folder / f"{number:04d}.{header_ending}"
    path.write_bytes(gzip.compress(content) if header_ending.endswith("gz") else content)
    path.with_name(f"{number:04d}.{voxel_ending}").write_bytes(
        gzip.compress(voxels) if voxel_ending.endswith("gz") else voxels
    )
    return path


def answer_of_nibabel(path: Path) -> dict[str, object]:
    plain = path.with_name(f"{path.name[:4]}_plain.hdr")
    image = nibabel.load(plain)
    values = np.asarray(image.dataobj, np.float64).ravel()
    return {
        "file": str(path),
        "shape": image.shape,
        "affine": image.affine.ravel().tolist(),
        "sum": float(np.sum(values * (np.arange(values.size) % 1009))),
    }


if __name__ == "__main__":
    paths = write_pairs(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    json.dump([answer_of_nibabel(path) for path in paths], sys.stdout)
