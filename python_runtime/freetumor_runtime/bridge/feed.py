"""Connect a rank to the feeder: a ZeroMQ DEALER requests steps and sends measures. Use it in one thread."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import zmq
from google.protobuf.message import Message as ProtobufMessage
from torch import Tensor
from zmq.utils.monitor import recv_monitor_message

from freetumor_runtime.bridge.frames import MAX_FRAME_BYTES, Message, ProtocolError, decode_message, encode_message
from freetumor_runtime.bridge.patience import wait_awake
from freetumor_runtime.errors import EnvironmentError, Stopped, UsageError
from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2

T = TypeVar("T")
_PACKAGE = "freetumor.runtime.v1."
_CONNECT_SECONDS = 30
_LAST_WORD_SECONDS = 2
_HIGH_WATER_MARK = 16
# Limit of steps that are requested and not acknowledged. Their replies and verdicts fit below the high-water marks.
_MAX_OPEN = 8


class FeedSocket:
    """Messages to and from the feeder, in order.

    A call that waits raises Stopped when the feeder exits; it waits without limit for a slow feeder. `token` is the
    job's secret: the feeder drops messages without it. Raises EnvironmentError if no feeder answers at the address,
    ProtocolError if a message is missing.
    """

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.ROUTING_ID, f"rank-{rank}.{token}".encode())
        self._socket.maxmsgsize = MAX_FRAME_BYTES
        self._socket.sndhwm = self._socket.rcvhwm = _HIGH_WATER_MARK
        # ZeroMQ hides a disconnect and would reconnect without end, so a monitor reports it.
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._sent = self._received = 0
        self._socket.connect(address)
        if not wait_awake(lambda seconds: self._monitor.poll(int(seconds * 1000)), _CONNECT_SECONDS):
            self.close()
            raise EnvironmentError(
                f"no feeder answers at {address} after {_CONNECT_SECONDS} s", "restart the job; it gets a new address"
            )
        recv_monitor_message(self._monitor)

    def close(self) -> None:
        """Send queued messages, such as the measures of the last step; drop them if the feeder does not read."""
        self._context.destroy(linger=_LAST_WORD_SECONDS * 1000)

    def send(self, body: ProtobufMessage, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Send a message without copying its tensors: do not change them afterwards."""
        message = Message(_PACKAGE + type(body).__name__, body.SerializeToString(), tensors or {})
        frames = encode_message(message, self._sent)
        self._when(zmq.POLLOUT, lambda: self._socket.send_multipart(frames, zmq.NOBLOCK, copy=tensors is None))
        self._sent += 1

    def receive(self) -> Message:
        """Wait for the next message and return it."""
        frames = self._when(zmq.POLLIN, lambda: self._socket.recv_multipart(zmq.NOBLOCK, copy=False))
        message, sequence = decode_message([frame.buffer for frame in frames])
        if sequence != self._received:
            raise ProtocolError(f"lost message of the feeder (expected message {self._received}, found {sequence})")
        self._received += 1
        return message

    def _when(self, readiness: int, act: Callable[[], T]) -> T:
        """Act first, and wait only if the socket is not ready: a check before it costs as much as a small message."""
        while True:
            try:
                return act()
            except zmq.Again:
                self._wait(readiness)

    def _wait(self, readiness: int) -> None:
        """Wait until the socket can be read or written. Messages that arrived before the feeder exited still count."""
        while True:
            ready = dict(zmq.zmq_poll([(self._socket, readiness), (self._monitor, zmq.POLLIN)], -1))
            if self._socket in ready:
                return
            if recv_monitor_message(self._monitor)["event"] == zmq.EVENT_DISCONNECTED:
                raise Stopped("the process that feeds this rank is gone", "resume the run to continue")


class FeedClient:
    """Request the steps of a training. Replies may arrive in any order; each is kept until its step is read.

    Raises ProtocolError for a reply that was not requested, and the errors of FeedSocket.
    """

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)
        self._open: set[int] = set()
        self._awaited: set[int] = set()
        self._unjudged: set[int] = set()
        self._crops: dict[int, tuple[feed_pb2.StepCrops, dict[str, Tensor]]] = {}
        self._verdicts: dict[int, feed_pb2.StepVerdicts] = {}

    def request(self, step: int) -> None:
        """Request a step; a second request before `ack` has no effect. Raise UsageError if 8 steps are open."""
        if step in self._open:
            return
        if len(self._open) >= _MAX_OPEN:
            raise UsageError(
                f"step {step} cannot be requested: {_MAX_OPEN} steps are open", "acknowledge an open step first"
            )
        self._open.add(step)
        self._awaited.add(step)
        self._socket.send(feed_pb2.StepRequest(step=step))

    def crops(self, step: int) -> tuple[feed_pb2.StepCrops, dict[str, Tensor]]:
        """Wait for the crops of a requested step; return them, once, with their tensors by name.

        Raises UsageError if the step was not requested or its crops were read before.
        """
        while step not in self._crops:
            if step not in self._awaited:
                raise UsageError(
                    f"the crops of step {step} were not requested, or were read before", "request each step once"
                )
            self._receive()
        return self._crops.pop(step)

    def send_measures(self, measures: feed_pb2.StepMeasures) -> None:
        if measures.wants_verdicts:
            self._unjudged.add(measures.step)
        self._socket.send(measures)

    def verdicts(self, step: int) -> feed_pb2.StepVerdicts:
        """Wait for the verdicts on a step whose measures want them; return them once. Raise UsageError otherwise."""
        while step not in self._verdicts:
            if step not in self._unjudged:
                raise UsageError(
                    f"the verdicts of step {step} were not requested, or were read before",
                    "send measures with wants_verdicts first",
                )
            self._receive()
        return self._verdicts.pop(step)

    def ack(self, step: int) -> None:
        """Report that the tensors of the step are no longer needed."""
        self._open.discard(step)
        self._socket.send(feed_pb2.StepAck(step=step))

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        message = self._socket.receive()
        if message.kind == _PACKAGE + "StepCrops":
            step_crops = feed_pb2.StepCrops.FromString(message.body)
            _expected(self._awaited, step_crops.step, message.kind)
            self._crops[step_crops.step] = (step_crops, dict(message.tensors))
        elif message.kind == _PACKAGE + "StepVerdicts":
            verdicts = feed_pb2.StepVerdicts.FromString(message.body)
            _expected(self._unjudged, verdicts.step, message.kind)
            self._verdicts[verdicts.step] = verdicts
        else:
            raise ProtocolError(f"wrong message (expected StepCrops or StepVerdicts, found {message.kind})")


class VariantClient:
    """Request the rounds of offline synthesis: one reply for each request."""

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)

    def ask(
        self, question: feed_pb2.VariantRequest | feed_pb2.RoundMeasures
    ) -> tuple[feed_pb2.VariantRound, dict[str, Tensor]]:
        self._socket.send(question)
        message = self._socket.receive()
        if message.kind != _PACKAGE + "VariantRound":
            raise ProtocolError(f"wrong message (expected VariantRound, found {message.kind})")
        return feed_pb2.VariantRound.FromString(message.body), dict(message.tensors)

    def tell(self, written: feed_pb2.VariantWritten) -> None:
        self._socket.send(written)

    def close(self) -> None:
        self._socket.close()


class CaseClient:
    """Request cases one by one."""

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)

    def next(self) -> str | None:
        self._socket.send(feed_pb2.CaseRequest())
        message = self._socket.receive()
        if message.kind != _PACKAGE + "CaseOrder":
            raise ProtocolError(f"wrong message (expected CaseOrder, found {message.kind})")
        order = feed_pb2.CaseOrder.FromString(message.body)
        return None if order.finished else order.case_id

    def progress(self, case_id: str, done: int, total: int) -> None:
        self._socket.send(feed_pb2.CaseProgress(case_id=case_id, done=done, total=total))

    def done(self, case_id: str, json: str) -> None:
        self._socket.send(feed_pb2.CaseDone(case_id=case_id, json=json))

    def close(self) -> None:
        self._socket.close()


def _expected(steps: set[int], step: int, kind: str) -> None:
    if step not in steps:
        raise ProtocolError(f"{kind} of step {step} was not requested")
    steps.remove(step)
