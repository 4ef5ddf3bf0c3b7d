"""What an offline synthesis needs; mirrors src/pipeline/ports/synthesis.ts."""

from dataclasses import dataclass

from freetumor_runtime.config.common import BaselineSpec, GeneratorWindowsSpec, Organ, PluginSpec


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
    # of its prepared voxels
    contentSha256: str
    pictured: bool


@dataclass(frozen=True)
class PaintingGeneratorSpec:
    # None with a plug-in
    checkpoint: str | None
    channel: str | None
    # name of one of several sets of weights in the file; None: the only one
    weights: str | None
    plugin: PluginSpec | None


@dataclass(frozen=True)
class MarkSpec:
    """SHA-256 values in the marks of all files: of the settings that paint, and of the generator if any."""

    settings: str
    generator: str | None


@dataclass(frozen=True)
class SynthesizeSpec:
    job: str
    directory: str
    layout: str
    region: str
    numIds: int
    # id of the region -> id in the label maps that are written
    labelIds: tuple[int, ...]
    # id of ignored voxels in them
    ignoredId: int
    organs: tuple[Organ, ...]
    windowHu: tuple[float, ...]
    spacingMm: tuple[float, ...]
    patchVoxels: tuple[int, ...]
    generator: PaintingGeneratorSpec | None
    generatorWindows: GeneratorWindowsSpec
    # number of tumors that are planned for a case, over all variants
    tumorsPerCase: int
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
    mark: MarkSpec
    cases: tuple[SynthesizeCase, ...]
