"""A feeder for tests: a ROUTER in a thread that answers as the test says."""

import threading
from collections.abc import Callable

import torch
import zmq

from freetumor_runtime.bridge.frames import Message, decode_message, encode_message
from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2

PACKAGE = "freetumor.runtime.v1."
_BODIES = {
    PACKAGE + name: getattr(feed_pb2, name)
    for name in ("StepRequest", "StepCrops", "StepMeasures", "StepVerdicts", "StepAck")
}


class Feeder:
    """Calls `answer(body)` for every message of the rank and sends what it returns: bodies of messages, each with its
    tensors. `heard` has every body that came."""

    def __init__(self, address: str, answer: Callable) -> None:
        self.heard: list = []
        self.sequence = 0
        self._answer = answer
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(address)
        self._stop, self._wake = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._stop.bind("inproc://stop")
        self._wake.connect("inproc://stop")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._wake.send(b"")
            self._thread.join()
        self._context.destroy(linger=0)

    def _serve(self) -> None:
        while True:
            ready = dict(zmq.zmq_poll([(self._socket, zmq.POLLIN), (self._stop, zmq.POLLIN)], -1))
            if self._stop in ready:
                return self._socket.close()
            rank, *parts = self._socket.recv_multipart()
            message, _ = decode_message([memoryview(part) for part in parts])
            body = _BODIES[message.kind].FromString(message.body)
            self.heard.append(body)
            for reply, tensors in self._answer(body) or []:
                kind = PACKAGE + type(reply).__name__
                frames = encode_message(Message(kind, reply.SerializeToString(), tensors), self.sequence)
                self._socket.send_multipart([rank, *frames])
                self.sequence += 1


def crops_of(step: int, value: int = 0) -> tuple:
    """The crops of a step: one whose image holds `value`."""
    crop = feed_pb2.Crop(item=step, crop=0, case_id="case", image_tensor="image", label_tensor="label")
    tensors = {
        "image": torch.full((2, 2, 2), value, dtype=torch.int16),
        "label": torch.zeros(2, 2, 2, dtype=torch.uint8),
    }
    return feed_pb2.StepCrops(step=step, crops=[crop]), tensors


def verdicts_of(step: int) -> tuple:
    return feed_pb2.StepVerdicts(step=step, verdicts=[feed_pb2.Verdict(item=step, accepted=True)]), {}
