"""Between a job and the bridge: its connections; events become messages, commands become live commands.

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
from typing import TYPE_CHECKING, NoReturn

from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.config import JobSpec, PredictSpec, ServeSpec, SynthesizeSpec, TrainingSpec
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
    from freetumor_runtime.bridge.call_client import CallClient
    from freetumor_runtime.bridge.feed import CaseClient, FeedClient, VariantClient
    from freetumor_runtime.data.call_source import CallSource
    from freetumor_runtime.data.crop_source import CropSource
    from freetumor_runtime.data.variant_source import VariantSource
    from freetumor_runtime.feeds import CaseFeed
    from freetumor_runtime.training.board import Board
    from freetumor_runtime.training.boundary import LiveCommand


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@dataclass
class Wires:
    """The job's two connections; only the first rank of a node has control. Trainings have a feed, offline synthesis
    variants, prediction cases, a warm runtime calls."""

    control: ControlClient | None
    feed: CropSource | None
    variants: VariantSource | None
    cases: CaseFeed | None
    calls: CallSource | None
    client: FeedClient | VariantClient | CaseClient | CallClient | None
    board: Board | None

    def report(self, event: Event) -> None:
        if self.control is None:
            return
        if self.board is not None:
            self.board.record(event)
        if isinstance(event, Acknowledged):
            self.control.ack(event.id, event.step, event.error)
        elif not isinstance(event, Validated):
            self.control.report(_event_message(event))

    def poll(self) -> list[LiveCommand]:
        return [_live_command(command) for command in self.control.poll_commands()] if self.control else []

    def close(self) -> None:
        if self.board is not None:
            self.board.close()
        if self.client is not None:
            self.client.close()
        if self.control is not None:
            self.control.close()


def connect(spec: JobSpec, ranks) -> Wires:
    """Dials the addresses that the environment names."""
    wires = Wires(None, None, None, None, None, None, None)
    if ranks is not None and not isinstance(spec, ServeSpec):
        _connect_feed(wires, spec, ranks.rank)
    if ranks is None or ranks.leads_node:
        wires.control = ControlClient(os.environ["FREETUMOR_CONTROL"], os.environ["FREETUMOR_TOKEN"], _hello(ranks))
    if isinstance(spec, ServeSpec):
        _connect_calls(wires)
    if isinstance(spec, TrainingSpec) and ranks.rank == 0:
        from freetumor_runtime.training.board import Board

        wires.board = Board(spec.runDirectory)
    return wires


def _connect_feed(wires: Wires, spec: JobSpec, rank: int) -> None:
    from freetumor_runtime import feeds
    from freetumor_runtime.bridge.feed import CaseClient, FeedClient, VariantClient

    address, token = os.environ["FREETUMOR_FEED"], os.environ["FREETUMOR_TOKEN"]
    if isinstance(spec, TrainingSpec):
        wires.client = FeedClient(address, rank, token)
        wires.feed = feeds.CropFeed(wires.client)
    elif isinstance(spec, SynthesizeSpec):
        wires.client = VariantClient(address, rank, token)
        wires.variants = feeds.VariantFeed(wires.client)
    elif isinstance(spec, PredictSpec):
        wires.client = CaseClient(address, rank, token)
        wires.cases = feeds.CaseFeed(wires.client)


def _connect_calls(wires: Wires) -> None:
    from freetumor_runtime import feeds
    from freetumor_runtime.bridge.call_client import CallClient

    assert wires.control is not None
    wires.client = CallClient(os.environ["FREETUMOR_FEED"], 0, os.environ["FREETUMOR_TOKEN"])
    wires.calls = feeds.CallFeed(wires.client, wires.control)


def record_failure(error: BaseException, wires: Wires | None) -> None:
    """Says why this rank ends: to the log, to a file that survives it, and over the stream where it has one."""
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
    if wires is not None and wires.control is not None and wires.control.alive:
        fields = {key: value for key, value in failure.items() if key != "time"}
        wires.control.report(control_pb2.JobEvent(failed=control_pb2.Failed(**fields)))


def _typed(error: BaseException) -> BaseException:
    """A disk that refuses is no crash of ours, wherever it is met."""
    if not isinstance(error, OSError) or error.errno not in _DISK_ERRORS:
        return error
    where = "a file" if error.filename is None else error.filename
    return EnvironmentError(f"{where}: cannot be written ({os.strerror(error.errno)})", "free space on that disk")


def leave() -> None:
    if "torch.distributed" in sys.modules and "RANK" in os.environ:
        from freetumor_runtime.training.ranks import leave_ranks

        leave_ranks()


def end(code: int) -> NoReturn:
    """Ends this process; a rank without Python's own teardown.

    A thread of gloo that gives a tensor back during the teardown aborts the process: one finished job in sixty.
    """
    if "RANK" not in os.environ:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _event_message(event: Event) -> control_pb2.JobEvent:
    match event:
        case Ready(step, parameters):
            return control_pb2.JobEvent(ready=control_pb2.Ready(step=step, parameters=parameters))
        case StepDone(step, losses, learning_rate, seconds, wait_seconds):
            return control_pb2.JobEvent(
                step_done=control_pb2.StepDone(
                    step=step,
                    losses=losses,
                    learning_rate=learning_rate,
                    seconds=seconds,
                    wait_seconds=wait_seconds,
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


def _hello(ranks) -> control_pb2.Hello:
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
