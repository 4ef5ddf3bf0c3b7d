"""Check the zip archive of torch.save before its content is read: the file's own size bounds every size in it."""

import os
import re
import stat
import struct
import zipfile
from typing import IO

from freetumor_runtime.checkpoints.pickle_scan import STATE_DICT_LIMITS, PickleLimits, check_pickle
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.system_errors import cannot_be_read

_GET_AGAIN = "get the file again from where it was published"
_MAX_MEMBERS = 20_000
_MAX_DIRECTORY_BYTES = 4 * 2**20
# version, byte order, serialization id and the like: each is a word
_MAX_FACT_BYTES = 4096
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES, _LOCAL_BYTES = 22, 20, 56, 30
_PICKLE = re.compile(r"[^/]*/data\.pkl")
_STORAGE = re.compile(r"[^/]*/data/([^/]+)")
_PROGRAM = re.compile(r"[^/]*/(code/.*|constants\.pkl)")
_FACT = re.compile(r"[^/]*/(version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)")


def check_archive(path: str, limits: PickleLimits = STATE_DICT_LIMITS) -> None:
    """Raise CheckpointError for content that torch.save does not write, or that could cost more than the file."""
    size = regular_file_bytes(path)
    with open(path, "rb") as file:
        try:
            _check_end(path, file, size)
            with zipfile.ZipFile(file) as archive:
                pickled, storages = _check_members(path, archive.infolist(), size, limits.bytes)
                _check_places(path, file, archive.infolist(), size)
                content = archive.read(pickled)
        # the errors that a damaged directory makes the reader raise
        except (OSError, zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError) as error:
            raise _no_archive(path, file, error) from error
    check_pickle(path, content, storages, limits)


def damaged_member(path: str) -> str | None:
    """Return the first member whose content does not match its checksum in the archive; None if all match."""
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def regular_file_bytes(path: str) -> int:
    """Return the size of a regular file. Raise CheckpointError for others: a pipe or a device may have no end."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise CheckpointError(cannot_be_read(path, error), "correct the path") from error
    except ValueError as error:  # a path with a zero byte
        raise CheckpointError(f"{path}: file not found", "correct the path") from error
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path}: not a regular file", "pass the path of the checkpoint file itself")
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path}: cannot be read (permission denied)", "correct its permissions")
    return found.st_size


def _check_end(path: str, file: IO[bytes], size: int) -> None:
    """Check the last records of the archive before its directory is read; torch.save writes no comment after them."""
    tail_bytes = _END64_BYTES + _LOCATOR_BYTES + _END_BYTES
    file.seek(max(0, size - tail_bytes))
    tail = file.read(tail_bytes).rjust(tail_bytes)
    end64, locator, end = tail[:_END64_BYTES], tail[_END64_BYTES:-_END_BYTES], tail[-_END_BYTES:]
    entries, directory_bytes = struct.unpack("<10xHI6x", end)
    if not end.startswith(b"PK\x05\x06"):
        raise zipfile.BadZipFile("no end record")
    if locator.startswith(b"PK\x06\x07"):
        entries64, directory_bytes64 = struct.unpack("<32xQQ8x", end64)
        entries, directory_bytes = max(entries, entries64), max(directory_bytes, directory_bytes64)
    if entries > _MAX_MEMBERS or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise CheckpointError(
            f"{path}: the archive has too many members (expected at most {_MAX_MEMBERS}, found {entries})", _GET_AGAIN
        )


def _check_members(
    path: str, members: list[zipfile.ZipInfo], size: int, most_bytes: int
) -> tuple[zipfile.ZipInfo, dict[str, int]]:
    """Return the member with the pickle, and the bytes of each storage by its key."""
    names = [member.filename for member in members]
    stray = [name for name in names if not any(kind.fullmatch(name) for kind in (_PICKLE, _STORAGE, _FACT))]
    pickles = [member for member in members if _PICKLE.fullmatch(member.filename)]
    facts = [member for member in members if _FACT.fullmatch(member.filename)]
    if any(_PROGRAM.fullmatch(name) for name in names):
        raise CheckpointError(
            f"{path}: is a TorchScript program (expected a state dict, found code)",
            "load the model where you trust it, then run torch.save(model.state_dict(), 'weights.pt')",
        )
    faults = {
        "has a compressed member": any(member.compress_type != zipfile.ZIP_STORED for member in members),
        "has an encrypted member": any(member.flag_bits & 1 for member in members),
        "states two sizes for a member": any(member.file_size != member.compress_size for member in members),
        "has two members with one name": len(set(names)) != len(names),
        "claims more bytes than the file has": sum(member.file_size for member in members) > size,
        f"must hold one data.pkl (found {len(pickles)})": len(pickles) != 1,
        f"has members that no state dict has ({stray[:3]})": bool(stray),
        "has members in several folders": len({name.split("/")[0] for name in names}) > 1,
        "has an oversized member next to the weights": any(member.file_size > _MAX_FACT_BYTES for member in facts),
    }
    _refuse(path, faults)
    if pickles[0].file_size > most_bytes:
        # for example weights as NumPy arrays, which are stored in the pickle itself
        raise CheckpointError(
            f"{path}: its data.pkl is too large (expected at most {most_bytes} bytes, found {pickles[0].file_size})",
            "save the weights as tensors: torch.save(model.state_dict(), 'weights.pt')",
        )
    matches = [(member, _STORAGE.fullmatch(member.filename)) for member in members]
    return pickles[0], {match[1]: member.file_size for member, match in matches if match}


def _check_places(path: str, file: IO[bytes], members: list[zipfile.ZipInfo], size: int) -> None:
    """Check that no two members share bytes. The headers in front of members decide: torch.load uses these."""
    end, overlap = 0, False
    ordered = sorted(members, key=lambda member: member.header_offset)
    for member in ordered:
        overlap = overlap or member.header_offset < end
        file.seek(member.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(_LOCAL_BYTES))
        end = member.header_offset + _LOCAL_BYTES + name_bytes + extra_bytes + member.file_size
    _refuse(
        path,
        {
            "has overlapping members": overlap or end > size,
            "does not begin with its first member": ordered[0].header_offset != 0,
        },
    )


def _refuse(path: str, faults: dict[str, bool]) -> None:
    for fault, found in faults.items():
        if found:
            raise CheckpointError(f"{path}: the archive {fault}", _GET_AGAIN)


def _no_archive(path: str, file: IO[bytes], error: BaseException) -> CheckpointError:
    file.seek(0)
    start = file.read(40)
    if not start:
        return CheckpointError(f"{path}: empty file, not a zip checkpoint of torch.save", _GET_AGAIN)
    if start.startswith(b"version https://git-lfs"):
        return CheckpointError(
            f"{path}: Git LFS pointer, not a zip checkpoint of torch.save", "fetch the weights with `git lfs pull`"
        )
    if start[8:9] == b"{":
        return CheckpointError(
            f"{path}: not a zip checkpoint of torch.save", "if it is safetensors, rename it to end with .safetensors"
        )
    if start.startswith(b"PK\x03\x04"):
        return CheckpointError(f"{path}: not a zip checkpoint of torch.save, or damaged: {error}", _GET_AGAIN)
    return CheckpointError(
        f"{path}: not a zip checkpoint of torch.save",
        "older formats are refused: load the file where you trust it, then save it again",
    )
