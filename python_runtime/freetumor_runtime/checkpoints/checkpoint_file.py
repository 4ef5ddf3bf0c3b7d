"""Read checkpoint files without running their code, and write them completely or not at all (docs/method.md 8).

A file is a zip archive of torch.save. Its dict has the weights under `state_dict` or another common key, or it is the
dict of weights itself (see weight_sets). Files written by freetumor have plain facts about them under `freetumor`.
"""

import gc
import hashlib
import math
import os
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import safetensors
import torch
from torch import Tensor

from freetumor_runtime.checkpoints.archive import check_archive, damaged_member, regular_file_bytes
from freetumor_runtime.checkpoints.inert import STAND_INS
from freetumor_runtime.checkpoints.pickle_scan import STATE_DICT_LIMITS, PickleLimits
from freetumor_runtime.checkpoints.weight_sets import select_weights
from freetumor_runtime.errors import CheckpointError, EnvironmentError
from freetumor_runtime.foreign_text import parse_json, read_json

METADATA_KEY = "freetumor"
# key in a safetensors file for the other plain values of a checkpoint
TRAINING_KEY = "training"
METADATA_VERSION = 1

_MAX_HEADER_BYTES = 4 * 2**20
_MANIFEST = "manifest.json"
_OTHER_KEY = f"remove the {METADATA_KEY} entry, or save it under another key"
# Tied weights share a storage. More views than that are not weights, and each would cost a pass over the storage.
_MOST_BYTES_OVER_STORAGES = 2
# Tensors that claim at most this are cheap to read.
_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class CheckpointFile:
    """Tensors mapped from a file, with normalised keys (no `module.`, `swinViT` for `swin_vit`; see weight_sets)."""

    path: str
    tensors: dict[str, Tensor]
    # the `freetumor` entry; empty in files of other projects
    metadata: dict[str, Any]
    # plain values next to the weights: epoch, best score
    training: dict[str, Any]
    # keys that lead to the weights, joined with dots; None if the file itself is the dict of weights
    wrapper: str | None
    # dropped from the keys of tensors
    prefixes: tuple[str, ...]
    # changed in the keys: old name -> new name
    renamed: dict[str, str]
    # entries that are not read, with their types
    skipped: tuple[str, ...]

    def part(self, network: str) -> dict[str, Tensor]:
        """Return the tensors of `netG`, `netD` or `netSeg` of a synthesis checkpoint, without that prefix."""
        start = f"{network}."
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


def read_checkpoint(path: str, verify: bool = True, weights: str | None = None) -> CheckpointFile:
    """Read a file of weights. Raise CheckpointError, which names the file and the fault, for any other file.

    `verify` (default on) also compares the content with the hash in the manifest of its folder, or without one with the
    checksums in the archive; see verified. It costs one more pass over the file. `weights` selects one of several sets,
    by name.
    """
    content = _load_safetensors(path) if path.endswith(".safetensors") else load_content(path)
    if verify:
        verified(path)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: holds no weights (expected a dict, found {type(content).__name__})",
            "save a state dict: torch.save(model.state_dict(), 'weights.pt')",
        )
    training = _training(content)
    selected = select_weights(path, content, weights, {*training, METADATA_KEY})
    for key, tensor in selected.tensors.items():
        check_tensor(path, key, tensor)
    _check_sharing(path, selected.tensors.values())
    return CheckpointFile(
        path=path,
        tensors=selected.tensors,
        metadata=_checked_metadata(path, content.get(METADATA_KEY, {})),
        training=training,
        wrapper=None if path.endswith(".safetensors") else selected.wrapper,
        prefixes=tuple(selected.prefixes),
        renamed=selected.renamed,
        skipped=selected.skipped,
    )


def verified(path: str) -> str:
    """Verify the content and return by which means: `sha256` (of the manifest in its folder), `crc32`, or `nothing`.

    Raises CheckpointError if the content is damaged.
    """
    recorded = _recorded_hash(path)
    if recorded is not None:
        if sha256_of(path) != recorded:
            raise CheckpointError(
                f"{path}: the content does not match the hash in {_MANIFEST}", "choose another checkpoint"
            )
        return "sha256"
    if path.endswith(".safetensors"):
        return "nothing"
    damaged = damaged_member(path)
    if damaged is not None:
        raise CheckpointError(f"{path}: {damaged} does not match its checksum", "get the file again")
    return "crc32"


def sha256_of(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checkpoint(path: str, content: Mapping[str, Any]) -> None:
    """Write a file with torch.save, completely or not at all. Raise EnvironmentError if it cannot be written."""
    write_whole(path, lambda file: torch.save(dict(content), file))


def write_whole(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file in the same folder, then replace `path` with it by one rename."""
    target = Path(path)
    aside = target.with_name(f"{target.name}.tmp.{secrets.token_hex(8)}")
    try:
        # With a file object instead of a path, the error's context has the cause of a failed write (disk full).
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
        _sync_directory(target.parent)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            aside.unlink()
        raise EnvironmentError(
            f"checkpoint {path} cannot be written: {_cause(error)}", f"free space in {target.parent}"
        ) from error


def load_content(path: str, limits: PickleLimits = STATE_DICT_LIMITS) -> Any:
    """Return the content of a file of torch.save: tensors, plain values, and stand-ins for a few common objects."""
    with _collector_paused():
        return _load_archive(path, limits)


def _load_archive(path: str, limits: PickleLimits) -> Any:
    check_archive(path, limits)
    try:
        with torch.serialization.safe_globals(STAND_INS), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged file makes the reader raise anything
        raise CheckpointError(f"{path}: cannot be read: {error}"[:1000], "get the file again") from error


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: a load creates many objects and frees none, so each collection would be wasted."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _load_safetensors(path: str) -> dict[str, Any]:
    """Read a safetensors file; return the content in the form of a file of torch.save."""
    regular_file_bytes(path)
    try:
        with open(path, "rb") as start:
            if int.from_bytes(start.read(8), "little") > _MAX_HEADER_BYTES:
                raise ValueError(f"its header claims more than {_MAX_HEADER_BYTES} bytes")
        with safetensors.safe_open(path, "pt") as file:
            texts = file.metadata() or {}
            entries = {key: parse_json(texts.get(key, "{}")) for key in (TRAINING_KEY, METADATA_KEY)}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # a damaged file makes the reader raise anything
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}"[:1000], "get the file again") from error
    training = entries[TRAINING_KEY] if isinstance(entries[TRAINING_KEY], dict) else {}
    return {**training, "state_dict": weights, METADATA_KEY: entries[METADATA_KEY]}


def _training(content: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the plain values next to the weights, without scores that are not finite."""
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, str | int | float) and _is_plain(value) and len(str(value)) < 200
    }


def _is_plain(value: Any) -> bool:
    """Return whether JSON can represent a value."""
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _recorded_hash(path: str) -> str | None:
    """Return the SHA-256 that the manifest in the file's folder records; None if there is none."""
    manifest = Path(path).with_name(_MANIFEST)
    try:
        return read_json(manifest)["files"][Path(path).name]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checked_metadata(path: str, metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise CheckpointError(
            f"{path}: wrong {METADATA_KEY} entry (expected a dict, found {type(metadata).__name__})", _OTHER_KEY
        )
    if not _is_plain(metadata):
        raise CheckpointError(
            f"{path}: wrong {METADATA_KEY} entry (expected plain values, found other objects)", _OTHER_KEY
        )
    version = metadata.get("version", METADATA_VERSION)
    if version != METADATA_VERSION:
        raise CheckpointError(
            f"{path}: version of its {METADATA_KEY} entry (expected {METADATA_VERSION}, found {version!r})",
            "update freetumor",
        )
    for network in ("segmentor", "generator"):
        if not isinstance(metadata.get(network, {}), dict):
            raise CheckpointError(
                f"{path}: wrong {network} in its {METADATA_KEY} entry "
                f"(expected a dict, found {type(metadata[network]).__name__})",
                _OTHER_KEY,
            )
    return metadata


def check_tensor(path: str, key: str, tensor: Tensor) -> None:
    """Refuse a tensor that is larger than its storage: a copy of it would need the memory that it claims."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized
    if not plain or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise CheckpointError(
            f"{path}: {key} is not a dense tensor with memory for its shape {tuple(tensor.shape)}",
            "save it again with a copy of each tensor",
        )


def _check_sharing(path: str, tensors: Iterable[Tensor]) -> None:
    """Refuse many views of one storage: to read or copy them all would cost the sum of their sizes."""
    storages: dict[int, int] = {}
    claimed = 0
    for tensor in tensors:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        claimed += tensor.numel() * tensor.element_size()
    held = sum(storages.values())
    if claimed > max(_MOST_BYTES_OVER_STORAGES * held, _FREE_BYTES):
        raise CheckpointError(
            f"{path}: its tensors are views of shared storages (expected at most "
            f"{_MOST_BYTES_OVER_STORAGES} x {held} bytes, found {claimed})",
            "save it again with a copy of each tensor",
        )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cause(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return f"{os.strerror(cause.errno)} (errno {cause.errno})" if cause is not None and cause.errno else str(error)
