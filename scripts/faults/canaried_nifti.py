"""Rewrite NIfTI files so that every place that may hold text holds a word: canaried_nifti.py WORD FOLDER...

By turns NIfTI-1 and NIfTI-2, little- and big-endian: all text fields, the extension, numbers that no code calls used,
and name, comment and extra field of the gzip header. Voxels, affine and data type stay. An Analyze header
of the same words is written to FOLDER/../../analyze, which every command refuses.
"""

import struct
import sys
import zlib
from pathlib import Path

import nibabel
import numpy as np

TEXT = ("data_type", "db_name", "descrip", "aux_file", "intent_name", "regular", "unused_str")
NUMBERS = ("intent_p1", "intent_p2", "intent_p3", "cal_max", "cal_min", "slice_duration", "toffset", "extents", "glmax")


def main() -> None:
    word, folders = sys.argv[1].encode(), [Path(folder) for folder in sys.argv[2:]]
    for folder in folders:
        for number, path in enumerate(sorted(folder.glob("*.nii*"))):
            rewrite(path, word, 1 + number % 2, "<>"[number // 2 % 2])
        # outside the data set, whose subfolders are read
        analyze = folder.parent.parent / "analyze"
        analyze.mkdir(exist_ok=True)
        (analyze / "scan.nii").write_bytes(analyze_header(word) + bytes(4096))


def rewrite(path: Path, word: bytes, version: int, endianness: str) -> None:
    image = nibabel.load(path)
    voxels = np.asanyarray(image.dataobj)
    header = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(endianness=endianness)
    header.set_data_shape(voxels.shape)
    header.set_data_dtype(voxels.dtype)
    header.set_sform(image.affine, 1)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = 1, 0
    names = header.keys()
    for name in TEXT:
        if name in names:
            header[name] = (word * 20)[: header[name].dtype.itemsize]
    for name in NUMBERS:
        if name in names:
            header[name] = np.frombuffer((word * 2)[: header[name].dtype.itemsize], header[name].dtype)[0]
    for name, last in (("dim", 8), ("pixdim", 8)):
        header[name][4:last] = np.frombuffer((word * 8)[: 4 * header[name].dtype.itemsize], header[name].dtype)
    text = word * 12
    size = -(-(len(text) + 8) // 16) * 16
    extension = struct.pack(f"{endianness}2i", size, 6) + text.ljust(size - 8, b"\0")
    header["vox_offset"] = (352 if version == 1 else 544) + size
    stored = voxels.astype(header.get_data_dtype()).tobytes(order="F")
    content = header.binaryblock + b"\1\0\0\0" + extension + stored
    path.write_bytes(gzip_with_words(content, word) if path.suffix == ".gz" else content)


def gzip_with_words(content: bytes, word: bytes) -> bytes:
    extra = b"FT" + struct.pack("<H", len(word)) + word
    # flags: extra field, name, comment
    start = b"\x1f\x8b\x08" + bytes([4 | 8 | 16]) + bytes(4) + b"\0\3" + struct.pack("<H", len(extra)) + extra
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = deflate.compress(content) + deflate.flush()
    return start + word + b"\0" + word + b"\0" + body + struct.pack("<2I", zlib.crc32(content), len(content) % 2**32)


def analyze_header(word: bytes) -> bytes:
    header = nibabel.analyze.AnalyzeHeader()
    header.set_data_shape((8, 8, 8))
    block = bytearray(header.binaryblock)
    # db_name, descrip, aux_file; then orient to smin: originator, generated, scannum, patient_id, exp_date, exp_time
    for start, stop in ((4, 32), (148, 252), (252, 348)):
        block[start:stop] = (word * 20)[: stop - start]
    return bytes(block)


if __name__ == "__main__":
    main()
