"""Parts that the specifications of several jobs have; mirrors src/pipeline/ports/common.ts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Organ:
    name: str
    label: int
    tumorLabel: int
    channel: int


@dataclass(frozen=True)
class SlidingWindowsSpec:
    overlap: float
    blend: str
    windowBatch: int


@dataclass(frozen=True)
class PluginSpec:
    """A program in an environment of its own that synthesizes or segments crops (docs/plugins.md)."""

    # words; may contain placeholders
    command: tuple[str, ...]
    startTimeoutSeconds: float
    requestTimeoutSeconds: float


@dataclass(frozen=True)
class BaselineSpec:
    # None with a plug-in
    checkpoint: str | None
    patchMerging: str | None
    # name of one of several sets of weights in the file; None: the only one
    weights: str | None
    plugin: PluginSpec | None


@dataclass(frozen=True)
class GeneratorWindowsSpec:
    overlap: float
    windowBatch: int
