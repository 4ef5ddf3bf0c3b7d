"""Events that a job sends to the TypeScript side; the bridge turns each into a message of control.proto."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ready:
    step: int
    parameters: dict[str, int]


@dataclass(frozen=True)
class StepDone:
    step: int
    losses: dict[str, float]
    learning_rate: float
    seconds: float
    wait_seconds: float
    memory_bytes: int | None = None
    utilization: float | None = None


@dataclass(frozen=True)
class CaseResult:
    """One case of prepare, validation, predict or evaluate; `result` is JSON-safe."""

    case_id: str
    result: dict


@dataclass(frozen=True)
class ValidationDone:
    step: int


@dataclass(frozen=True)
class Validated:
    """What the other side made of a validation: measures by name, for the TensorBoard files of this one."""

    step: int
    measures: dict[str, float]


@dataclass(frozen=True)
class CheckpointSaved:
    step: int
    directory: str
    reason: str


@dataclass(frozen=True)
class Acknowledged:
    """A command holds from `step` on, or failed with `error`."""

    id: int
    step: int
    error: str


@dataclass(frozen=True)
class Note:
    level: str
    text: str


@dataclass(frozen=True)
class Finished:
    """`step` is the next to run; `outcome` is completed or stopped."""

    step: int
    outcome: str
    reason: str


Event = Ready | StepDone | CaseResult | ValidationDone | Validated | CheckpointSaved | Acknowledged | Note | Finished
