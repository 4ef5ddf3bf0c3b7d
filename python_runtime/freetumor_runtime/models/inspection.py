"""What a checkpoint file holds, as plain values and without running its code; and the same file in another format."""

import hashlib
import json
import os
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from freetumor_runtime.errors import UsageError
from freetumor_runtime.models.assumptions import channel_mode, has_patch_merging, known_merging_order, untouched_outputs
from freetumor_runtime.models.checkpoint import (
    SWINUNETR_WIDEST,
    UNET_WIDEST,
    outputs_of,
    small_segmentor_facts,
    swinunetr_width,
    unet_width,
)
from freetumor_runtime.models.checkpoint_file import (
    METADATA_KEY,
    CheckpointFile,
    read_checkpoint,
    write_checkpoint,
    write_whole,
)
from freetumor_runtime.models.matching import match
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d

_HEAD_WEIGHT, _HEAD_BIAS = "out_tr.final_conv.weight", "out_tr.final_conv.bias"


def inspect_checkpoint(path: str) -> dict[str, Any]:
    """Raises CheckpointError where read_checkpoint does.

    `kind`: synthesis | segmentor | generator | unknown. `networks`: one entry each with `matched`, `missing`,
    `unexpected` (numbers of keys; a shape that differs counts as missing), the keys themselves, and `outputs`.
    `patchMerging.order` is null where there is none, or where it must be told. `metadata` is our own entry, or null.
    """
    file = read_checkpoint(path)
    parts = {name: file.part(name) for name in ("netG", "netD", "netSeg")}
    parts = {name: tensors for name, tensors in parts.items() if tensors} or {"network": file.tensors}
    networks = [_described(name, tensors, file) for name, tensors in parts.items()]
    architectures = {network["architecture"] for network in networks}
    merging = known_merging_order(file)
    merged = has_patch_merging(file)
    return {
        "path": path,
        "kind": _kind(parts, architectures),
        "networks": networks,
        "patchMerging": {
            "order": merging.value if merged else None,
            "assumed": merged and merging.assumed,
            "needed": merged and merging.value is None,
        },
        "channelMode": _channel(file, parts.get("netG") or parts.get("network", {})),
        "metadata": file.metadata or None,
        "bytes": os.path.getsize(path),
        "sha256": _sha256(path),
    }


def convert_checkpoint(path: str, to: str, out: str) -> dict[str, Any]:
    """Writes the tensors, under normalised keys, and our metadata as `safetensors` or `pt`; returns {path, sha256}."""
    file = read_checkpoint(path)
    if to == "pt":
        entry = {METADATA_KEY: file.metadata} if file.metadata else {}
        write_checkpoint(out, {"state_dict": file.tensors, **entry})
    elif to == "safetensors":
        plain = {key: value.contiguous() for key, value in file.tensors.items()}
        content = safetensors.torch.save(plain, metadata={"format": "pt", METADATA_KEY: json.dumps(file.metadata)})
        write_whole(out, lambda target: target.write(content))
    else:
        raise UsageError(f"--to must be safetensors or pt, got {to!r}")
    return {"path": out, "sha256": _sha256(out)}


def _described(name: str, tensors: dict[str, Tensor], file: CheckpointFile) -> dict[str, Any]:
    architecture, network = _network_like(name, tensors, file)
    if network is None:
        keys = sorted(tensors)
        counts: dict[str, Any] = {"matched": 0, "missing": 0, "unexpected": len(keys), "unexpectedKeys": keys}
        return {"name": name, "architecture": None, **counts, "missingKeys": [], "outputs": None}
    report = match(network, tensors, file.path)
    missing = [*report.missing, *(key for key, _, _ in report.mismatched)]
    head = _HEAD_BIAS if architecture == "unet3d" else "out.conv.conv.bias"
    return {
        "name": name,
        "architecture": architecture,
        "matched": len(report.matched),
        "missing": len(missing),
        "unexpected": len(report.unexpected),
        "missingKeys": missing,
        "unexpectedKeys": list(report.unexpected),
        "outputs": len(tensors[head]) if head in tensors else file.metadata.get("segmentor", {}).get("outputs"),
    }


def _network_like(name: str, tensors: dict[str, Tensor], file: CheckpointFile) -> tuple[str | None, nn.Module | None]:
    """A network of the size the tensors ask for, to compare with; without memory where that is possible."""
    if UNET_WIDEST in tensors:
        with torch.device("meta"):
            return "unet3d", UNet3d(outputs_of(file.path, tensors, _HEAD_BIAS), unet_width(file.path, tensors))
    if SWINUNETR_WIDEST in tensors:
        outputs = len(tensors["out.conv.conv.bias"]) if "out.conv.conv.bias" in tensors else 2
        width = swinunetr_width(file.path, tensors)
        # MONAI's constructor reads values, which the meta device has not
        return "swinunetr", build_segmentor(
            "swinunetr", outputs=outputs, feature_size=width, levels=4, patch_merging="corrected"
        )
    if name in ("netSeg", "network") and file.metadata.get("segmentor", {}).get("kind") == "small":
        facts = small_segmentor_facts(file)
        with torch.device("meta"):
            return "small", build_segmentor(
                "small",
                outputs=facts["outputs"],
                feature_size=facts["featureSize"],
                levels=facts["levels"],
                patch_merging="corrected",
            )
    return None, None


def _kind(parts: dict[str, Any], architectures: set[str | None]) -> str:
    if "netG" in parts:
        return "synthesis"
    if architectures & {"swinunetr", "small"}:
        return "segmentor"
    return "generator" if "unet3d" in architectures else "unknown"


def _channel(file: CheckpointFile, generator: dict[str, Tensor]) -> dict[str, Any] | None:
    if _HEAD_WEIGHT not in generator or _HEAD_BIAS not in generator:
        return None
    mode = channel_mode(file, None)
    return {
        "mode": mode.value,
        "assumed": mode.assumed,
        "untouchedOutputs": list(untouched_outputs(generator[_HEAD_WEIGHT], generator[_HEAD_BIAS])),
    }


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
