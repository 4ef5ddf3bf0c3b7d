"""Where offline synthesis gets its tumors and verdicts from, as the job sees it; the bridge implements it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from freetumor_runtime.data.crops import PlannedTumor


@dataclass(frozen=True)
class ShrunkSource:
    """A real tumor that is shrunk, in voxels of the round's subvolume."""

    # of the tumor: its component (26 neighbours) is the source
    voxel: tuple[int, int, int]
    # of the source, which is mapped to the voxel `centre`
    centroid: tuple[float, float, float]
    centre: tuple[int, int, int]
    # lengths of the copy divided by those of the source, at most 1
    factor: float


@dataclass(frozen=True)
class Attempt:
    """A planned tumor, in voxels of the round's subvolume. With a source, it is a smaller copy of a real tumor."""

    tumor: int
    attempt: int
    plan: PlannedTumor
    source: ShrunkSource | None = None


@dataclass(frozen=True)
class Round:
    """What to do next for a variant of a case. Without attempts: write what was accepted."""

    case_id: str
    variant: int
    subvolume_start: tuple[int, ...]
    subvolume_shape: tuple[int, ...]
    # numbers of the tumors of the round before that stay
    accepted: tuple[int, ...]
    # numbers of the rejected tumors of the round before that are written into rejected/
    kept_rejected: tuple[int, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class AttemptMeasures:
    """What was seen of one painted tumor; `more` holds what else the policy asks for, by name."""

    tumor: int
    synthetic_voxels: int
    seen_voxels: int
    already_seen_voxels: int
    # mean windowed intensity of the synthetic voxels, after minus before painting
    contrast: float
    more: dict[str, float]


class VariantSource(Protocol):
    def begin(self) -> Round | None:
        """Return the first round of the next variant; None if no variant is left."""
        ...

    def judged(self, measures: Sequence[AttemptMeasures]) -> Round:
        """Send the measures of a round; return its verdicts and the next round of the variant."""
        ...

    def written(self, case_id: str, variant: int, result: dict) -> None: ...
