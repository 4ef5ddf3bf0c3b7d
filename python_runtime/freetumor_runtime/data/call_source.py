"""Calls to a warm runtime, as the job reads them; the bridge implements the source."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from freetumor_runtime.data.crops import PlannedTumor
from freetumor_runtime.data.variant_source import AttemptMeasures


@dataclass(frozen=True)
class SegmentCall:
    """`image_hu` int16 or float32 [X, Y, Z]; its affine by rows, None: it lies on the grid of the networks."""

    id: int
    image_hu: Tensor
    affine: tuple[float, ...] | None
    logits: bool


@dataclass(frozen=True)
class PaintCall:
    """`image_hu` int16 and `label` uint8 ids of the region, [X, Y, Z] on the grid of the networks."""

    id: int
    image_hu: Tensor
    label: Tensor
    tumors: tuple[PlannedTumor, ...]
    windowed: bool


@dataclass(frozen=True)
class CallResult:
    """Tensors of the CPU by name: `labels`, `logits`, or `image`, `label`, `change`; measures of painted tumors."""

    network_seconds: float
    tensors: dict[str, Tensor]
    measures: tuple[AttemptMeasures, ...] = ()


@dataclass(frozen=True)
class CallRefusal:
    """Why a call has no result; its kind is that of an error (errors.py)."""

    network_seconds: float
    kind: str
    message: str
    hint: str


class CallSource(Protocol):
    def __iter__(self) -> Iterator[SegmentCall | PaintCall]:
        """Iterate over the calls in order of arrival; the iteration never ends by itself."""
        ...

    def cancelled(self, id: int) -> bool:
        """Return whether the other side cancelled the call."""
        ...

    def answer(self, id: int, result: CallResult | CallRefusal) -> None: ...
