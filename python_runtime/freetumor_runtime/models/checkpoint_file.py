"""Checkpoint files, read without running what they hold, and written whole or not at all (METHOD 8).

A file is a zip of torch.save whose dict has the weights under `state_dict` (or `network_weights`, or `net`, or is the
weights itself) and, if we wrote it, plain facts about them under `freetumor`.
"""

import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors
import torch
from torch import Tensor

from freetumor_runtime.errors import CheckpointError, EnvironmentError

METADATA_KEY = "freetumor"
METADATA_VERSION = 1

_WRAPPERS = ("state_dict", "network_weights", "net")
_NETWORKS = ("netG.", "netD.", "netSeg.")
_PREFIXES = ("module.", "backbone.")
_MAX_MEMBERS = 100_000
_MAX_PICKLE_BYTES = 64 * 2**20

# Published trainers keep their best score as a NumPy float; these rebuild one and can do nothing else.
_HARMLESS_GLOBALS = [
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
]


@dataclass(frozen=True)
class CheckpointFile:
    """`tensors` have normalised keys (no `module.` or `backbone.`, `swinViT` for `swin_vit`), mapped from the file."""

    path: str
    tensors: dict[str, Tensor]
    # the `freetumor` entry; empty in files of others
    metadata: dict[str, Any]

    def part(self, network: str) -> dict[str, Tensor]:
        """The tensors of `netG`, `netD` or `netSeg` of a synthesis checkpoint, without that prefix; empty if none."""
        start = f"{network}."
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


def read_checkpoint(path: str) -> CheckpointFile:
    """Raises CheckpointError, naming the file and what is wrong, for anything but a plain file of weights."""
    content = _load_safetensors(path) if path.endswith(".safetensors") else _load(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: a dict was expected, the file holds a {type(content).__name__}")
    metadata = _checked_metadata(path, content.get(METADATA_KEY, {}))
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
    weights = content[wrapper] if wrapper is not None else content
    tensors: dict[str, Tensor] = {}
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {key!r} is no tensor but {type(value).__name__}",
                f"the weights must be the file itself or lie under one of {', '.join(_WRAPPERS)}",
            )
        _check_tensor(path, key, value)
        normalised = normalised_key(key)
        if normalised in tensors:
            raise CheckpointError(f"{path}: two tensors are called {normalised} once prefixes are dropped")
        tensors[normalised] = value
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return CheckpointFile(path, tensors, metadata)


def write_checkpoint(path: str, content: Mapping[str, Any]) -> None:
    """torch.save, whole or not at all; raises EnvironmentError."""
    write_whole(path, lambda file: torch.save(dict(content), file))


def write_whole(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """`write` fills a temporary file of the same directory, which then replaces `path` by one rename."""
    target = Path(path)
    aside = target.with_name(f"{target.name}.tmp.{os.getpid()}")
    try:
        # A file object, not a path: then the cause of a failed write (disk full) is in the error's context.
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
        _sync_directory(target.parent)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            aside.unlink()
        raise EnvironmentError(f"checkpoint {path} cannot be written: {_cause(error)}", "free space") from error


def normalised_key(key: str) -> str:
    """`module.netG.module.x` -> `netG.x`, `module.backbone.swin_vit.y` -> `swinViT.y`."""
    network = ""
    while True:
        start = next((prefix for prefix in (*_PREFIXES, *_NETWORKS) if key.startswith(prefix)), None)
        if start is None or (start in _NETWORKS and network):
            return network + ("swinViT." + key.removeprefix("swin_vit.") if key.startswith("swin_vit.") else key)
        network = start if start in _NETWORKS else network
        key = key.removeprefix(start)


def _check_zip(path: str) -> None:
    """Refuses archives whose reading could cost more than their size: torch.save writes none of these."""
    try:
        size = os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: not a zip checkpoint of torch.save",
            "older formats are refused: load it where you trust it and save it again",
        ) from error
    names = [member.filename for member in members]
    pickles = [member for member in members if Path(member.filename).name == "data.pkl"]
    ends = sorted((member.header_offset, member.compress_size) for member in members)
    faults = {
        "has a compressed member": any(member.compress_type != zipfile.ZIP_STORED for member in members),
        "has two members of one name": len(set(names)) != len(names),
        "has too many members": len(members) > _MAX_MEMBERS,
        "claims more bytes than the file has": sum(member.file_size for member in members) > size,
        "has overlapping members": any(
            first + length > second for (first, length), (second, _) in zip(ends, ends[1:], strict=False)
        ),
        "must hold one data.pkl of a sensible size": len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE_BYTES,
    }
    for fault, found in faults.items():
        if found:
            raise CheckpointError(f"{path}: the archive {fault}", "get the file again from where it was published")


def _load(path: str) -> Any:
    _check_zip(path)
    try:
        with torch.serialization.safe_globals(_HARMLESS_GLOBALS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than weights: {_unsafe_globals(path) or error}",
            "only tensors and plain values are read; have the file saved again as a state dict",
        ) from error
    except (RuntimeError, ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}", "get the file again") from error


def _load_safetensors(path: str) -> dict[str, Any]:
    """As the same file in torch.save's form would be."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            return {"state_dict": {key: file.get_tensor(key) for key in file.keys()}, METADATA_KEY: metadata}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}", "get the file again") from error


def _unsafe_globals(path: str) -> str:
    with suppress(Exception):
        return ", ".join(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    return ""


def _checked_metadata(path: str, metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: its {METADATA_KEY} entry must be a dict, got {type(metadata).__name__}")
    version = metadata.get("version", METADATA_VERSION)
    if version != METADATA_VERSION:
        raise CheckpointError(
            f"{path}: its {METADATA_KEY} entry has version {version!r}, this runtime reads {METADATA_VERSION}",
            "update freetumor",
        )
    for network in ("segmentor", "generator"):
        if not isinstance(metadata.get(network, {}), dict):
            raise CheckpointError(f"{path}: its {METADATA_KEY} entry must describe the {network} by a dict")
    return metadata


def _check_tensor(path: str, key: str, tensor: Tensor) -> None:
    """A tensor may claim any shape over a small storage; whoever copies it would pay for the claim."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized
    if not plain or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise CheckpointError(f"{path}: {key} is no plain tensor of its shape {tuple(tensor.shape)}")


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
