"""Convert a checkpoint to the other format, with all facts that are known about it."""

import json
from typing import Any

import safetensors.torch
from torch import Tensor

from freetumor_runtime.checkpoints.assumptions import has_patch_merging, known_merging_order, merging_order
from freetumor_runtime.checkpoints.checkpoint_file import (
    METADATA_KEY,
    METADATA_VERSION,
    TRAINING_KEY,
    CheckpointFile,
    read_checkpoint,
    sha256_of,
    write_checkpoint,
    write_whole,
)
from freetumor_runtime.errors import CheckpointError, UsageError

FORMATS = ("safetensors", "pt")


def convert_checkpoint(path: str, to: str, out: str, merging: str | None, weights: str | None = None) -> dict[str, Any]:
    """Write the tensors under normalised keys, with the `freetumor` metadata and the other plain values of the file.

    `merging` states the patch-merging order of a file that does not state it. An order that follows from a published
    file name is written as assumed, because the new file may have another name. `weights` selects one of several sets.
    Returns {path, sha256, tensors}.
    """
    if to not in FORMATS:
        raise UsageError(f"--to is not supported (expected {' or '.join(FORMATS)}, found {to})", "correct --to")
    if (to == "safetensors") != out.endswith(".safetensors"):
        raise UsageError(f"--out {out}: wrong ending for this format", f"end the name with .{to}")
    file = read_checkpoint(path, weights=weights)
    metadata = _told(file, merging)
    if to == "pt":
        entry = {METADATA_KEY: metadata} if metadata else {}
        write_checkpoint(out, {**file.training, "state_dict": file.tensors, **entry})
    else:
        texts = {"format": "pt", METADATA_KEY: json.dumps(metadata), TRAINING_KEY: json.dumps(file.training)}
        content = _as_safetensors(file, texts)
        write_whole(out, lambda target: target.write(content))
    return {"path": out, "sha256": sha256_of(out), "tensors": len(file.tensors)}


def _told(file: CheckpointFile, merging: str | None) -> dict[str, Any]:
    known = merging_order(file, merging) if merging is not None else known_merging_order(file)
    if known.value is None or not has_patch_merging(file):
        return file.metadata
    segmentor = {
        **file.metadata.get("segmentor", {}),
        "patchMerging": known.value,
        "mergingAssumed": known.assumed,
    }
    return {"version": METADATA_VERSION, **file.metadata, "segmentor": segmentor}


def _as_safetensors(file: CheckpointFile, texts: dict[str, str]) -> bytes:
    try:
        return safetensors.torch.save(_apart(file.tensors), metadata=texts)
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file.path}: safetensors cannot hold it: {error}", "convert it to pt") from error


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors that share no storage: safetensors does not support views."""
    seen: set[int] = set()
    apart = {}
    for key, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[key] = tensor.clone().contiguous() if place in seen else tensor.contiguous()
        seen.add(place)
    return apart
