"""A rank's end of the feed: a ZeroMQ DEALER that asks for steps and sends measures. For the training thread only."""

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
# Steps requested and not yet acknowledged. With a verdict each, their replies fit below the high water marks.
_MAX_OPEN = 8


class FeedSocket:
    """Messages to and from the feeder, in order.

    Every call that waits notices a feeder that is gone and raises Stopped; a feeder that lives but is slow is waited
    for, however long it takes. `token` is the job's secret: the feeder drops what comes without it. Raises
    EnvironmentError when nobody answers at the address, ProtocolError when a
    message is missing.
    """

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.ROUTING_ID, f"rank-{rank}.{token}".encode())
        self._socket.maxmsgsize = MAX_FRAME_BYTES
        self._socket.sndhwm = self._socket.rcvhwm = _HIGH_WATER_MARK
        # ZeroMQ itself hides that the other side went: it would try to connect again, for ever.
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._sent = self._received = 0
        self._socket.connect(address)
        if not wait_awake(lambda seconds: self._monitor.poll(int(seconds * 1000)), _CONNECT_SECONDS):
            self.close()
            raise EnvironmentError(f"nobody answers at {address} after {_CONNECT_SECONDS} s")
        recv_monitor_message(self._monitor)

    def close(self) -> None:
        """Sends what is queued, measures of the last step for instance, unless the feeder takes none of it."""
        self._context.destroy(linger=_LAST_WORD_SECONDS * 1000)

    def send(self, body: ProtobufMessage, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Tensors are not copied: they must not be written to again."""
        message = Message(_PACKAGE + type(body).__name__, body.SerializeToString(), tensors or {})
        frames = encode_message(message, self._sent)
        self._when(zmq.POLLOUT, lambda: self._socket.send_multipart(frames, zmq.NOBLOCK, copy=tensors is None))
        self._sent += 1

    def receive(self) -> Message:
        """The next message; waits for it."""
        frames = self._when(zmq.POLLIN, lambda: self._socket.recv_multipart(zmq.NOBLOCK, copy=False))
        message, sequence = decode_message([frame.buffer for frame in frames])
        if sequence != self._received:
            raise ProtocolError(f"message {self._received} of the feeder is lost: message {sequence} came")
        self._received += 1
        return message

    def _when(self, readiness: int, act: Callable[[], T]) -> T:
        """Acts at once where the socket is ready, as it mostly is: asking first costs as much as a small message."""
        while True:
            try:
                return act()
            except zmq.Again:
                self._wait(readiness)

    def _wait(self, readiness: int) -> None:
        """Until the socket can be read or written; what has come already counts even when the feeder is gone since."""
        while True:
            ready = dict(zmq.zmq_poll([(self._socket, readiness), (self._monitor, zmq.POLLIN)], -1))
            if self._socket in ready:
                return
            if recv_monitor_message(self._monitor)["event"] == zmq.EVENT_DISCONNECTED:
                raise Stopped("the process that feeds this rank is gone")


class FeedClient:
    """A training's end. Replies may come in any order; each is kept until its step is asked for.

    Raises ProtocolError when something comes that was not asked for; else as FeedSocket does.
    """

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)
        self._open: set[int] = set()
        self._awaited: set[int] = set()
        self._unjudged: set[int] = set()
        self._crops: dict[int, tuple[feed_pb2.StepCrops, dict[str, Tensor]]] = {}
        self._verdicts: dict[int, feed_pb2.StepVerdicts] = {}

    def request(self, step: int) -> None:
        """Asks for a step; asking again before `ack` changes nothing. Raises UsageError when 8 steps are open."""
        if step in self._open:
            return
        if len(self._open) >= _MAX_OPEN:
            raise UsageError(f"{_MAX_OPEN} steps are open: acknowledge one before step {step} is requested")
        self._open.add(step)
        self._awaited.add(step)
        self._socket.send(feed_pb2.StepRequest(step=step))

    def crops(self, step: int) -> tuple[feed_pb2.StepCrops, dict[str, Tensor]]:
        """The crops of a requested step with their tensors by name, once; waits for them.

        Raises UsageError when the step was not requested or was taken already.
        """
        while step not in self._crops:
            if step not in self._awaited:
                raise UsageError(f"the crops of step {step} were not requested, or were taken already")
            self._receive()
        return self._crops.pop(step)

    def send_measures(self, measures: feed_pb2.StepMeasures) -> None:
        if measures.wants_verdicts:
            self._unjudged.add(measures.step)
        self._socket.send(measures)

    def verdicts(self, step: int) -> feed_pb2.StepVerdicts:
        """The verdicts on a step whose measures were sent and want them, once; waits. Raises UsageError otherwise."""
        while step not in self._verdicts:
            if step not in self._unjudged:
                raise UsageError(f"the verdicts of step {step} were not asked for, or were taken already")
            self._receive()
        return self._verdicts.pop(step)

    def ack(self, step: int) -> None:
        """Says that the step's tensors are no longer needed."""
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
            raise ProtocolError(f"the feeder sent {message.kind!r}, which a rank does not know")


class VariantClient:
    """Offline synthesis' end: one question, one answer."""

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)

    def ask(
        self, question: feed_pb2.VariantRequest | feed_pb2.RoundMeasures
    ) -> tuple[feed_pb2.VariantRound, dict[str, Tensor]]:
        self._socket.send(question)
        message = self._socket.receive()
        if message.kind != _PACKAGE + "VariantRound":
            raise ProtocolError(f"the feeder sent {message.kind!r}, VariantRound was expected")
        return feed_pb2.VariantRound.FromString(message.body), dict(message.tensors)

    def tell(self, written: feed_pb2.VariantWritten) -> None:
        self._socket.send(written)

    def close(self) -> None:
        self._socket.close()


class CaseClient:
    """The end of a job that is handed its cases one by one."""

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)

    def next(self) -> str | None:
        self._socket.send(feed_pb2.CaseRequest())
        message = self._socket.receive()
        if message.kind != _PACKAGE + "CaseOrder":
            raise ProtocolError(f"the feeder sent {message.kind!r}, CaseOrder was expected")
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
        raise ProtocolError(f"{kind} of step {step} came, which was not asked for")
    steps.remove(step)
