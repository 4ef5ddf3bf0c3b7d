"""What a job is fed with: messages of the bridge become crops, rounds, calls and cases, and answers become messages."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from freetumor_runtime.bridge.call_client import CallClient
from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.bridge.feed import CaseClient, FeedClient, VariantClient
from freetumor_runtime.data.call_source import CallRefusal, CallResult, PaintCall, SegmentCall
from freetumor_runtime.data.crop_source import CropMeasures, CropVerdict
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor
from freetumor_runtime.data.variant_source import Attempt, AttemptMeasures, Round, ShrunkSource
from freetumor_runtime.generated.freetumor.runtime.v1 import calls_pb2, feed_pb2

T = TypeVar("T")


class CropFeed:
    """CropSource over the feed client."""

    def __init__(self, client: FeedClient) -> None:
        self.waited_seconds = 0.0
        self._client = client

    def request(self, step: int) -> None:
        self._client.request(step)

    def crops(self, step: int) -> tuple[PlannedCrop, ...]:
        self._client.request(step)
        started = time.perf_counter()
        message, tensors = self._client.crops(step)
        self.waited_seconds += time.perf_counter() - started
        return tuple(_crop(crop, tensors) for crop in message.crops)

    def send_measures(self, step: int, measures: list[CropMeasures], wants_verdicts: bool) -> None:
        message = feed_pb2.StepMeasures(
            step=step,
            wants_verdicts=wants_verdicts,
            crops=[feed_pb2.CropMeasures(**vars(one)) for one in measures],
        )
        self._client.send_measures(message)

    def verdicts(self, step: int) -> dict[tuple[int, int], CropVerdict]:
        started = time.perf_counter()
        message = self._client.verdicts(step)
        self.waited_seconds += time.perf_counter() - started
        return {
            (one.item, one.crop): CropVerdict(one.accepted, one.next_draw if one.HasField("next_draw") else None)
            for one in message.verdicts
        }

    def ack(self, step: int) -> None:
        self._client.ack(step)

    def close(self) -> None:
        self._client.close()


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

    def close(self) -> None:
        self._client.close()


class CallFeed:
    """CallSource over the call client; that a call is no longer wanted comes by the control stream."""

    def __init__(self, client: CallClient, control: ControlClient) -> None:
        self._client = client
        self._control = control
        self._cancelled: set[int] = set()

    def __iter__(self) -> Iterator[SegmentCall | PaintCall]:
        while True:
            yield _call(*self._client.next())

    def cancelled(self, id: int) -> bool:
        for command in self._control.poll_commands():
            if command.WhichOneof("command") == "cancel_call":
                self._cancelled.add(command.cancel_call.id)
                self._control.ack(command.id, 0, "")
            else:
                self._control.ack(command.id, 0, "unsupported command: a warm runtime only cancels calls")
        return id in self._cancelled

    def answer(self, id: int, result: CallResult | CallRefusal) -> None:
        self._cancelled.discard(id)
        message = calls_pb2.CallResult(id=id, network_seconds=result.network_seconds)
        if isinstance(result, CallRefusal):
            refusal = calls_pb2.CallRefusal(kind=result.kind, message=result.message, hint=result.hint)
            message.refusal.CopyFrom(refusal)
            self._client.answer(message, {})
            return
        message.measures.extend(feed_pb2.AttemptMeasures(**vars(one)) for one in result.measures)
        self._client.answer(message, result.tensors)

    def close(self) -> None:
        self._client.close()


class CaseFeed:
    """CaseSource over the case client."""

    def __init__(self, client: CaseClient) -> None:
        self._client = client

    def next(self) -> str | None:
        return self._client.next()

    def progress(self, case_id: str, done: int, total: int) -> None:
        self._client.progress(case_id, done, total)

    def done(self, case_id: str, result: dict) -> None:
        self._client.done(case_id, json.dumps(result, allow_nan=False))

    def close(self) -> None:
        self._client.close()


def _crop(crop: feed_pb2.Crop, tensors) -> PlannedCrop:
    return PlannedCrop(
        item=crop.item,
        crop=crop.crop,
        case_id=crop.case_id,
        image_hu=tensors[crop.image_tensor],
        label=tensors[crop.label_tensor],
        augmentation=Augmentation(
            _triple(crop.augmentation.flip),
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
        subvolume_start=tuple(message.subvolume_start),
        subvolume_shape=tuple(message.subvolume_shape),
        accepted=tuple(message.accepted),
        kept_rejected=tuple(message.kept_rejected),
        attempts=tuple(_attempt(one, tensors) for one in message.attempts),
    )


def _attempt(message: feed_pb2.Attempt, tensors) -> Attempt:
    source = None
    if message.HasField("source"):
        one = message.source
        source = ShrunkSource(_triple(one.voxel), _triple(one.centroid), _triple(one.centre), one.factor)
    return Attempt(message.tumor, message.attempt, _tumor(message.plan, tensors), source)


def _call(message: calls_pb2.Call, tensors) -> SegmentCall | PaintCall:
    image_hu = tensors[message.image_tensor]
    if message.WhichOneof("work") == "synthesize":
        tumors = tuple(_tumor(tumor, tensors) for tumor in message.synthesize.tumors)
        label = tensors[message.label_tensor]
        return PaintCall(message.id, image_hu, label, tumors, message.synthesize.windowed)
    return SegmentCall(message.id, image_hu, tuple(message.affine) or None, message.segment.logits)


def _tumor(tumor: feed_pb2.PlannedTumor, tensors) -> PlannedTumor:
    return PlannedTumor(
        organ=tumor.organ,
        size=tumor.size,
        box=tensors[tumor.box_tensor],
        box_origin=_triple(tumor.box_origin),
        edge_sigma=tumor.edge_sigma,
        texture_index=tumor.texture_index,
        texture_start=_triple(tumor.texture_start),
        handcrafted_difference=tumor.handcrafted_difference,
        draw=tumor.draw,
    )


def _triple(values: Iterable[T]) -> tuple[T, T, T]:
    x, y, z = values
    return x, y, z
