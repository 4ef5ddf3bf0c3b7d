"""Measure the stages of the steps of a training (`freetumor train --profile`).

The stages: data wait, paint, judge, forward, backward, optimizer, save, validation. Without the option, a stage is
an empty context.

Times are exclusive: a stage within another one counts for itself alone. On a GPU the kernels of a stage run later than
its calls: `device_seconds` is their time by CUDA events, `seconds` that of the calls.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.events import Event, Finished, Note
from freetumor_runtime.training.ranks import Ranks

_NOTHING = nullcontext()
# read where a stage begins: the profile of this process, if its training has one
_active: "StepProfile | None" = None


def stage(name: str) -> AbstractContextManager[Any]:
    """Return the context in which a stage of a step runs."""
    return _NOTHING if _active is None else _active.stage(name)


def stage_of(name: str, network: nn.Module) -> None:
    """Count every forward pass of a network as this stage."""
    if _active is not None:
        _active.follow(name, network)


def start_profile(device: torch.device) -> "StepProfile | None":
    """Start the profile of this process if FREETUMOR_PROFILE requests it."""
    global _active
    _active = StepProfile(device) if os.environ.get("FREETUMOR_PROFILE") == "1" else None
    return _active


def with_profile(events: Iterator[Event], spec: TrainingSpec, ranks: Ranks) -> Iterator[Event]:
    """Pass the events of a training on; on rank 0, write its profile and yield the table before the last event."""
    for event in events:
        if isinstance(event, Finished) and ranks.first and _active is not None:
            yield from (Note("info", line) for line in write_profile(spec.runDirectory, _active))
        yield event


@dataclass
class StageTimes:
    calls: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    device_seconds: float = 0.0


@dataclass
class StepProfile:
    device: torch.device
    stages: dict[str, StageTimes] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    _open: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)
    # of CUDA events that are not read yet: (stage, start, end)
    _events: list[tuple[str, Any, Any]] = field(default_factory=list)
    _mark: Any = None
    _step_since: tuple[float, float] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def follow(self, name: str, network: nn.Module) -> None:
        enter: Callable[..., None] = lambda *_: self._enter(name)  # noqa: E731
        leave: Callable[..., None] = lambda *_: self._leave()  # noqa: E731
        network.register_forward_pre_hook(enter)
        network.register_forward_hook(leave, always_call=True)

    def begin_step(self) -> None:
        """Start a step; the time since the last one belongs to no step."""
        self._step_since = _now()

    def end_step(self) -> None:
        """End a step, whose results are in host memory."""
        if self._step_since is None:
            return
        wall, processor = _now()
        self.steps += 1
        self.seconds += wall - self._step_since[0]
        self.processor_seconds += processor - self._step_since[1]
        self._step_since = None
        self._read_events()

    def report(self) -> dict[str, Any]:
        """Return `{steps, seconds, processorSeconds, device, stages: [{name, calls, seconds, ...}]}` of all steps.

        The last stage, `other`, is the rest of the steps.
        """
        self._read_events()
        inside = {name: one for name, one in self.stages.items() if name not in OUTSIDE}
        rest = StageTimes(
            self.steps,
            max(0.0, self.seconds - sum(one.seconds for one in inside.values())),
            max(0.0, self.processor_seconds - sum(one.processor_seconds for one in inside.values())),
        )
        return {
            "steps": self.steps,
            "seconds": self.seconds,
            "processorSeconds": self.processor_seconds,
            "device": str(self.device),
            "stages": [
                {
                    "name": name,
                    "calls": one.calls,
                    "seconds": one.seconds,
                    "processorSeconds": one.processor_seconds,
                    "deviceSeconds": one.device_seconds if self.device.type == "cuda" else None,
                }
                for name, one in [*self.stages.items(), ("other", rest)]
            ],
        }

    def _enter(self, name: str) -> None:
        self._add()
        self._open.append(name)
        self.stages.setdefault(name, StageTimes()).calls += 1

    def _leave(self) -> None:
        self._add()
        self._open.pop()

    def _add(self) -> None:
        """Add the time since the last change of stage to the innermost open stage."""
        now = _now()
        mark = None
        if self.device.type == "cuda":
            mark = torch.cuda.Event(enable_timing=True)
            mark.record()
        if self._open:
            one = self.stages[self._open[-1]]
            one.seconds += now[0] - self._since[0]
            one.processor_seconds += now[1] - self._since[1]
            if mark is not None:
                self._events.append((self._open[-1], self._mark, mark))
        self._since, self._mark = now, mark

    def _read_events(self) -> None:
        for name, start, end in self._events:
            end.synchronize()
            self.stages[name].device_seconds += start.elapsed_time(end) / 1000
        self._events.clear()


# Stages between two steps.
OUTSIDE = ("save", "validation")


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def write_profile(run_directory: str, profile: StepProfile) -> list[str]:
    """Write `profile.json` of a run; return the lines of its table."""
    report = profile.report()
    Path(run_directory, "profile.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    steps = max(1, report["steps"])
    lines = [
        f"profile of {report['steps']} steps: {1000 * report['seconds'] / steps:.1f} ms each, "
        f"{1000 * report['processorSeconds'] / steps:.1f} ms of processor time"
    ]
    for one in report["stages"]:
        device = one["deviceSeconds"]
        share = "" if one["name"] in OUTSIDE else f", {one['seconds'] / max(report['seconds'], 1e-9):.0%}"
        lines.append(
            f"profile: {one['name']}: {1000 * one['seconds'] / steps:.1f} ms per step{share}, "
            f"processor {1000 * one['processorSeconds'] / steps:.1f} ms"
            + ("" if device is None else f", GPU {1000 * device / steps:.1f} ms")
        )
    return lines
