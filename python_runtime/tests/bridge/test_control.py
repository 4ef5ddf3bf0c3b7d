"""Rank 0's end of the control stream, against a server in the test."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from freetumor_runtime.bridge import control
from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.bridge.protocol import PROTOCOL
from freetumor_runtime.errors import EnvironmentError, Stopped
from freetumor_runtime.generated.freetumor.runtime.v1 import control_pb2, control_pb2_grpc


class Service(control_pb2_grpc.ControlServiceServicer):
    """Welcomes, then sends what `say` is given; None ends the stream. `heard` has every request."""

    def __init__(self):
        self.heard = queue.SimpleQueue()
        self.ended = threading.Event()
        self.refusal = None
        self.silent = False
        self._out = queue.SimpleQueue()

    def say(self, command):
        self._out.put(command)

    def Attach(self, requests, context):
        self.heard.put(next(requests))
        if self.refusal:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, self.refusal)
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()
        if not self.silent:
            yield control_pb2.AttachResponse(welcome=control_pb2.Welcome(protocol=PROTOCOL))
        while (command := self._out.get()) is not None:
            yield control_pb2.AttachResponse(command=command)

    def _listen(self, requests):
        try:
            for request in requests:
                self.heard.put(request)
        except grpc.RpcError:
            pass
        finally:
            self.ended.set()
            self._out.put(None)


@pytest.fixture
def hosted(tmp_path):
    service = Service()
    server = grpc.server(ThreadPoolExecutor(2))
    control_pb2_grpc.add_ControlServiceServicer_to_server(service, server)
    address = f"unix:{tmp_path}/control.sock"
    server.add_insecure_port(address)
    server.start()
    yield service, address
    service.say(None)
    server.stop(0).wait()


def attach(address):
    return ControlClient(address, "secret", control_pb2.Hello(run_id="run", world_size=2))


def polled(client, count):
    commands = []
    while len(commands) < count:
        commands += client.poll_commands()
    return commands


def test_the_first_word_is_a_hello_with_protocol_and_token(hosted):
    service, address = hosted
    client = attach(address)
    hello = service.heard.get().hello
    assert (hello.protocol, hello.token, hello.run_id, hello.world_size) == (PROTOCOL, "secret", "run", 2)
    assert client.alive and client.poll_commands() == []
    client.close()


def test_commands_come_in_order_and_answers_and_events_go_out_in_order(hosted):
    service, address = hosted
    client = attach(address)
    service.say(control_pb2.Command(id=1, set_learning_rate=control_pb2.SetLearningRate(learning_rate=5e-5)))
    service.say(control_pb2.Command(id=2, stop=control_pb2.Stop(reason="enough")))
    first, second = polled(client, 2)
    assert first.set_learning_rate.learning_rate == 5e-5 and second.stop.reason == "enough"
    client.ack(1, 12, "")
    client.report(control_pb2.JobEvent(finished=control_pb2.Finished(step=12, outcome="stopped", reason="enough")))
    client.ack(2, 12, "too late")
    client.close()
    service.heard.get()
    said = [service.heard.get() for _ in range(3)]
    assert [one.WhichOneof("message") for one in said] == ["ack", "event", "ack"]
    assert (said[0].ack.id, said[0].ack.step, said[2].ack.error) == (1, 12, "too late")


def test_closing_sends_all_that_was_reported_before(hosted):
    service, address = hosted
    client = attach(address)
    for step in range(500):
        client.report(control_pb2.JobEvent(step_done=control_pb2.StepDone(step=step)))
    client.close()
    assert service.ended.wait(10)
    service.heard.get()
    assert [service.heard.get().event.step_done.step for _ in range(500)] == list(range(500))


def test_a_refusal_is_an_error_with_the_reason_of_the_other_side(hosted):
    service, address = hosted
    service.refusal = "the token is wrong"
    with pytest.raises(EnvironmentError, match="was refused: the token is wrong"):
        attach(address)


def test_the_wait_for_a_silent_server_ends(hosted, monkeypatch):
    service, address = hosted
    service.silent = True
    monkeypatch.setattr(control, "_WELCOME_SECONDS", 0.1)
    with pytest.raises(EnvironmentError, match=r"no answer after 0\.1 s"):
        attach(address)


def test_no_server_at_all_is_an_error_that_names_the_address(tmp_path):
    with pytest.raises(EnvironmentError, match=f"{tmp_path}/nobody.sock was refused"):
        attach(f"unix:{tmp_path}/nobody.sock")


def test_after_the_other_side_has_hung_up_reporting_is_a_stop_and_what_came_before_is_still_there(hosted):
    service, address = hosted
    client = attach(address)
    service.say(control_pb2.Command(id=7, pause=control_pb2.Pause()))
    service.say(None)
    assert client._ended.wait(10)
    assert not client.alive
    with pytest.raises(Stopped, match="the control stream has ended"):
        client.report(control_pb2.JobEvent())
    assert [command.id for command in client.poll_commands()] == [7]
    client.close()
