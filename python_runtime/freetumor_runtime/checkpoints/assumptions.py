"""Assumptions about published checkpoint files (docs/method.md 8): patch-merging order and channel."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch
from torch import Tensor

from freetumor_runtime.checkpoints.checkpoint_file import CheckpointFile
from freetumor_runtime.errors import CheckpointError, UsageError
from freetumor_runtime.models.patch_merging import MERGING_ORDERS

CHANNEL_MODES = ("organ", "shared")
PUBLISHED_NAMES = ("TGAN*.pt", "model_baseline_segmentor.pt", "model_covid_voco160k.pt", "VoCo_*_SSL_head.pt")


@dataclass(frozen=True)
class Assumable:
    """A fact about a file; `assumed` if neither the file nor the user states it. `value` None: it does not apply."""

    value: str | None
    assumed: bool


def merging_order(file: CheckpointFile, told: str | None) -> Assumable:
    """Return the patch-merging order of a file's SwinUNETR; value None for a network without patch merging.

    `told` is the order that the user states, or None. If the file states its order, another one is refused. Published
    files are assumed to have the legacy order, unless `told`. Raises UsageError for any other SwinUNETR without `told`.
    """
    if told is not None and told not in MERGING_ORDERS:
        raise UsageError(
            f"--merging is not supported (expected {', '.join(MERGING_ORDERS)}, found {told})", "correct --merging"
        )
    known = known_merging_order(file)
    if known.value is not None and not known.assumed:
        if told not in (None, known.value):
            raise UsageError(
                f"{file.path}: --merging differs from the order of the file (expected {known.value}, found {told})",
                "omit --merging for a file that states its order",
            )
        return known
    if not has_patch_merging(file):
        return Assumable(None, assumed=False)
    if told is not None:
        return Assumable(told, assumed=False)
    if known.value is None:
        raise UsageError(
            f"{file.path}: does not state the patch-merging order of its SwinUNETR",
            "pass --merging: legacy for weights of MONAI before 1.5, corrected for 1.5 and newer, v2 for `mergingv2`",
        )
    return known


def channel_mode(file: CheckpointFile, told: str | None) -> Assumable:
    """Return the channel mode of the generator: `told` by the user, else stated by the file, else assumed `shared`."""
    if told is not None:
        if told not in CHANNEL_MODES:
            raise UsageError(
                f"--channel is not supported (expected {', '.join(CHANNEL_MODES)}, found {told})", "correct --channel"
            )
        return Assumable(told, assumed=False)
    stated = file.metadata.get("generator", {}).get("channel")
    if stated not in (None, *CHANNEL_MODES):
        raise CheckpointError(
            f"{file.path}: channel mode is not supported (expected {', '.join(CHANNEL_MODES)}, found {stated!r})",
            "update freetumor",
        )
    return Assumable(stated, assumed=False) if stated is not None else Assumable("shared", assumed=True)


def untouched_outputs(weight: Tensor, bias: Tensor) -> tuple[int, ...]:
    """Return the outputs of a generator's head whose weights all lie within the bounds of their initialization.

    Training with one channel for all organs leaves the other outputs so. This suggests, but does not prove, that such
    an output never learned.
    """
    bound = weight[0].numel() ** -0.5
    largest = torch.maximum(weight.float().flatten(1).abs().amax(1), bias.float().abs())
    return tuple((largest <= bound).nonzero().flatten().tolist())


def segmentor_tensors(file: CheckpointFile) -> dict[str, Tensor]:
    """Return the `netSeg` tensors of a synthesis checkpoint, or all tensors of the file."""
    return file.part("netSeg") or file.tensors


def known_merging_order(file: CheckpointFile) -> Assumable:
    """Return the patch-merging order that the file states or its name suggests; value None if neither does."""
    stated = file.metadata.get("segmentor", {}).get("patchMerging")
    if stated is not None:
        if stated not in MERGING_ORDERS:
            raise CheckpointError(
                f"{file.path}: patch-merging order is not supported "
                f"(expected {', '.join(MERGING_ORDERS)}, found {stated!r})",
                "update freetumor",
            )
        return Assumable(stated, assumed=bool(file.metadata["segmentor"].get("mergingAssumed", False)))
    published = bool(file.part("netSeg")) or any(fnmatch(Path(file.path).name, name) for name in PUBLISHED_NAMES)
    return Assumable("legacy" if published else None, assumed=published)


def has_patch_merging(file: CheckpointFile) -> bool:
    return any(".downsample.reduction." in key for key in segmentor_tensors(file))
