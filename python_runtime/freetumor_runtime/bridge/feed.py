"""A rank's end of the feed: a ZeroMQ DEALER that asks for steps and sends measures. For the training thread only."""

import os

import zmq
from torch import Tensor

from freetumor_runtime.bridge.frames import Message, decode_message, encode_message
from freetumor_runtime.errors import Stopped
from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2

_PACKAGE = "freetumor.runtime.v1."
_POLL_MS = 200


class FeedClient:
    """Replies may come in any order; each is kept until its step is asked for."""

    def __init__(self, address: str, rank: int) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.ROUTING_ID, f"rank-{rank}".encode())
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 16
        self._socket.connect(address)
        self._sequence = 0
        self._requested: set[int] = set()
        self._frames: dict[int, tuple[feed_pb2.StepFrames, dict[str, Tensor]]] = {}
        self._verdicts: dict[int, feed_pb2.StepVerdicts] = {}
        self._parent = os.getppid()

    def request(self, step: int) -> None:
        """Asks for a step; asking again changes nothing."""
        if step not in self._requested:
            self._requested.add(step)
            self._send(feed_pb2.StepRequest(step=step))

    def frames(self, step: int) -> tuple[feed_pb2.StepFrames, dict[str, Tensor]]:
        """The crops of a requested step with their tensors; waits."""
        while step not in self._frames:
            self._receive()
        return self._frames.pop(step)

    def send_measures(self, measures: feed_pb2.StepMeasures) -> None:
        self._send(measures)

    def verdicts(self, step: int) -> feed_pb2.StepVerdicts:
        """The verdicts on a step whose measures were sent; waits."""
        while step not in self._verdicts:
            self._receive()
        return self._verdicts.pop(step)

    def ack(self, step: int) -> None:
        self._requested.discard(step)
        self._send(feed_pb2.StepAck(step=step))

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _send(self, body) -> None:
        message = Message(_PACKAGE + type(body).__name__, body.SerializeToString(), {})
        self._socket.send_multipart(encode_message(message, self._sequence))
        self._sequence += 1

    def _receive(self) -> None:
        while not self._socket.poll(_POLL_MS):
            if os.getppid() != self._parent:
                raise Stopped("the process that feeds this rank is gone")
        frames = self._socket.recv_multipart(copy=False)
        message, _sequence = decode_message([frame.buffer for frame in frames])
        if message.kind == _PACKAGE + "StepFrames":
            step_frames = feed_pb2.StepFrames.FromString(message.body)
            self._frames[step_frames.step] = (step_frames, dict(message.tensors))
        elif message.kind == _PACKAGE + "StepVerdicts":
            verdicts = feed_pb2.StepVerdicts.FromString(message.body)
            self._verdicts[verdicts.step] = verdicts
