"""Handle live commands, stop requests and verdicts on validations between two steps.

All ranks agree on a decision with one small all-reduce.
"""

import math
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import torch

from freetumor_runtime.events import Acknowledged, Event, Validated
from freetumor_runtime.training.ranks import Ranks


@dataclass(frozen=True)
class LiveCommand:
    """`kind` is setLearningRate, pause, unpause, checkpoint, stop or validationVerdict."""

    id: int
    kind: str
    value: float = 0.0
    # of a stop; of a verdict: why the run ends here, empty if it continues
    reason: str = ""
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The actions of every rank before the next step."""

    learning_rate: float | None
    save: bool
    stop: bool
    reason: str
    # the job returns here without a step (a checkpoint was requested during a pause)
    paused: bool = False


class Boundary:
    """Decides between two steps. `poll` returns commands on the first rank of every node; a stop signal counts as one.

    A command on one node takes effect on all nodes from the same step.
    """

    def __init__(self, ranks: Ranks, poll: Callable[[], list[LiveCommand]]) -> None:
        self._ranks = ranks
        self._poll = poll
        self._paused = False
        self._terminated = False
        self._deferred: list[LiveCommand] = []
        for name in ("SIGTERM", "SIGINT", "SIGUSR2"):
            signal.signal(getattr(signal, name), self._on_terminate)

    def decide(self, step: int) -> Generator[Event, None, Decision]:
        """Yield acknowledgements and return the decision (`yield from`). Wait here during a pause."""
        learning_rate, save, stop, reason = None, False, False, ""
        while True:
            pause: bool | None = None
            for command in self._commands():
                if command.kind == "setLearningRate":
                    learning_rate = command.value
                elif command.kind == "checkpoint":
                    save = True
                elif command.kind == "stop":
                    stop, reason = True, command.reason
                else:
                    pause = command.kind == "pause"
                yield Acknowledged(command.id, step, "")
            agreed = self._agree(learning_rate, save, stop or self._terminated, pause)
            if agreed.stop or agreed.save or not self._paused:
                return Decision(
                    agreed.learning_rate,
                    agreed.save,
                    agreed.stop,
                    (reason or agreed.reason) if agreed.stop else "",
                    self._paused and not agreed.stop,
                )
            time.sleep(0.05)

    def validated(self, step: int) -> Generator[Event, None, str | None]:
        """Wait for the verdict on a validation. Return why the run ends here, or None."""
        reason = ""
        if self._ranks.first:
            verdict = self._await_verdict()
            reason = verdict.reason
            yield Acknowledged(verdict.id, step, "")
            yield Validated(step, verdict.measures)
        ends = self._ranks.maximum(torch.tensor([reason != ""], dtype=torch.float64)).item() > 0
        return (reason or "stopped by rank 0") if ends else None

    def _commands(self) -> list[LiveCommand]:
        deferred, self._deferred = self._deferred, []
        return deferred + self._poll()

    def _await_verdict(self) -> LiveCommand:
        while True:
            for command in self._poll():
                if command.kind == "validationVerdict":
                    return command
                # it takes effect at the next boundary, which follows soon
                self._deferred.append(command)
            time.sleep(0.01)

    def _agree(self, learning_rate: float | None, save: bool, stop: bool, pause: bool | None) -> Decision:
        rate = -math.inf if learning_rate is None else learning_rate
        # a stop request includes the number of its node
        stopper = self._ranks.node + 1 if stop else 0
        # ranks without a command must not outvote the end of a pause
        rest = 0 if pause is None else 1 + pause
        wanted = torch.tensor([rate, save, stopper, rest], dtype=torch.float64)
        agreed = self._ranks.maximum(wanted).tolist()
        self._paused = agreed[3] == 2 if agreed[3] > 0 else self._paused
        rate_agreed = None if agreed[0] == -math.inf else agreed[0]
        return Decision(rate_agreed, bool(agreed[1]), agreed[2] > 0, self._who_stops(int(agreed[2]) - 1))

    def _who_stops(self, node: int) -> str:
        return "signal" if node == self._ranks.node else f"stop on node {node}"

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        # Set only a flag: a collective inside a handler could interleave with another one.
        self._terminated = True
