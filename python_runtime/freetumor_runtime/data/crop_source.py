"""Where a job's crops come from, as the job sees it. The bridge implements it over ZeroMQ; tests with lists."""

from dataclasses import dataclass
from typing import Protocol

from freetumor_runtime.data.crops import PlannedCrop


@dataclass(frozen=True)
class CropMeasures:
    """What the baseline segmentor detected of the synthetic tumors of one crop (one draw)."""

    item: int
    crop: int
    draw: int
    synthetic_voxels: int
    seen_voxels: int
    already_seen_voxels: int
    # mean windowed intensity of the synthetic voxels, after minus before painting
    contrast: float
    # what else the policy asks for, by name
    more: dict[str, float]


@dataclass(frozen=True)
class CropVerdict:
    """The verdict on a painted crop. `next_draw`: the attempt to paint instead of a rejected one; None: no other."""

    accepted: bool
    next_draw: int | None = None


class CropSource(Protocol):
    """Data is pulled: nothing comes that was not requested. All calls are of the training thread."""

    # seconds spent waiting for crops and verdicts so far
    waited_seconds: float

    def request(self, step: int) -> None:
        """Request a step ahead; a second request has no effect."""

    def crops(self, step: int) -> tuple[PlannedCrop, ...]:
        """Wait for this rank's crops of a step; return them in the order of their items."""
        ...

    def send_measures(self, step: int, measures: list[CropMeasures], wants_verdicts: bool) -> None: ...

    def verdicts(self, step: int) -> dict[tuple[int, int], CropVerdict]:
        """Wait for the verdicts on the last measures of the step; return them by (item, crop)."""
        ...

    def ack(self, step: int) -> None:
        """Free the step's buffers on the other side."""
