"""Between a job and the bridge: frames become crops, events become messages, commands become live commands."""

import json
import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from freetumor_runtime.bridge.calls import CallClient
from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.bridge.feed import CaseClient, FeedClient, VariantClient
from freetumor_runtime.config import JobSpec, PredictSpec, ServeSpec, SynthesizeSpec, TrainingSpec
from freetumor_runtime.data.calls import CallResult, CallSource, SegmentCall, SynthesizeCall
from freetumor_runtime.data.crops import Augmentation, CropFrame, TumorFrame
from freetumor_runtime.data.frames import CropMeasures, FrameSource
from freetumor_runtime.data.variants import Attempt, AttemptMeasures, Round, VariantSource
from freetumor_runtime.errors import FreetumorError
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
from freetumor_runtime.generated.freetumor.runtime.v1 import calls_pb2, control_pb2, feed_pb2
from freetumor_runtime.training.board import Board
from freetumor_runtime.training.boundary import LiveCommand
from freetumor_runtime.training.hosts import tell_other_hosts


@dataclass
class Wires:
    """The job's two connections; only the first rank of a host has control. Trainings have a feed, offline synthesis
    variants, prediction cases, a warm runtime calls."""

    control: ControlClient | None
    feed: FrameSource | None
    variants: VariantSource | None
    cases: "CaseFeed | None"
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
    rank = 0 if ranks is None else ranks.rank
    feed, variants, cases, calls, client = None, None, None, None, None
    if isinstance(spec, TrainingSpec):
        client = FeedClient(os.environ["FREETUMOR_FEED"], rank)
        feed = CropFeed(client)
    elif isinstance(spec, SynthesizeSpec):
        client = VariantClient(os.environ["FREETUMOR_FEED"], rank)
        variants = VariantFeed(client)
    elif isinstance(spec, PredictSpec):
        client = CaseClient(os.environ["FREETUMOR_FEED"], rank)
        cases = CaseFeed(client)
    control = None
    if ranks is None or ranks.leads_host:
        control = ControlClient(os.environ["FREETUMOR_CONTROL"], os.environ["FREETUMOR_TOKEN"], _hello(ranks))
    if isinstance(spec, ServeSpec):
        assert control is not None
        client = CallClient(os.environ["FREETUMOR_FEED"], rank)
        calls = CallFeed(client, control)
    board = Board(spec.runDirectory) if isinstance(spec, TrainingSpec) and rank == 0 else None
    return Wires(control, feed, variants, cases, calls, client, board)


class CropFeed:
    """FrameSource over the feed client."""

    def __init__(self, client: FeedClient) -> None:
        self.waited_seconds = 0.0
        self._client = client

    def request(self, step: int) -> None:
        self._client.request(step)

    def frames(self, step: int) -> tuple[CropFrame, ...]:
        self._client.request(step)
        started = time.perf_counter()
        message, tensors = self._client.frames(step)
        self.waited_seconds += time.perf_counter() - started
        return tuple(_crop(crop, tensors) for crop in message.crops)

    def send_measures(self, step: int, measures: list[CropMeasures], wants_verdicts: bool) -> None:
        message = feed_pb2.StepMeasures(
            step=step,
            wants_verdicts=wants_verdicts,
            crops=[feed_pb2.CropMeasures(**vars(one)) for one in measures],
        )
        self._client.send_measures(message)

    def verdicts(self, step: int) -> dict[tuple[int, int], bool]:
        started = time.perf_counter()
        message = self._client.verdicts(step)
        self.waited_seconds += time.perf_counter() - started
        return {(verdict.item, verdict.crop): verdict.accepted for verdict in message.verdicts}

    def ack(self, step: int) -> None:
        self._client.ack(step)


class VariantFeed:
    """VariantSource over the variant client."""

    def __init__(self, client: VariantClient) -> None:
        self._client = client

    def begin(self) -> Round | None:
        message, tensors = self._client.ask(feed_pb2.VariantRequest())
        return None if message.finished else _round(message, tensors)

    def judged(self, measures: Sequence[AttemptMeasures]) -> Round:
        attempts = [feed_pb2.AttemptMeasures(**vars(one)) for one in measures]
        return _round(*self._client.ask(feed_pb2.RoundMeasures(attempts=attempts)))

    def written(self, case_id: str, variant: int, result: dict) -> None:
        text = json.dumps(result, allow_nan=False)
        self._client.tell(feed_pb2.VariantWritten(case_id=case_id, variant=variant, json=text))


class CallFeed:
    """CallSource over the call client; that a call is no longer wanted comes by the control stream."""

    def __init__(self, client: CallClient, control: ControlClient) -> None:
        self._client = client
        self._control = control
        self._cancelled: set[int] = set()

    def __iter__(self) -> Iterator[SegmentCall | SynthesizeCall]:
        while True:
            yield _call(*self._client.next())

    def cancelled(self, id: int) -> bool:
        for command in self._control.poll_commands():
            if command.WhichOneof("command") == "cancel_call":
                self._cancelled.add(command.cancel_call.id)
                self._control.ack(command.id, 0, "")
            else:
                self._control.ack(command.id, 0, "a warm runtime knows no other command than to cancel a call")
        return id in self._cancelled

    def answer(self, id: int, result: CallResult) -> None:
        self._cancelled.discard(id)
        refusal = None
        if result.refusal is not None:
            kind, text, hint = result.refusal
            refusal = calls_pb2.CallRefusal(kind=kind, message=text, hint=hint)
        message = calls_pb2.CallResult(
            id=id,
            network_seconds=result.network_seconds,
            measures=[feed_pb2.AttemptMeasures(**vars(one)) for one in result.measures],
            refusal=refusal,
        )
        self._client.answer(message, result.tensors)


class CaseFeed:
    """CaseSource over the case client."""

    def __init__(self, client: CaseClient) -> None:
        self._client = client

    def next(self) -> str | None:
        return self._client.next()

    def done(self, case_id: str, result: dict) -> None:
        self._client.done(case_id, json.dumps(result, allow_nan=False))


def record_failure(error: BaseException, wires: Wires | None) -> None:
    """Says why this rank ends: to the log, to a file that survives it, and over the stream where it has one."""
    trace = "".join(traceback.format_exception(error))
    known = isinstance(error, FreetumorError)
    failure = {
        "rank": int(os.environ.get("RANK", "0")),
        "kind": error.kind if known else "runtime",
        "message": str(error) if known else f"{type(error).__name__}: {error}",
        "hint": error.hint if known else "",
        "traceback": trace,
        "time": time.time(),
    }
    print(trace, file=sys.stderr, flush=True)
    folder = Path(os.environ["FREETUMOR_FAILURES"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"rank-{failure['rank']}.json"
    target.with_suffix(".tmp").write_text(json.dumps(failure), encoding="utf-8")
    target.with_suffix(".tmp").rename(target)
    if failure["kind"] != "stopped":
        tell_other_hosts(failure)
    if wires is not None and wires.control is not None and wires.control.alive:
        fields = {key: value for key, value in failure.items() if key != "time"}
        wires.control.report(control_pb2.JobEvent(failed=control_pb2.Failed(**fields)))


def leave() -> None:
    if "torch.distributed" in sys.modules and "RANK" in os.environ:
        from freetumor_runtime.training.ranks import leave_ranks

        leave_ranks()


def _crop(crop: feed_pb2.Crop, tensors) -> CropFrame:
    return CropFrame(
        item=crop.item,
        crop=crop.crop,
        case_id=crop.case_id,
        image_hu=tensors[crop.image_tensor],
        label=tensors[crop.label_tensor],
        augmentation=Augmentation(
            tuple(crop.augmentation.flip),
            crop.augmentation.quarter_turns,
            crop.augmentation.intensity_scale,
            crop.augmentation.intensity_shift,
        ),
        tumors=tuple(_tumor(tumor, tensors) for tumor in crop.tumors),
        mixing=(crop.mixing.partner, crop.mixing.axis, crop.mixing.length) if crop.HasField("mixing") else None,
        no_room=crop.no_room,
    )


def _round(message: feed_pb2.VariantRound, tensors) -> Round:
    return Round(
        case_id=message.case_id,
        variant=message.variant,
        region_start=tuple(message.region_start),
        region_shape=tuple(message.region_shape),
        accepted=tuple(message.accepted),
        attempts=tuple(Attempt(one.tumor, one.attempt, _tumor(one.plan, tensors)) for one in message.attempts),
    )


def _call(message: calls_pb2.Call, tensors) -> SegmentCall | SynthesizeCall:
    image_hu = tensors[message.image_tensor]
    if message.WhichOneof("work") == "synthesize":
        tumors = tuple(_tumor(tumor, tensors) for tumor in message.synthesize.tumors)
        label = tensors[message.label_tensor]
        return SynthesizeCall(message.id, image_hu, label, tumors, message.synthesize.windowed)
    return SegmentCall(message.id, image_hu, tuple(message.affine) or None, message.segment.logits)


def _tumor(tumor: feed_pb2.TumorPlan, tensors) -> TumorFrame:
    return TumorFrame(
        organ=tumor.organ,
        size=tumor.size,
        shape_box=tensors[tumor.shape_tensor],
        origin=tuple(tumor.box_origin),
        edge_sigma=tumor.edge_sigma,
        texture_index=tumor.texture_index,
        texture_start=tuple(tumor.texture_start),
        handcrafted_difference=tumor.handcrafted_difference,
        draw=tumor.draw,
    )


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
