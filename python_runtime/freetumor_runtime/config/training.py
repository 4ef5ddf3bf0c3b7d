"""What a training needs; mirrors src/pipeline/ports/training.ts."""

from dataclasses import dataclass

from freetumor_runtime.config.common import BaselineSpec, Organ, PluginSpec, SlidingWindowsSpec


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
class StageSpec:
    """One resolution of a `resenc` or `unet`."""

    features: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    blocks: int


@dataclass(frozen=True)
class SegmentorSpec:
    kind: str
    featureSize: int
    levels: int
    # of a resenc or unet, the finest first
    stages: tuple[StageSpec, ...]
    deepSupervision: bool
    # None: the order of initialWeights
    patchMerging: str | None
    outputs: int
    initialWeights: str | None
    # name of one of several sets of weights in that file; None: the only one
    initialWeightsSet: str | None
    activationCheckpointing: bool


@dataclass(frozen=True)
class GeneratorSpec:
    checkpoint: str | None
    # of the checkpoint in a synthesis training: "both" networks, or the "generator" alone
    use: str
    # name of one of several sets of weights in the file; None: the only one
    weights: str | None
    baseChannels: int
    channel: str
    outputs: int
    # of the generator and the discriminator
    activationCheckpointing: bool
    plugin: PluginSpec | None


@dataclass(frozen=True)
class OptimizerSpec:
    kind: str
    learningRate: float
    weightDecay: float
    schedule: str
    warmupSteps: int
    gradientClip: float | None


@dataclass(frozen=True)
class CachedCase:
    id: str
    path: str
    # of its prepared voxels
    contentSha256: str


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
class LicenceSpec:
    """Licence of weights of another project, None if it is not stated; or of a plug-in."""

    network: str
    file: str
    # None for a plug-in without a program file
    sha256: str | None
    licence: str | None


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
    # checkpoints state them
    licences: tuple[LicenceSpec, ...]
