"""Rank 0's end of the control stream: it dials in, reports events, and is given commands."""

import queue
import threading
from collections.abc import Iterator

import grpc

from freetumor_runtime.bridge.frames import PROTOCOL
from freetumor_runtime.errors import EnvironmentError, Stopped
from freetumor_runtime.generated.freetumor.runtime.v1 import control_pb2, control_pb2_grpc

_WELCOME_SECONDS = 30
_LAST_WORD_SECONDS = 10


class ControlClient:
    """One bidirectional stream; commands are collected by a thread and polled by the training thread."""

    def __init__(self, address: str, token: str, hello: control_pb2.Hello) -> None:
        hello.protocol, hello.token = PROTOCOL, token
        self._outgoing: queue.SimpleQueue[control_pb2.AttachRequest | None] = queue.SimpleQueue()
        self._commands: queue.SimpleQueue[control_pb2.Command] = queue.SimpleQueue()
        self._welcomed, self._ended = threading.Event(), threading.Event()
        self._failure: grpc.RpcError | None = None
        self._channel = grpc.insecure_channel(address)
        self._outgoing.put(control_pb2.AttachRequest(hello=hello))
        stub = control_pb2_grpc.ControlServiceStub(self._channel)
        self._responses = stub.Attach(iter(self._requests()))
        threading.Thread(target=self._listen, daemon=True).start()
        self._welcomed.wait(_WELCOME_SECONDS)
        if not self._welcomed.is_set() or self._failure is not None:
            details = self._failure.details() if self._failure is not None else "no answer"
            raise EnvironmentError(f"the control stream at {address} was refused: {details}")

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def report(self, event: control_pb2.JobEvent) -> None:
        self._send(control_pb2.AttachRequest(event=event))

    def ack(self, id: int, step: int, error: str) -> None:
        self._send(control_pb2.AttachRequest(ack=control_pb2.CommandAck(id=id, step=step, error=error)))

    def poll_commands(self) -> list[control_pb2.Command]:
        """Commands that came since the last call, in order."""
        commands = []
        while not self._commands.empty():
            commands.append(self._commands.get())
        return commands

    def close(self) -> None:
        """Sends what is queued, then ends the stream."""
        self._outgoing.put(None)
        self._ended.wait(_LAST_WORD_SECONDS)
        self._channel.close()

    def _send(self, request: control_pb2.AttachRequest) -> None:
        if not self.alive:
            raise Stopped("the control stream has ended: the process that started this job is gone")
        self._outgoing.put(request)

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
