"""Inspect the content of a checkpoint file without running its code."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from freetumor_runtime.checkpoints.archive import regular_file_bytes
from freetumor_runtime.checkpoints.assumptions import (
    channel_mode,
    has_patch_merging,
    known_merging_order,
    untouched_outputs,
)
from freetumor_runtime.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint, sha256_of, verified
from freetumor_runtime.checkpoints.families import family_of
from freetumor_runtime.checkpoints.loading import (
    STATED_KINDS,
    SWINUNETR_WIDEST,
    UNET_WIDEST,
    outputs_of,
    stated_facts,
    stated_kind,
    stated_segmentor,
    swinunetr_width,
    unet_width,
)
from freetumor_runtime.checkpoints.matching import MatchReport, match
from freetumor_runtime.checkpoints.nnunet_inspection import inspect_model_folder
from freetumor_runtime.checkpoints.nnunet_plans import is_model_folder
from freetumor_runtime.checkpoints.sandbox import importing
from freetumor_runtime.models.segmentor import TUMOR_OUTPUTS, build_segmentor
from freetumor_runtime.models.unet3d import UNet3d

_UNET_HEAD = "out_tr.final_conv"
_SWINUNETR_HEAD = "out.conv.conv"
_SWINUNETR_FIRST = "swinViT.patch_embed.proj.weight"
_SMALLEST_WIDTH, _WIDEST_WIDTH = 12, 768
# outputs of the published baselines: seven of the abdomen, two of the chest
_BASELINE_OUTPUTS = (7, 2)


def inspect_checkpoint(path: str, weights: str | None = None) -> dict[str, Any]:
    """Return the facts about a file, or an nnU-Net model folder, as plain values. `weights`, errors: read_checkpoint.

    `kind`: generator (with its discriminator and segmentor, or alone) | baseline (a segmentor of a whole region: 7 or 2
    outputs) | segmentor | voco (a SwinUNETR without its head) | unknown.
    `networks`: one entry for each network. `matched`, `missing` and `unexpected` count its keys against a network of
    the size of its tensors. `against` counts them against the published size of the same architecture, or against both
    published networks if the architecture is unknown (the import of MONAI takes seconds). `causes`: why keys differ.
    `family`: the network of another project that an unknown network belongs to.
    `patchMerging.order` is null if there is none (`needed` false) or if the user must state it (`needed` true).
    `metadata` is the `freetumor` entry, or null; `training` has the other plain values of the file.
    """
    if is_model_folder(path):
        return inspect_model_folder(path)
    file = read_checkpoint(path, verify=False, weights=weights)
    parts = {name: file.part(name) for name in ("netG", "netD", "netSeg")}
    parts = {name: tensors for name, tensors in parts.items() if tensors} or {"network": file.tensors}
    networks = [_described(name, tensors, file) for name, tensors in parts.items()]
    return {
        "path": path,
        "format": "safetensors" if path.endswith(".safetensors") else "pt",
        "kind": _kind(networks),
        "networks": networks,
        "patchMerging": _merging(file),
        "channelMode": _channel(file, parts.get("netG") or parts.get("network", {})),
        "wrapper": file.wrapper,
        "prefixes": list(file.prefixes),
        "renamed": file.renamed,
        "skipped": list(file.skipped),
        "epoch": file.training.get("epoch"),
        "training": file.training,
        "metadata": file.metadata or None,
        "tensors": _summary(file.tensors),
        "bytes": regular_file_bytes(path),
        "sha256": sha256_of(path),
        "verifiedBy": verified(path),
    }


def _described(name: str, tensors: dict[str, Tensor], file: CheckpointFile) -> dict[str, Any]:
    architecture, network, width = _network_like(name, tensors, file)
    keys = tuple(sorted(tensors))
    report = MatchReport(file.path, (), (), keys, ()) if network is None else match(network, tensors, file.path)
    outputs = _outputs(architecture, tensors, file)
    return {
        "name": name,
        "architecture": architecture,
        "width": width,
        "outputs": outputs,
        "tumorOutputs": _tumor_outputs(architecture, outputs, file),
        "family": family_of(tensors) if architecture is None else None,
        "causes": list(report.causes),
        **_counts(report),
        "missingKeys": list(report.missing),
        "unexpectedKeys": list(report.unexpected),
        "otherShapes": [
            {"key": key, "shape": list(found), "expected": list(wanted)} for key, found, wanted in report.mismatched
        ],
        "against": {
            known: _counts(match(imagined(known, outputs, width), tensors, file.path))
            for known, outputs, width in (("unet3d", 3, 32), ("swinunetr", 7, 48))
            if architecture in (None, known)
        },
        "notFinite": sorted(key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())),
    }


def _counts(report: MatchReport) -> dict[str, int]:
    return {
        "matched": len(report.matched),
        "missing": len(report.missing),
        "unexpected": len(report.unexpected),
    }


def _network_like(
    name: str, tensors: dict[str, Tensor], file: CheckpointFile
) -> tuple[str | None, nn.Module | None, int | None]:
    """Return the architecture, a network of the size of the tensors to compare with, and its width."""
    if UNET_WIDEST in tensors:
        width = unet_width(file.path, tensors)
        head = f"{_UNET_HEAD}.bias"
        outputs = outputs_of(file.path, tensors, head) if head in tensors else 3
        return "unet3d", imagined("unet3d", outputs, width), width
    width = _swinunetr_width(file.path, tensors)
    if width is not None:
        head = f"{_SWINUNETR_HEAD}.bias"
        outputs = outputs_of(file.path, tensors, head) if head in tensors else 2
        return "swinunetr", imagined("swinunetr", outputs, width), width
    kind = stated_kind(file)
    if name in ("netSeg", "network") and kind is not None:
        facts = stated_facts(file)
        with _KeptValues():
            network, _ = stated_segmentor(facts, file.path, tensors)
        return kind, network, facts["featureSize"]
    return None, None, None


def _swinunetr_width(path: str, tensors: Mapping[str, Tensor]) -> int | None:
    """Return the feature size of a SwinUNETR, or of an encoder without decoder (pretrained files); None if neither."""
    if SWINUNETR_WIDEST in tensors:
        return swinunetr_width(path, tensors)
    first = tensors.get(_SWINUNETR_FIRST)
    width = first.shape[0] if first is not None and first.ndim == 5 else 0
    fits = width % _SMALLEST_WIDTH == 0 and _SMALLEST_WIDTH <= width <= _WIDEST_WIDTH
    return width if fits else None


@cache
def imagined(architecture: str, outputs: int, width: int) -> nn.Module:
    """Return a network with keys and shapes but without memory, so that the claims of a file allocate none."""
    if architecture == "swinunetr":
        with importing():
            import monai.networks.nets  # noqa: F401
    with torch.device("meta"), _KeptValues():
        if architecture == "unet3d":
            return UNet3d(outputs, base_channels=width)
        return build_segmentor("swinunetr", outputs=outputs, feature_size=width, levels=4, patch_merging="corrected")


class _KeptValues(TorchFunctionMode):
    """Compute `linspace` and `arange` on the CPU: MONAI's constructor reads the values, and the meta device has none.

    In-place initialization of weights is skipped: its version for the meta device takes seconds of imports.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name, first = getattr(function, "__name__", ""), args[0] if args else None
        if name.endswith("_") and not name.endswith("__") and isinstance(first, Tensor) and first.is_meta:
            return first
        there = {"device": "cpu"} if function in (torch.linspace, torch.arange) else {}
        return function(*args, **{**(kwargs or {}), **there})


def _outputs(architecture: str | None, tensors: Mapping[str, Tensor], file: CheckpointFile) -> int | None:
    head = {"unet3d": f"{_UNET_HEAD}.bias", "swinunetr": f"{_SWINUNETR_HEAD}.bias"}.get(architecture or "")
    if head is not None:
        return len(tensors[head]) if head in tensors else None
    return file.metadata.get("segmentor", {}).get("outputs") if architecture in STATED_KINDS else None


def _tumor_outputs(architecture: str | None, outputs: int | None, file: CheckpointFile) -> list[int] | None:
    """Return the tumor outputs; None for other networks, and if the number of outputs does not determine them."""
    if architecture not in ("swinunetr", *STATED_KINDS) or outputs is None:
        return None
    stated = file.metadata.get("segmentor", {}).get("tumorOutputs")
    if isinstance(stated, list) and stated and all(type(one) is int and 0 < one < outputs for one in stated):
        return stated
    return list(TUMOR_OUTPUTS[outputs]) if outputs in TUMOR_OUTPUTS else None


def _kind(networks: list[dict[str, Any]]) -> str:
    first = networks[0]
    if first["architecture"] == "unet3d":
        return "generator"
    if first["architecture"] is None:
        return "unknown"
    if first["outputs"] is None:
        return "voco"
    return "baseline" if first["outputs"] in _BASELINE_OUTPUTS else "segmentor"


def _merging(file: CheckpointFile) -> dict[str, Any]:
    merging = known_merging_order(file)
    if not has_patch_merging(file):
        return {"order": None, "assumed": False, "needed": False}
    return {"order": merging.value, "assumed": merging.assumed, "needed": merging.value is None}


def _channel(file: CheckpointFile, generator: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the channel mode; `mode` is null if there is no generator. `untouchedOutputs`: see untouched_outputs."""
    weight, bias = generator.get(f"{_UNET_HEAD}.weight"), generator.get(f"{_UNET_HEAD}.bias")
    if weight is None or bias is None:
        return {"mode": None, "assumed": False, "untouchedOutputs": []}
    mode = channel_mode(file, None)
    return {"mode": mode.value, "assumed": mode.assumed, "untouchedOutputs": list(untouched_outputs(weight, bias))}


def _summary(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
    return {
        "count": len(tensors),
        "values": sum(tensor.numel() for tensor in tensors.values()),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()),
        "dtypes": dict(dtypes.most_common()),
        "shapes": {key: list(tensor.shape) for key, tensor in tensors.items()},
    }
