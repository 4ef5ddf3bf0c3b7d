"""Specification of a warm runtime; mirrors src/pipeline/ports/serving.ts."""

from dataclasses import dataclass

from freetumor_runtime.config.common import BaselineSpec, GeneratorWindowsSpec, Organ, SlidingWindowsSpec


@dataclass(frozen=True)
class ServedGeneratorSpec:
    checkpoint: str
    # stated, because the caller has inspected the file
    channel: str
    # name of one of several sets of weights in the file; None: the only one
    weights: str | None


@dataclass(frozen=True)
class ServeSpec:
    job: str
    region: str
    organs: tuple[Organ, ...]
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]
    generator: ServedGeneratorSpec | None
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
