"""From checkpoint files to networks, and what our own files say of themselves under `freetumor` (docs/method.md 8).

Published files say nothing: of them the old patch-merging order and the shared channel are assumed, and marked so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

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
from freetumor_runtime.checkpoints.checkpoint_file import METADATA_VERSION, CheckpointFile, read_checkpoint
from freetumor_runtime.checkpoints.families import family_of
from freetumor_runtime.checkpoints.matching import MatchReport, load_strictly, match, refuse_incomplete
from freetumor_runtime.errors import CheckpointError, ConfigError
from freetumor_runtime.models.segmentor import build_segmentor, freeze, merging_order_of, tumor_outputs
from freetumor_runtime.models.unet3d import UNet3d

# Widths are read off the tensors that grow with their square, so a file is about as large as the network it asks for.
SWINUNETR_WIDEST = "encoder10.layer.conv1.conv.weight"
UNET_WIDEST = "down_tr512.ops.1.conv1.weight"
_SWINUNETR_WIDTH_STEP = 12
_OUTPUTS = range(1, 257)
_SMALL_LEVELS, _SMALL_WIDTHS = range(1, 9), range(1, 1025)


@dataclass(frozen=True)
class LoadedSegmentor:
    """A frozen segmentor in evaluation mode.

    `facts`: kind, featureSize, levels, outputs, patchMerging, mergingAssumed, tumorOutputs; plain values, as they go
    into the metadata of what is made with it. `metadata`: what the file says of itself (windowHu, spacingMm,
    patchVoxels, labelNames, region, ...); empty for files of others.
    """

    network: nn.Module
    tumor_outputs: tuple[int, ...]
    facts: dict[str, Any]
    metadata: dict[str, Any]
    report: MatchReport


@dataclass(frozen=True)
class LoadedGenerator:
    """A frozen generator. `channel.value`: `organ` (one output an organ) or `shared` (output 0 for all).

    `untouched_outputs` probably never learned; worth a word to the user where the channel is `organ`.
    """

    network: UNet3d
    channel: Assumable
    untouched_outputs: tuple[int, ...]
    metadata: dict[str, Any]
    report: MatchReport


class OrganFacts(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def label(self) -> int: ...
    @property
    def tumorLabel(self) -> int: ...
    @property
    def channel(self) -> int: ...


class SegmentorSize(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def featureSize(self) -> int: ...
    @property
    def levels(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def patchMerging(self) -> str | None: ...


class GeneratorSize(Protocol):
    @property
    def baseChannels(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def channel(self) -> str: ...


class WindowFacts(Protocol):
    """Sliding windows of the validation."""

    @property
    def overlap(self) -> float: ...
    @property
    def blend(self) -> str: ...


class ValidationFacts(Protocol):
    @property
    def windows(self) -> WindowFacts: ...


class TrainingFacts(Protocol):
    """The part of a training's specification that its weights must carry to be usable without it."""

    @property
    def region(self) -> str: ...
    @property
    def windowHu(self) -> Sequence[float]: ...
    @property
    def spacingMm(self) -> Sequence[float]: ...
    @property
    def patchVoxels(self) -> Sequence[int]: ...
    @property
    def labelNames(self) -> Sequence[str]: ...
    @property
    def trainingLabels(self) -> Sequence[int]: ...
    @property
    def organs(self) -> Sequence[OrganFacts]: ...
    @property
    def segmentor(self) -> SegmentorSize: ...
    @property
    def validation(self) -> ValidationFacts: ...
    @property
    def generator(self) -> GeneratorSize | None: ...


def load_segmentor(
    path: str, patch_merging: str | None, device: torch.device, weights: str | None = None
) -> LoadedSegmentor:
    """Strictly loads the segmentor of a file (a segmentor's own, or the `netSeg` of a synthesis checkpoint).

    `patch_merging` is what the user told; see merging_order. `weights`: see read_checkpoint. Raises CheckpointError, or
    UsageError where the order is needed.
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


def load_generator(path: str, channel: str | None, device: torch.device) -> LoadedGenerator:
    """Strictly loads the generator of a synthesis checkpoint; `channel` is what the user told, see channel_mode."""
    file = read_checkpoint(path)
    tensors = _generator_tensors(file)
    network = UNet3d(outputs_of(path, tensors, "out_tr.final_conv.bias"), unet_width(path, tensors))
    report = load_strictly(network, tensors, path)
    freeze(network).to(device)
    network.in_faster_layout()
    head = network.out_tr.final_conv
    assert head.bias is not None
    untouched = untouched_outputs(head.weight.detach().cpu(), head.bias.detach().cpu())
    return LoadedGenerator(network, channel_mode(file, channel), untouched, file.metadata, report)


def load_gan_weights(generator: UNet3d, discriminator: UNet3d | None, path: str) -> bool:
    """Start a generator, and a discriminator where one is given, from a synthesis checkpoint of the same width; strict.

    Returns whether the discriminator was loaded; False too for a file that holds none.
    """
    file = read_checkpoint(path)
    load_strictly(generator, _generator_tensors(file), path)
    learned = file.part("netD")
    if discriminator is None or not learned:
        return False
    load_strictly(discriminator, learned, path)
    return True


def initial_merging_order(path: str, weights: str | None = None) -> Assumable:
    """The patch-merging order of the weights that a segmentor starts from; value None without patch merging.

    Raises ConfigError for a SwinUNETR whose file does not state it and is no published one.
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
    """Starts a segmentor from whatever agrees in key and shape (VoCo); the report says what did not.

    Raises CheckpointError when less agrees than has another shape, or when the file's patch-merging order is not the
    network's: such weights would load without error and be wrong.
    """
    file = read_checkpoint(path, weights=weights)
    tensors = segmentor_tensors(file)
    report = replace(match(segmentor, tensors, path), reading=_reading(file))
    # the tables of positions have one shape in all sizes of a SwinUNETR: no start worth its name
    if len(report.matched) <= len(report.mismatched):
        family = family_of(tensors)
        raise CheckpointError(
            f"{report.sentence()}: too little agrees in key and shape{f' with {family}' if family else ''}",
            "choose another file or network size",
        )
    order = merging_order_of(segmentor)
    if order is not None and any(".downsample." in key for key in report.matched):
        known = known_merging_order(file)
        if known.value not in (None, order):
            said = "assumed to be" if known.assumed else "stated as"
            raise CheckpointError(
                f"{path}: its patch-merging order is {said} {known.value}, the network is built with {order}",
                f"set networks.segmentor.patchMerging: {known.value}",
            )
    segmentor.load_state_dict({key: tensors[key] for key in report.matched}, strict=False)
    return report


def _reading(file: CheckpointFile) -> tuple[str, ...]:
    """What was done to the keys of a file, and what was left out of it."""
    return (
        *([f"prefixes dropped: {', '.join(file.prefixes)}"] if file.prefixes else []),
        *(f"{old} read as {new}" for old, new in file.renamed.items()),
        *([f"skipped: {', '.join(file.skipped)}"] if file.skipped else []),
    )


def segmentor_metadata(spec: TrainingFacts, merging: Assumable | None = None) -> dict[str, Any]:
    """The `freetumor` entry beside a trained segmentor's `state_dict`; `merging` where the spec does not state it."""
    size = spec.segmentor
    merging = merging or Assumable(size.patchMerging, assumed=False)
    tumors = {spec.trainingLabels[organ.tumorLabel] for organ in spec.organs} - {0}
    facts = {
        "kind": size.kind,
        "featureSize": size.featureSize,
        "levels": size.levels,
        "outputs": size.outputs,
        "patchMerging": merging.value if size.kind == "swinunetr" else None,
        "mergingAssumed": merging.assumed,
        "tumorOutputs": sorted(tumors),
    }
    windows = {"overlap": spec.validation.windows.overlap, "blend": spec.validation.windows.blend}
    return {
        "kind": "segmentor",
        **_preparation(spec),
        "labelNames": list(spec.labelNames),
        "windows": windows,
        "segmentor": facts,
    }


def synthesis_metadata(spec: TrainingFacts, baseline_facts: Mapping[str, Any]) -> dict[str, Any]:
    """The `freetumor` entry of a synthesis checkpoint; `baseline_facts` are LoadedSegmentor.facts of its `netSeg`."""
    assert spec.generator is not None
    organs = sorted(spec.organs, key=lambda organ: organ.channel)
    generator = {
        "baseChannels": spec.generator.baseChannels,
        "outputs": spec.generator.outputs,
        "channel": spec.generator.channel,
        "organs": [organ.name for organ in organs],
    }
    return {
        "kind": "synthesis",
        **_preparation(spec),
        "generator": generator,
        "segmentor": dict(baseline_facts),
    }


def unet_width(path: str, tensors: Mapping[str, Tensor]) -> int:
    """Base channels of a U-Net; its widest convolution is 8 to 16 times as wide."""
    shape = tuple(tensors[UNET_WIDEST].shape)
    width = shape[0] // 16 if shape else 0
    if width == 0 or shape != (16 * width, 8 * width, 3, 3, 3):
        raise CheckpointError(f"{path}: {UNET_WIDEST} of shape {shape} is no part of the 3-D U-Net")
    return width


def swinunetr_width(path: str, tensors: Mapping[str, Tensor]) -> int:
    """Feature size of a SwinUNETR; its widest convolution is 16 times as wide."""
    shape = tuple(tensors[SWINUNETR_WIDEST].shape)
    width = shape[0] // 16 if shape else 0
    if width == 0 or width % _SWINUNETR_WIDTH_STEP or shape != (16 * width, 16 * width, 3, 3, 3):
        raise CheckpointError(f"{path}: {SWINUNETR_WIDEST} of shape {shape} is no part of a SwinUNETR")
    return width


def outputs_of(path: str, tensors: Mapping[str, Tensor], bias: str) -> int:
    """The length of the head's bias."""
    if bias not in tensors or tensors[bias].ndim != 1 or len(tensors[bias]) not in _OUTPUTS:
        raise CheckpointError(f"{path}: has no usable {bias}, so its number of outputs is not known")
    return len(tensors[bias])


def small_segmentor_facts(file: CheckpointFile) -> dict[str, Any]:
    """Kind and size of a small segmentor, as its metadata claims them, within what can be meant."""
    stated = file.metadata.get("segmentor", {})
    facts = {key: stated.get(key) for key in ("kind", "featureSize", "levels", "outputs")}
    bounds = {"featureSize": _SMALL_WIDTHS, "levels": _SMALL_LEVELS, "outputs": _OUTPUTS}
    if not all(type(facts[key]) is int and facts[key] in bound for key, bound in bounds.items()):
        raise CheckpointError(f"{file.path}: its metadata describes no small segmentor: {facts}")
    return facts


def _segmentor_like(
    file: CheckpointFile, tensors: dict[str, Tensor], stated: dict[str, Any], order: str | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A segmentor of the file's kind and size, and the facts that describe it."""
    if SWINUNETR_WIDEST in tensors:
        outputs = outputs_of(file.path, tensors, "out.conv.conv.bias")
        width = swinunetr_width(file.path, tensors)
        facts = {"kind": "swinunetr", "featureSize": width, "levels": 4, "outputs": outputs}
        # without an order the file has no patch merging, and the strict load says so
        return _build(facts, order or "corrected"), facts
    if stated.get("kind") != "small":
        raise CheckpointError(
            f"{file.path}: holds no segmentor (expected a SwinUNETR with use_v2, or a model.pt of freetumor, "
            f"found {family_of(tensors) or 'other tensors'})",
            "`freetumor checkpoint inspect` lists what the file holds",
        )
    facts = small_segmentor_facts(file)
    # Its size is a claim of the metadata: compared on a device without memory before anything is allocated.
    with torch.device("meta"):
        imagined = _build(facts, "corrected")
    refuse_incomplete(match(imagined, tensors, file.path))
    return _build(facts, "corrected"), facts


def _build(facts: dict[str, Any], order: str) -> nn.Module:
    return build_segmentor(
        facts["kind"],
        outputs=facts["outputs"],
        feature_size=facts["featureSize"],
        levels=facts["levels"],
        patch_merging=order,
    )


def _generator_tensors(file: CheckpointFile) -> dict[str, Tensor]:
    tensors = file.part("netG") or file.tensors
    if UNET_WIDEST not in tensors:
        raise CheckpointError(f"{file.path}: holds no generator (no netG.{UNET_WIDEST})", "name a synthesis checkpoint")
    return tensors


def _stated_tumors(path: str, stated: dict[str, Any], outputs: int) -> tuple[int, ...]:
    tumors = stated.get("tumorOutputs", [])
    if not isinstance(tumors, list) or not all(type(one) is int and 0 < one < outputs for one in tumors):
        raise CheckpointError(f"{path}: states {tumors!r} as tumors of {outputs} outputs")
    return tuple(tumors)


def _preparation(spec: TrainingFacts) -> dict[str, Any]:
    return {
        "version": METADATA_VERSION,
        "region": spec.region,
        "windowHu": list(spec.windowHu),
        "spacingMm": list(spec.spacingMm),
        "patchVoxels": list(spec.patchVoxels),
        "organs": [
            {"name": organ.name, "label": organ.label, "tumorLabel": organ.tumorLabel, "channel": organ.channel}
            for organ in spec.organs
        ],
    }
