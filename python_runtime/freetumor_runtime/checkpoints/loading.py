"""Load networks from checkpoint files (docs/method.md 8).

Published files have no metadata: the legacy patch-merging order and the shared channel are assumed and marked so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.assumptions import (
    Assumable,
    channel_mode,
    has_patch_merging,
    known_merging_order,
    merging_order,
    segmentor_tensors,
    untouched_outputs,
)
from freetumor_runtime.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint
from freetumor_runtime.checkpoints.families import family_of
from freetumor_runtime.checkpoints.matching import MatchReport, load_strictly, match, refuse_incomplete
from freetumor_runtime.checkpoints.nnunet_folder import first_fold
from freetumor_runtime.checkpoints.nnunet_plans import is_model_folder
from freetumor_runtime.errors import CheckpointError, ConfigError
from freetumor_runtime.models.nnunet import NNUNET_KINDS, Stage
from freetumor_runtime.models.segmentor import build_segmentor, freeze, merging_order_of, tumor_outputs
from freetumor_runtime.models.unet3d import UNet3d

# Widths are read from tensors that grow with the square of the width: so a file is about as large as its network.
SWINUNETR_WIDEST = "encoder10.layer.conv1.conv.weight"
UNET_WIDEST = "down_tr512.ops.1.conv1.weight"
# only the metadata of their files states the size
STATED_KINDS = ("small", *NNUNET_KINDS)
_SWINUNETR_WIDTH_STEP = 12
_OUTPUTS = range(1, 257)
_LEVELS, _WIDTHS, _BLOCKS = range(1, 9), range(1, 1025), range(1, 17)
_STAGES = range(2, 10)
_INSPECT = "`freetumor checkpoint inspect` lists what the file holds"


@dataclass(frozen=True)
class LoadedSegmentor:
    """A frozen segmentor in evaluation mode.

    `facts`: kind, featureSize, levels, stages (of a resenc or unet), outputs, patchMerging, mergingAssumed and
    tumorOutputs; plain values for the metadata of checkpoints that contain it. `metadata`: the `freetumor` entry of the
    file (windowHu, spacingMm, patchVoxels, labelNames, region, ...); empty for files of other projects.
    """

    network: nn.Module
    tumor_outputs: tuple[int, ...]
    facts: dict[str, Any]
    metadata: dict[str, Any]
    report: MatchReport


@dataclass(frozen=True)
class LoadedGenerator:
    """A frozen generator. `channel.value`: `organ` (one output for each organ) or `shared` (output 0 for all).

    `untouched_outputs` probably never learned; warn the user about them if the channel mode is `organ`.
    """

    network: UNet3d
    channel: Assumable
    untouched_outputs: tuple[int, ...]
    metadata: dict[str, Any]
    report: MatchReport


def load_segmentor(
    path: str, patch_merging: str | None, device: torch.device, weights: str | None = None
) -> LoadedSegmentor:
    """Load the segmentor of a file (of a segmentor, or the `netSeg` of a synthesis checkpoint); all keys must match.

    `patch_merging` is the order that the user states; see merging_order. `weights`: see read_checkpoint. Raises
    CheckpointError, or UsageError if the user must state the order.
    """
    file = read_checkpoint(path, weights=weights)
    tensors = segmentor_tensors(file)
    stated = file.metadata.get("segmentor", {})
    merging = merging_order(file, patch_merging)
    network, facts = _segmentor_like(file, tensors, stated, merging.value)
    report = load_strictly(network, tensors, path)
    tumors = _stated_tumors(path, stated, facts["outputs"]) or tumor_outputs(facts["outputs"])
    facts |= {"patchMerging": merging.value, "mergingAssumed": merging.assumed, "tumorOutputs": list(tumors)}
    return LoadedSegmentor(freeze(network).to(device), tumors, facts, file.metadata, report)


def load_generator(path: str, channel: str | None, device: torch.device, weights: str | None = None) -> LoadedGenerator:
    """Load the generator of a synthesis checkpoint; all keys must match.

    `channel`: stated by the user, or None. `weights`: see read_checkpoint.
    """
    file = read_checkpoint(path, weights=weights)
    tensors = _generator_tensors(file)
    network = UNet3d(outputs_of(path, tensors, "out_tr.final_conv.bias"), unet_width(path, tensors))
    report = load_strictly(network, tensors, path)
    freeze(network).to(device)
    network.in_faster_layout()
    head = network.out_tr.final_conv
    assert head.bias is not None
    untouched = untouched_outputs(head.weight.detach().cpu(), head.bias.detach().cpu())
    return LoadedGenerator(network, channel_mode(file, channel), untouched, file.metadata, report)


def load_gan_weights(generator: UNet3d, discriminator: UNet3d | None, path: str, weights: str | None = None) -> bool:
    """Load a generator and, if given, a discriminator from a synthesis checkpoint of the same width.

    All keys must match. Returns whether the discriminator was loaded; False if the file holds none.
    `weights`: see read_checkpoint.
    """
    file = read_checkpoint(path, weights=weights)
    load_strictly(generator, _generator_tensors(file), path)
    learned = file.part("netD")
    if discriminator is None or not learned:
        return False
    load_strictly(discriminator, learned, path)
    return True


def initial_merging_order(path: str, weights: str | None = None) -> Assumable:
    """Return the patch-merging order of the weights that a segmentor starts from; value None without patch merging.

    Raises ConfigError for a SwinUNETR whose file does not state it and is not a published one.
    """
    file = read_checkpoint(path, weights=weights)
    if not has_patch_merging(file):
        return Assumable(None, assumed=False)
    known = known_merging_order(file)
    if known.value is None:
        raise ConfigError(
            f"networks.segmentor.initialWeights: {path} does not state the patch-merging order of its SwinUNETR",
            "set networks.segmentor.patchMerging; `freetumor checkpoint inspect --probe IMAGE LABELS` finds the order",
        )
    return known


def load_matching_weights(segmentor: nn.Module, path: str, weights: str | None = None) -> MatchReport:
    """Load the tensors that match a segmentor in key and shape; the report lists the others.

    `path`: a file (VoCo), or the model folder of an nnU-Net, whose first fold is taken.

    Raises CheckpointError if fewer tensors match than have another shape, or if the patch-merging order of the file is
    not that of the network: such weights would load without error and give wrong outputs.
    """
    if is_model_folder(path):
        fold = first_fold(path)
        report = match(segmentor, fold.tensors, fold.path)
        _refuse_few(report, fold.tensors)
        return _load_matching(segmentor, fold.tensors, report)
    file = read_checkpoint(path, weights=weights)
    tensors = segmentor_tensors(file)
    report = replace(match(segmentor, tensors, path), reading=_reading(file))
    _refuse_few(report, tensors)
    order = merging_order_of(segmentor)
    if order is not None and any(".downsample." in key for key in report.matched):
        known = known_merging_order(file)
        if known.value not in (None, order):
            said = "assumed" if known.assumed else "stated"
            raise CheckpointError(
                f"{path}: patch-merging order of file and network differ "
                f"(expected {order}, found {known.value}, {said})",
                f"set networks.segmentor.patchMerging: {known.value}",
            )
    return _load_matching(segmentor, tensors, report)


def _refuse_few(report: MatchReport, tensors: Mapping[str, Tensor]) -> None:
    # the position tables have one shape in all sizes of a SwinUNETR, so a few matches are not enough
    if len(report.matched) <= len(report.mismatched):
        family = family_of(tensors)
        raise CheckpointError(
            f"{report.sentence()}: too few tensors match in key and shape{f' (found {family})' if family else ''}",
            "choose another file, or change the size of the network",
        )


def _load_matching(segmentor: nn.Module, tensors: Mapping[str, Tensor], report: MatchReport) -> MatchReport:
    segmentor.load_state_dict({key: tensors[key] for key in report.matched}, strict=False)
    return report


def _reading(file: CheckpointFile) -> tuple[str, ...]:
    """Return how the keys of a file were changed, and which entries were skipped."""
    return (
        *([f"prefixes dropped: {', '.join(file.prefixes)}"] if file.prefixes else []),
        *(f"{old} read as {new}" for old, new in file.renamed.items()),
        *([f"skipped: {', '.join(file.skipped)}"] if file.skipped else []),
    )


def unet_width(path: str, tensors: Mapping[str, Tensor]) -> int:
    """Return the base channels of a U-Net; its widest convolution has 8 times as many inputs, 16 times the outputs."""
    shape = tuple(tensors[UNET_WIDEST].shape)
    width = shape[0] // 16 if shape else 0
    if width == 0 or shape != (16 * width, 8 * width, 3, 3, 3):
        raise CheckpointError(
            f"{path}: shape of {UNET_WIDEST} (expected 16 n x 8 n x 3 x 3 x 3, found {shape})", _INSPECT
        )
    return width


def swinunetr_width(path: str, tensors: Mapping[str, Tensor]) -> int:
    """Return the feature size of a SwinUNETR; its widest convolution has 16 times as many channels."""
    shape = tuple(tensors[SWINUNETR_WIDEST].shape)
    width = shape[0] // 16 if shape else 0
    if width == 0 or width % _SWINUNETR_WIDTH_STEP or shape != (16 * width, 16 * width, 3, 3, 3):
        raise CheckpointError(
            f"{path}: shape of {SWINUNETR_WIDEST} "
            f"(expected 16 n x 16 n x 3 x 3 x 3, n a multiple of {_SWINUNETR_WIDTH_STEP}, found {shape})",
            _INSPECT,
        )
    return width


def outputs_of(path: str, tensors: Mapping[str, Tensor], bias: str) -> int:
    """Return the number of outputs: the length of the head's bias."""
    if bias not in tensors or tensors[bias].ndim != 1 or len(tensors[bias]) not in _OUTPUTS:
        raise CheckpointError(f"{path}: has no usable {bias}, so its number of outputs is unknown", _INSPECT)
    return len(tensors[bias])


def stated_kind(file: CheckpointFile) -> str | None:
    """Return the kind of a segmentor whose size only the metadata of its file states; None for all others."""
    kind = file.metadata.get("segmentor", {}).get("kind")
    return kind if kind in STATED_KINDS else None


def stated_facts(file: CheckpointFile) -> dict[str, Any]:
    """Return kind and size of a segmentor of stated_kind from its metadata, after a check of their ranges."""
    stated = file.metadata.get("segmentor", {})
    facts = {key: stated.get(key) for key in ("kind", "featureSize", "levels", "outputs")}
    bounds = {"featureSize": _WIDTHS, "levels": _LEVELS, "outputs": _OUTPUTS}
    described = all(type(facts[key]) is int and facts[key] in bound for key, bound in bounds.items())
    if facts["kind"] in NNUNET_KINDS:
        facts["stages"] = stated.get("stages")
        described = described and _are_stages(facts["stages"])
    if not described:
        raise CheckpointError(
            f"{file.path}: its metadata does not describe a {facts['kind']} segmentor: {str(facts)[:300]}", _INSPECT
        )
    return facts


def stated_segmentor(facts: dict[str, Any], path: str, tensors: Mapping[str, Tensor]) -> tuple[nn.Module, MatchReport]:
    """Return a network of the stated size on the meta device, which takes no memory, and how the tensors match it."""
    with torch.device("meta"):
        imagined = _build(facts, "corrected")
    return imagined, match(imagined, tensors, path)


def _are_stages(stages: Any) -> bool:
    keys = {"features", "kernel", "stride", "blocks"}
    if not (isinstance(stages, list) and len(stages) in _STAGES):
        return False
    return all(isinstance(stage, dict) and set(stage) == keys and _is_stage(**stage) for stage in stages)


def _is_stage(features: Any, kernel: Any, stride: Any, blocks: Any) -> bool:
    triples = ((kernel, (1, 3)), (stride, (1, 2)))
    return (
        all(type(number) is int for number in (features, blocks))
        and features in _WIDTHS
        and blocks in _BLOCKS
        and all(isinstance(sides, list) and len(sides) == 3 for sides, _ in triples)
        and all(type(side) is int and side in allowed for sides, allowed in triples for side in sides)
    )


def _segmentor_like(
    file: CheckpointFile, tensors: dict[str, Tensor], stated: dict[str, Any], order: str | None
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a segmentor of the kind and size of the file, and the facts that describe it."""
    if SWINUNETR_WIDEST in tensors:
        outputs = outputs_of(file.path, tensors, "out.conv.conv.bias")
        width = swinunetr_width(file.path, tensors)
        facts = {"kind": "swinunetr", "featureSize": width, "levels": 4, "outputs": outputs}
        # without an order the file has no patch merging; then the strict load refuses it
        return _build(facts, order or "corrected"), facts
    if stated_kind(file) is None:
        raise CheckpointError(
            f"{file.path}: holds no segmentor (expected a SwinUNETR with use_v2, or a model.pt of freetumor, "
            f"found {family_of(tensors) or 'other tensors'})",
            _INSPECT,
        )
    facts = stated_facts(file)
    # The metadata only claims this size, so compare before memory is allocated.
    refuse_incomplete(stated_segmentor(facts, file.path, tensors)[1])
    return _build(facts, "corrected"), facts


def _build(facts: dict[str, Any], order: str) -> nn.Module:
    return build_segmentor(
        facts["kind"],
        outputs=facts["outputs"],
        feature_size=facts["featureSize"],
        levels=facts["levels"],
        patch_merging=order,
        stages=tuple(
            Stage(stage["features"], tuple(stage["kernel"]), tuple(stage["stride"]), stage["blocks"])
            for stage in facts.get("stages", [])
        ),
    )


def _generator_tensors(file: CheckpointFile) -> dict[str, Tensor]:
    tensors = file.part("netG") or file.tensors
    if UNET_WIDEST not in tensors:
        raise CheckpointError(
            f"{file.path}: holds no generator (expected netG.{UNET_WIDEST})", "name a synthesis checkpoint"
        )
    return tensors


def _stated_tumors(path: str, stated: dict[str, Any], outputs: int) -> tuple[int, ...]:
    tumors = stated.get("tumorOutputs", [])
    if not isinstance(tumors, list) or not all(type(one) is int and 0 < one < outputs for one in tumors):
        raise CheckpointError(
            f"{path}: wrong tumorOutputs (expected numbers from 1 to {outputs - 1}, found {tumors!r})", _INSPECT
        )
    return tuple(tumors)
