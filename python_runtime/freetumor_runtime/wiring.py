"""Between a job and the bridge: its channels; events become messages, commands become live commands.

What only trainings or ranks need is imported where they need it: a pool of processes starts without PyTorch.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.errors import EnvironmentError, FreetumorError
from freetumor_runtime.events import (
    Acknowledged,
    CaseResult,
    CheckpointSaved,
    Event,
    Finished,
    Note,
    Ready,
    StepDone,
    Validated,
    ValidationDone,
)
from freetumor_runtime.foreign_text import visible
from freetumor_runtime.generated.freetumor.runtime.v1 import control_pb2

if TYPE_CHECKING:
    from freetumor_runtime.feeds import CallFeed, CaseFeed, CropFeed, VariantFeed
    from freetumor_runtime.training.board import Board
    from freetumor_runtime.training.boundary import LiveCommand
    from freetumor_runtime.training.ranks import Ranks


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


class Closable(Protocol):
    def close(self) -> None: ...


Source = TypeVar("Source", bound=Closable, covariant=True)


class Reports:
    """Where events go: to the control stream, which only the first rank of a node has, and to the board of a run."""

    def __init__(self, control: ControlClient | None, board: Board | None = None) -> None:
        self._control = control
        self._board = board

    def report(self, event: Event) -> None:
        if self._control is None:
            return
        # a step is reported first: the board imports TensorBoard for the first one
        if self._board is not None and not isinstance(event, StepDone):
            self._board.record(event)
        if isinstance(event, Acknowledged):
            self._control.ack(event.id, event.step, event.error)
        elif not isinstance(event, Validated):
            self._control.report(_event_message(event))
        if self._board is not None and isinstance(event, StepDone):
            self._board.record(event)

    def report_failure(self, failure: control_pb2.Failed) -> None:
        """Report why this rank ends, if the control stream is open."""
        if self._control is not None and self._control.alive:
            self._control.report(control_pb2.JobEvent(failed=failure))

    def poll(self) -> list[LiveCommand]:
        """Return the commands to a training since the last call."""
        return [_live_command(command) for command in self._control.poll_commands()] if self._control else []

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
        if self._control is not None:
            self._control.close()


class NoFeed:
    """What a pool of processes is fed by: its cases are in its specification."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Channels(Generic[Source]):
    """The connections of a job: what it reports to, and what it is fed by."""

    reports: Reports
    source: Source

    def close(self) -> None:
        # what the source still has to send comes before the last event
        self.source.close()
        self.reports.close()


def connect_pool() -> Channels[NoFeed]:
    return Channels(Reports(_dial_control(None)), NoFeed())


def connect_training(ranks: Ranks, run_directory: str) -> Channels[CropFeed]:
    from freetumor_runtime.bridge.feed import FeedClient
    from freetumor_runtime.feeds import CropFeed

    feed = CropFeed(FeedClient(*_feed_address(ranks)))
    control = _dial_control_of_node(ranks)
    if not ranks.first:
        return Channels(Reports(control), feed)
    from freetumor_runtime.training.board import Board

    return Channels(Reports(control, Board(run_directory)), feed)


def connect_synthesis(ranks: Ranks) -> Channels[VariantFeed]:
    from freetumor_runtime.bridge.feed import VariantClient
    from freetumor_runtime.feeds import VariantFeed

    feed = VariantFeed(VariantClient(*_feed_address(ranks)))
    return Channels(Reports(_dial_control_of_node(ranks)), feed)


def connect_prediction(ranks: Ranks) -> Channels[CaseFeed]:
    from freetumor_runtime.bridge.feed import CaseClient
    from freetumor_runtime.feeds import CaseFeed

    feed = CaseFeed(CaseClient(*_feed_address(ranks)))
    return Channels(Reports(_dial_control_of_node(ranks)), feed)


def connect_serving(ranks: Ranks) -> Channels[CallFeed]:
    """Connect a warm runtime, which is a single process."""
    from freetumor_runtime.bridge.call_client import CallClient
    from freetumor_runtime.feeds import CallFeed

    control = _dial_control(ranks)
    return Channels(Reports(control), CallFeed(CallClient(*_feed_address(ranks)), control))


def _feed_address(ranks: Ranks) -> tuple[str, int, str]:
    return os.environ["FREETUMOR_FEED"], ranks.rank, os.environ["FREETUMOR_TOKEN"]


def _dial_control_of_node(ranks: Ranks) -> ControlClient | None:
    return _dial_control(ranks) if ranks.leads_node else None


def _dial_control(ranks: Ranks | None) -> ControlClient:
    return ControlClient(os.environ["FREETUMOR_CONTROL"], os.environ["FREETUMOR_TOKEN"], _hello(ranks))


def record_failure(error: BaseException, reports: Reports | None) -> None:
    """Record why this rank ends: in the log, in a file that survives it, and on the control stream if it has one."""
    trace = "".join(traceback.format_exception(error))
    error = _typed(error)
    known = isinstance(error, FreetumorError)
    failure = {
        "rank": int(os.environ.get("RANK", "0")),
        "kind": error.kind if known else "runtime",
        "message": str(error) if known else f"{type(error).__name__}: {error}",
        "hint": error.hint if known else "",
        "traceback": trace,
        "time": time.time(),
    }
    print(visible(trace), file=sys.stderr, flush=True)
    # a full disk must not hide the reason: the stream below carries it, too
    with suppress(OSError):
        folder = Path(os.environ["FREETUMOR_FAILURES"])
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"rank-{failure['rank']}.json"
        target.with_suffix(".tmp").write_text(json.dumps(failure), encoding="utf-8")
        target.with_suffix(".tmp").rename(target)
    if failure["kind"] != "stopped" and "RANK" in os.environ:
        from freetumor_runtime.training.nodes import tell_other_nodes

        tell_other_nodes(failure)
    if reports is not None:
        fields = {key: value for key, value in failure.items() if key != "time"}
        reports.report_failure(control_pb2.Failed(**fields))


def _typed(error: BaseException) -> BaseException:
    """Return an error of the disk as an EnvironmentError, other errors unchanged."""
    if not isinstance(error, OSError) or error.errno not in _DISK_ERRORS:
        return error
    where = "a file" if error.filename is None else error.filename
    return EnvironmentError(f"{where}: cannot be written ({os.strerror(error.errno)})", "free space on that disk")


def leave() -> None:
    if "torch.distributed" in sys.modules and "RANK" in os.environ:
        from freetumor_runtime.training.ranks import leave_ranks

        leave_ranks()


def end(code: int) -> NoReturn:
    """End this process; with PyTorch, without Python's own teardown.

    PyTorch's teardown takes as long as a third of its import. In a rank, a thread of gloo that gives a tensor back
    during the teardown aborts the process: one finished job in sixty.
    """
    if "torch" not in sys.modules:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _event_message(event: Event) -> control_pb2.JobEvent:
    match event:
        case Ready(step, parameters):
            return control_pb2.JobEvent(ready=control_pb2.Ready(step=step, parameters=parameters))
        case StepDone(step, losses, learning_rate, seconds, wait_seconds, memory_bytes, utilization):
            return control_pb2.JobEvent(
                step_done=control_pb2.StepDone(
                    step=step,
                    losses=losses,
                    learning_rate=learning_rate,
                    seconds=seconds,
                    wait_seconds=wait_seconds,
                    memory_bytes=memory_bytes,
                    utilization=utilization,
                )
            )
        case CaseResult(case_id, result):
            return control_pb2.JobEvent(
                case_result=control_pb2.CaseResult(case_id=case_id, json=json.dumps(result, allow_nan=False))
            )
        case ValidationDone(step):
            return control_pb2.JobEvent(validation_done=control_pb2.ValidationDone(step=step))
        case CheckpointSaved(step, directory, reason):
            saved = control_pb2.CheckpointSaved(step=step, directory=directory, reason=reason)
            return control_pb2.JobEvent(checkpoint_saved=saved)
        case Note(level, text):
            return control_pb2.JobEvent(note=control_pb2.Note(level=level, text=text))
        case Finished(step, outcome, reason):
            return control_pb2.JobEvent(finished=control_pb2.Finished(step=step, outcome=outcome, reason=reason))
    raise TypeError(f"no message for {event!r}")


def _live_command(command: control_pb2.Command) -> LiveCommand:
    from freetumor_runtime.training.boundary import LiveCommand

    match command.WhichOneof("command"):
        case "set_learning_rate":
            return LiveCommand(command.id, "setLearningRate", value=command.set_learning_rate.learning_rate)
        case "pause":
            return LiveCommand(command.id, "pause")
        case "unpause":
            return LiveCommand(command.id, "unpause")
        case "save_checkpoint":
            return LiveCommand(command.id, "checkpoint")
        case "stop":
            return LiveCommand(command.id, "stop", reason=command.stop.reason)
        case "validation_verdict":
            verdict = command.validation_verdict
            measures = dict(verdict.measures)
            return LiveCommand(command.id, "validationVerdict", reason=verdict.end_reason, measures=measures)
    raise TypeError(f"unknown command {command}")


def _hello(ranks: Ranks | None) -> control_pb2.Hello:
    return control_pb2.Hello(
        run_id=os.environ["FREETUMOR_RUN_ID"],
        world_size=1 if ranks is None else ranks.size,
        device="cpu" if ranks is None else str(ranks.device),
        python=platform.python_version(),
        torch=version("torch"),
        monai=version("monai"),
        ranks=[
            control_pb2.RankProcess(rank=0 if ranks is None else ranks.rank, pid=os.getpid(), host=socket.gethostname())
        ],
    )
