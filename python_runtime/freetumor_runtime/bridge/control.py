"""Connect rank 0 to the control stream: it reports events and receives commands."""

import queue
import threading
from collections.abc import Iterator
from urllib.parse import quote

import grpc

from freetumor_runtime.bridge.patience import wait_awake
from freetumor_runtime.bridge.protocol import PROTOCOL
from freetumor_runtime.errors import EnvironmentError, Stopped
from freetumor_runtime.generated.freetumor.runtime.v1 import control_pb2, control_pb2_grpc

_WELCOME_SECONDS = 30
_LAST_WORD_SECONDS = 10


class ControlClient:
    """One bidirectional stream; commands are collected by a thread and polled by the training thread.

    `hello` needs no protocol and no token. Raises EnvironmentError with the server's reason if it refuses the stream.
    There are no keepalive pings: on a unix socket the stream ends when the peer exits.
    """

    def __init__(self, address: str, token: str, hello: control_pb2.Hello) -> None:
        hello.protocol, hello.token = PROTOCOL, token
        self._outgoing: queue.SimpleQueue[control_pb2.AttachRequest | None] = queue.SimpleQueue()
        self._commands: queue.SimpleQueue[control_pb2.Command] = queue.SimpleQueue()
        self._welcomed, self._ended = threading.Event(), threading.Event()
        self._failure: grpc.RpcError | None = None
        self._channel = grpc.insecure_channel(_uri(address))
        self._outgoing.put(control_pb2.AttachRequest(hello=hello))
        self._responses = control_pb2_grpc.ControlServiceStub(self._channel).Attach(self._requests())
        threading.Thread(target=self._listen, daemon=True).start()
        answered = wait_awake(self._welcomed.wait, _WELCOME_SECONDS)
        if not answered or not self.alive:
            reason = self._reason() if answered else f"no answer after {_WELCOME_SECONDS} s"
            self._hang_up()
            raise EnvironmentError(
                f"the control stream at {address} was refused: {reason}",
                "restart the job; it gets a new address and token",
            )

    @property
    def alive(self) -> bool:
        """Return whether the stream is open; False after either side has ended it."""
        return not self._ended.is_set()

    def report(self, event: control_pb2.JobEvent) -> None:
        """Queue the event without waiting. Raise Stopped if the stream has ended."""
        self._send(control_pb2.AttachRequest(event=event))

    def ack(self, id: int, step: int, error: str) -> None:
        """Report that a command takes effect from `step`, or failed with `error` ("" for success). Raise Stopped."""
        self._send(control_pb2.AttachRequest(ack=control_pb2.CommandAck(id=id, step=step, error=error)))

    def poll_commands(self) -> list[control_pb2.Command]:
        """Return the commands received since the last call, in order."""
        commands = []
        while not self._commands.empty():
            commands.append(self._commands.get())
        return commands

    def close(self) -> None:
        """Send queued events, then end the stream; return when the server has read all of them or has exited."""
        self._outgoing.put(None)
        self._ended.wait(_LAST_WORD_SECONDS)
        self._hang_up()

    def _hang_up(self) -> None:
        # wakes the gRPC thread that waits for the next request; otherwise this process could not exit
        self._outgoing.put(None)
        self._channel.close()

    def _send(self, request: control_pb2.AttachRequest) -> None:
        if not self.alive:
            raise Stopped(f"the control stream has ended: {self._reason()}", "resume the run to continue")
        self._outgoing.put(request)

    def _reason(self) -> str:
        details = self._failure.details() if isinstance(self._failure, grpc.Call) else None
        return details or "the process that started this job is gone"

    def _requests(self) -> Iterator[control_pb2.AttachRequest]:
        while (request := self._outgoing.get()) is not None:
            yield request

    def _listen(self) -> None:
        try:
            for response in self._responses:
                if response.WhichOneof("message") == "command":
                    self._commands.put(response.command)
                else:
                    self._welcomed.set()
        except grpc.RpcError as error:
            self._failure = error
        finally:
            self._ended.set()
            self._welcomed.set()


def _uri(address: str) -> str:
    """Encode the path of an address: gRPC in Python decodes `%41` and cuts at `?` and `#`, and TypeScript does not."""
    scheme, path = address.split(":", 1)
    return f"{scheme}:{quote(path)}"
