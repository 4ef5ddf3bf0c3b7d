"""What crosses from TypeScript, word by word the specs of src/pipeline/ports/. No key has a default: an unknown or
missing key, or a value of another type, is refused and named."""

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from typing import Any

from freetumor_runtime.errors import ConfigError


@dataclass(frozen=True)
class Organ:
    name: str
    label: int
    tumorLabel: int
    channel: int


@dataclass(frozen=True)
class SynthesisSpec:
    textureSizeVoxels: tuple[int, ...]
    textureDirectory: str
    textureSeed: int
    gated: bool
    measureAlreadySeen: bool
    # names of synthesis/measures.py
    measures: tuple[str, ...]


@dataclass(frozen=True)
class SegmentorSpec:
    kind: str
    featureSize: int
    levels: int
    # None: the order of initialWeights
    patchMerging: str | None
    outputs: int
    initialWeights: str | None
    activationCheckpointing: bool


@dataclass(frozen=True)
class BaselineSpec:
    checkpoint: str
    patchMerging: str | None


@dataclass(frozen=True)
class GeneratorSpec:
    checkpoint: str | None
    # of the checkpoint in a synthesis training: "both" networks, or the "generator" alone
    use: str
    baseChannels: int
    channel: str
    outputs: int
    # of the generator and the discriminator
    activationCheckpointing: bool


@dataclass(frozen=True)
class OptimizerSpec:
    kind: str
    learningRate: float
    weightDecay: float
    schedule: str
    warmupSteps: int
    gradientClip: float | None


@dataclass(frozen=True)
class SlidingWindowsSpec:
    overlap: float
    blend: str
    windowBatch: int


@dataclass(frozen=True)
class CachedCase:
    id: str
    path: str


@dataclass(frozen=True)
class ValidationSpec:
    everySteps: int | None
    cases: tuple[CachedCase, ...]
    windows: SlidingWindowsSpec


@dataclass(frozen=True)
class CheckpointSpec:
    everySteps: int | None


@dataclass(frozen=True)
class FingerprintSpec:
    config: str
    data: str


@dataclass(frozen=True)
class TrainingSpec:
    job: str
    runId: str
    runDirectory: str
    ownerNumber: int
    seed: int
    region: str
    steps: int
    resumeFrom: str | None
    fingerprint: FingerprintSpec
    itemsPerStep: int
    cropsPerVolume: int
    accumulation: int
    patchVoxels: tuple[int, ...]
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    organs: tuple[Organ, ...]
    trainingLabels: tuple[int, ...]
    labelNames: tuple[str, ...]
    crossEntropyWeights: tuple[float, ...]
    mixing: bool
    synthesis: SynthesisSpec | None
    segmentor: SegmentorSpec
    baseline: BaselineSpec | None
    generator: GeneratorSpec | None
    optimizer: OptimizerSpec
    adversarialWeight: float
    # name patterns of weights that do not learn
    freeze: tuple[str, ...]
    precision: str
    reproducible: bool
    compile: bool
    memoryFormat: str
    device: str
    processesPerNode: int
    threadsPerProcess: int
    validation: ValidationSpec
    checkpoint: CheckpointSpec
    pictures: int


@dataclass(frozen=True)
class PrepareCase:
    id: str
    image: str
    label: str | None
    labelMap: dict[str, int]


@dataclass(frozen=True)
class PrepareSpec:
    job: str
    directory: str
    workers: int
    spacingMm: tuple[float, ...]
    windowHu: tuple[float, ...]
    numIds: int
    # every byte of a case that is reused
    verify: bool
    cases: tuple[PrepareCase, ...]


@dataclass(frozen=True)
class PredictCase:
    id: str
    image: str
    # label map on the scan's grid
    organMask: str | None
    # of the same scan, brought to the prepared grid beside the mask
    label: str | None
    # of its files
    name: str


@dataclass(frozen=True)
class PredictSpec:
    job: str
    directory: str
    members: tuple[BaselineSpec, ...]
    device: str
    processesPerNode: int
    threadsPerProcess: int
    precision: str
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]
    windows: SlidingWindowsSpec
    mirrorAxes: tuple[int, ...]
    cropForeground: bool
    # lowerEnd or minimum
    padding: str
    minForeground: float
    # original or prepared
    grid: str
    # nearest (of the mask) or linear (of the logits, then argmax)
    resampling: str
    # uint8 or scan
    dataType: str
    tumorOutputs: tuple[int, ...]
    # of an organ mask; none: every id but 0
    organIds: tuple[int, ...]
    # one id of the mask for each output
    maskIds: tuple[int, ...]
    # outputs
    probabilities: tuple[int, ...]
    cases: tuple[PredictCase, ...]


@dataclass(frozen=True)
class EvaluateCase:
    id: str
    prediction: str
    label: str
    # predicted tumor outside this mask is taken away
    organ: str | None
    # probabilities whose sum lesions are scored by
    scores: tuple[str, ...]


@dataclass(frozen=True)
class EvaluateSpec:
    job: str
    workers: int
    labels: tuple[int, ...]
    tumorLabels: tuple[int, ...]
    nsdTolerancesMm: tuple[float, ...]
    lesions: bool
    spacingMm: tuple[float, ...] | None
    # source id -> id that is measured; None: the files have those
    predictionMap: dict[str, int] | None
    labelMap: dict[str, int] | None
    cases: tuple[EvaluateCase, ...]


@dataclass(frozen=True)
class PictureCase:
    id: str
    prediction: str
    label: str
    image: str | None
    organ: str | None
    # JSON file to write
    output: str


@dataclass(frozen=True)
class PictureSpec:
    """Three planes of pairs, for the pages of a report."""

    job: str
    workers: int
    tumorLabels: tuple[int, ...]
    windowHu: tuple[float, ...]
    predictionMap: dict[str, int] | None
    labelMap: dict[str, int] | None
    cases: tuple[PictureCase, ...]


@dataclass(frozen=True)
class SynthesizeCase:
    id: str
    # of its files
    name: str
    image: str
    label: str
    labelMap: dict[str, int]
    # Zarr group
    prepared: str
    pictured: bool


@dataclass(frozen=True)
class LoadedGeneratorSpec:
    checkpoint: str
    channel: str | None


@dataclass(frozen=True)
class GeneratorWindowsSpec:
    overlap: float
    windowBatch: int


@dataclass(frozen=True)
class SynthesizeSpec:
    job: str
    directory: str
    layout: str
    region: str
    numIds: int
    # id of the region -> id in the label maps that are written
    labelIds: tuple[int, ...]
    organs: tuple[Organ, ...]
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]
    generator: LoadedGeneratorSpec | None
    generatorWindows: GeneratorWindowsSpec
    baseline: BaselineSpec | None
    judgeOverlap: float
    judgeWindowBatch: int
    measureAlreadySeen: bool
    # names of synthesis/measures.py
    measures: tuple[str, ...]
    textureSizeVoxels: tuple[int, ...]
    textureDirectory: str
    textureSeed: int
    pictures: int
    device: str
    processesPerNode: int
    threadsPerProcess: int
    cases: tuple[SynthesizeCase, ...]


@dataclass(frozen=True)
class ServeSpec:
    job: str
    region: str
    organs: tuple[Organ, ...]
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]
    generator: LoadedGeneratorSpec | None
    generatorWindows: GeneratorWindowsSpec
    baseline: BaselineSpec | None
    segmentPatchVoxels: tuple[int, ...]
    segmentWindows: SlidingWindowsSpec
    judgeOverlap: float
    judgeWindowBatch: int
    measureAlreadySeen: bool
    # names of synthesis/measures.py
    measures: tuple[str, ...]
    textureSizeVoxels: tuple[int, ...]
    textureDirectory: str
    textureSeed: int
    device: str
    threadsPerProcess: int


JobSpec = ServeSpec | SynthesizeSpec | TrainingSpec | PrepareSpec | PredictSpec | EvaluateSpec | PictureSpec

_SPECS: dict[str, type] = {
    "baseline": TrainingSpec,
    "synthesis": TrainingSpec,
    "segmentation": TrainingSpec,
    "prepare": PrepareSpec,
    "predict": PredictSpec,
    "evaluate": EvaluateSpec,
    "picture": PictureSpec,
    "synthesize": SynthesizeSpec,
    "serve": ServeSpec,
}


def load_spec(path: str) -> JobSpec:
    """Reads the job file that TypeScript wrote."""
    with open(path, encoding="utf-8") as file:
        raw = json.load(file)
    job = raw.get("job") if isinstance(raw, dict) else None
    if job not in _SPECS:
        raise ConfigError(f"{path}: job must be one of {', '.join(_SPECS)}, got {job!r}")
    return parse(_SPECS[job], raw, "job")


def parse(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind` (a dataclass, tuple, dict, union with None, or plain type), strictly."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return None if value is None else parse(options[0], value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, value, where)
    if origin is tuple:
        _expect(isinstance(value, list), where, "a list", value)
        item = typing.get_args(kind)[0]
        return tuple(parse(item, element, f"{where}[{i}]") for i, element in enumerate(value))
    if origin is dict:
        _expect(isinstance(value, dict), where, "a mapping", value)
        return {key: parse(typing.get_args(kind)[1], element, f"{where}.{key}") for key, element in value.items()}
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), where, "a number", value)
        return float(value)
    _expect(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), where, kind.__name__, value)
    return value


def _parse_dataclass(kind: type, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "a mapping", value)
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    missing = sorted(set(hints) - set(value))
    if unknown or missing:
        raise ConfigError(
            f"{where}: unknown keys {unknown}, missing keys {missing}",
            "the TypeScript and Python sides are of different versions: reinstall freetumor",
        )
    return kind(**{name: parse(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _expect(holds: bool, where: str, expected: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{where}: {expected} was expected, got {value!r}")
