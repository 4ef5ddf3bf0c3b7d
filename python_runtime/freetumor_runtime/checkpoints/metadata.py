"""Build the `freetumor` metadata of new checkpoint files (docs/method.md 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from freetumor_runtime.checkpoints.assumptions import Assumable
from freetumor_runtime.checkpoints.checkpoint_file import METADATA_VERSION
from freetumor_runtime.models.nnunet import StageLike


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
    def stages(self) -> Sequence[StageLike]: ...
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
    """The part of a training's specification that a checkpoint stores, so that it can be used without the rest."""

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


def segmentor_metadata(spec: TrainingFacts, merging: Assumable | None = None) -> dict[str, Any]:
    """Return the `freetumor` entry of a trained segmentor; `merging` is its order if the spec does not state it."""
    size = spec.segmentor
    merging = merging or Assumable(size.patchMerging, assumed=False)
    tumors = {spec.trainingLabels[organ.tumorLabel] for organ in spec.organs} - {0}
    facts = {
        "kind": size.kind,
        "featureSize": size.featureSize,
        "levels": size.levels,
        "stages": [
            {
                "features": stage.features,
                "kernel": list(stage.kernel),
                "stride": list(stage.stride),
                "blocks": stage.blocks,
            }
            for stage in size.stages
        ],
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


def licence_entry(licences: Sequence[Any]) -> dict[str, Any]:
    """Return the part of the `freetumor` entry about licences of weights of other projects; nothing without one."""
    return {"licences": [asdict(one) for one in licences]} if licences else {}


def synthesis_metadata(spec: TrainingFacts, baseline_facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `freetumor` entry of a synthesis checkpoint; `baseline_facts`: LoadedSegmentor.facts of `netSeg`."""
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
