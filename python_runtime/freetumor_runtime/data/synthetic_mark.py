"""The mark of a synthetic scan: a text in the NIfTI header, and a NIfTI extension with JSON (docs/provenance.md).

The twin of src/provenance/mark.ts, which reads both. No text of a host, a path or a person is in them.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping

DESCRIPTION = b"synthetic tumors, painted by freetumor"
# Code of a comment, the only registered one for plain text that every reader keeps or skips.
_COMMENT = 6
_FORMAT = "freetumor mark 1"


def mark_extension(facts: Mapping[str, object], voxels: Iterable[bytes], endianness: str) -> bytes:
    """Return the bytes between header and voxels: the flag of extensions, and one extension.

    `facts` states the origin of the file. `voxels` are the stored values in little-endian order; the mark gets their
    SHA-256.
    """
    digest = hashlib.sha256()
    for part in voxels:
        digest.update(part)
    mark = {"format": _FORMAT, "synthetic": True, **facts, "voxels": digest.hexdigest()}
    text = json.dumps(mark, separators=(",", ":")).encode("ascii")
    # A size is a multiple of 16 and counts its own 8 bytes.
    size = (len(text) + 8 + 15) // 16 * 16
    return b"\1\0\0\0" + struct.pack(f"{endianness}ii", size, _COMMENT) + text.ljust(size - 8, b"\0")
