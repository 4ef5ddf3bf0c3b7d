"""A warm runtime's end of its calls. It asks ahead, so that a volume travels while another is worked on."""

from torch import Tensor

from freetumor_runtime.bridge.feed import FeedSocket
from freetumor_runtime.bridge.frames import ProtocolError
from freetumor_runtime.generated.freetumor.runtime.v1 import calls_pb2

_PACKAGE = "freetumor.runtime.v1."
# One in hand and one on its way.
_REQUESTS = 2


class CallClient:
    """Raises as FeedSocket does; for one thread."""

    def __init__(self, address: str, rank: int, token: str) -> None:
        self._socket = FeedSocket(address, rank, token)
        self._requested = 0

    def next(self) -> tuple[calls_pb2.Call, dict[str, Tensor]]:
        """The next call with its tensors; waits for it, however long that takes."""
        while self._requested < _REQUESTS:
            self._socket.send(calls_pb2.CallRequest())
            self._requested += 1
        message = self._socket.receive()
        if message.kind != _PACKAGE + "Call":
            raise ProtocolError(f"{message.kind!r} came, Call was expected")
        self._requested -= 1
        return calls_pb2.Call.FromString(message.body), dict(message.tensors)

    def answer(self, result: calls_pb2.CallResult, tensors: dict[str, Tensor]) -> None:
        """The tensors must not be written to again."""
        self._socket.send(result, tensors)

    def close(self) -> None:
        self._socket.close()
