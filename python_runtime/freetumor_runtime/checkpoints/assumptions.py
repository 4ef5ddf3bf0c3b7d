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
    """A fact about a file; `assumed` when neither the file nor the user states it. `value` None: does not apply."""

    value: str | None
    assumed: bool


def merging_order(file: CheckpointFile, told: str | None) -> Assumable:
    """The patch-merging order of a file's SwinUNETR; value None for a network without patch merging.

    A file that states its order is believed, and a user who says otherwise is refused. Of the published family the old
    order is assumed, unless told. Any other SwinUNETR must be told: UsageError.
    """
    if told is not None and told not in MERGING_ORDERS:
        raise UsageError(f"--merging must be one of {', '.join(MERGING_ORDERS)}, got {told!r}")
    known = known_merging_order(file)
    if known.value is not None and not known.assumed:
        if told not in (None, known.value):
            raise UsageError(
                f"{file.path}: states patch-merging order {known.value}, --merging says {told}",
                "leave --merging out for a file that states its order",
            )
        return known
    if not has_patch_merging(file):
        return Assumable(None, assumed=False)
    if told is not None:
        return Assumable(told, assumed=False)
    if known.value is None:
        raise UsageError(
            f"{file.path}: does not say the patch-merging order of its SwinUNETR",
            "give --merging: legacy for weights of MONAI before 1.5, corrected for 1.5 and newer, v2 for `mergingv2`",
        )
    return known


def channel_mode(file: CheckpointFile, told: str | None) -> Assumable:
    """Which output of the generator paints an organ. Told or stated is believed; else `shared`, as published."""
    if told is not None:
        if told not in CHANNEL_MODES:
            raise UsageError(f"--channel must be one of {', '.join(CHANNEL_MODES)}, got {told!r}")
        return Assumable(told, assumed=False)
    stated = file.metadata.get("generator", {}).get("channel")
    if stated not in (None, *CHANNEL_MODES):
        raise CheckpointError(f"{file.path}: states an unknown channel mode {stated!r}")
    return Assumable(stated, assumed=False) if stated is not None else Assumable("shared", assumed=True)


def untouched_outputs(weight: Tensor, bias: Tensor) -> tuple[int, ...]:
    """Outputs of a generator's head whose weights all lie within the bounds they are first drawn from.

    Training with one channel for all organs leaves the others so: a hint, no proof, that such an output never learned.
    """
    bound = weight[0].numel() ** -0.5
    largest = torch.maximum(weight.float().flatten(1).abs().amax(1), bias.float().abs())
    return tuple((largest <= bound).nonzero().flatten().tolist())


def segmentor_tensors(file: CheckpointFile) -> dict[str, Tensor]:
    """The `netSeg` of a synthesis checkpoint, or the whole file."""
    return file.part("netSeg") or file.tensors


def known_merging_order(file: CheckpointFile) -> Assumable:
    """What the file itself gives away; value None if nothing."""
    stated = file.metadata.get("segmentor", {}).get("patchMerging")
    if stated is not None:
        if stated not in MERGING_ORDERS:
            raise CheckpointError(f"{file.path}: states an unknown patch-merging order {stated!r}")
        return Assumable(stated, assumed=bool(file.metadata["segmentor"].get("mergingAssumed", False)))
    published = bool(file.part("netSeg")) or any(fnmatch(Path(file.path).name, name) for name in PUBLISHED_NAMES)
    return Assumable("legacy" if published else None, assumed=published)


def has_patch_merging(file: CheckpointFile) -> bool:
    return any(".downsample.reduction." in key for key in segmentor_tensors(file))
