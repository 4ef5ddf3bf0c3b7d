"""Receive calls in a warm runtime and answer them.

Calls are requested ahead, so that a volume is sent while another is processed.
"""

from torch import Tensor

from freetumor_runtime.bridge.feed import FeedSocket
from freetumor_runtime.bridge.frames import ProtocolError
from freetumor_runtime.generated.freetumor.runtime.v1 import calls_pb2

_PACKAGE = "freetumor.runtime.v1."
# one call in work and one on its way
_REQUESTS = 2


class CallClient:
    """Receive calls and send results. Use it in one thread; it raises the errors of FeedSocket."""

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)
        self._requested = 0

    def next(self) -> tuple[calls_pb2.Call, dict[str, Tensor]]:
        """Wait without limit for the next call; return it with its tensors."""
        while self._requested < _REQUESTS:
            self._socket.send(calls_pb2.CallRequest())
            self._requested += 1
        message = self._socket.receive()
        if message.kind != _PACKAGE + "Call":
            raise ProtocolError(f"wrong message (expected Call, found {message.kind})")
        self._requested -= 1
        return calls_pb2.Call.FromString(message.body), dict(message.tensors)

    def answer(self, result: calls_pb2.CallResult, tensors: dict[str, Tensor]) -> None:
        """Send a result without a copy: do not change the tensors afterwards."""
        self._socket.send(result, tensors)

    def close(self) -> None:
        self._socket.close()
