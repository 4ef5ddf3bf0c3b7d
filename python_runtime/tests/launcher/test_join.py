"""How hosts of a job meet: seats in node 0's store, and the word of a failure."""

import json
import socket

import pytest
from torch.distributed import TCPStore

from freetumor_runtime.launcher import join


def listening_at(port):
    found = []
    for version in ("tcp", "tcp6"):
        with open(f"/proc/net/{version}") as table:
            fields = [line.split() for line in table.read().splitlines()[1:]]
        found += [line[1].split(":")[0] for line in fields if line[3] == "0A" and line[1].endswith(f":{port:04X}")]
    return found


@pytest.fixture
def store():
    """Node 0's, at a free port."""
    return TCPStore("127.0.0.1", 0, 2, True, wait_for_workers=False, multi_tenant=True)


@pytest.fixture
def failures(tmp_path, monkeypatch):
    monkeypatch.setenv("FREETUMOR_FAILURES", str(tmp_path / "failures"))
    return lambda: json.loads((tmp_path / "failures" / "hosts.json").read_text())


class Ended(BaseException):
    pass


@pytest.fixture
def ends(monkeypatch):
    """Where a launcher would end, the watch is left."""

    def end(reason):
        raise Ended(reason)

    monkeypatch.setattr(join, "_end", end)
    monkeypatch.setattr(join, "_LOOK_EVERY_SECONDS", 0.01)


def test_a_host_takes_its_seat_once_in_the_life_of_a_store(store, ends):
    taken = join._take_seat("127.0.0.1", store.port, 1, 5)
    join._await_seats(store, 2, "here", 5)
    assert not store.check(["freetumor/again"])
    with pytest.raises(join.NotMet, match="no answer of node 0 at"):
        join._take_seat("127.0.0.1", store.port, 1, 0.2)
    assert store.get("freetumor/again") == b"node 1"
    del taken


def test_node_0_ends_when_another_host_has_begun_again(store, ends, failures):
    store.set("freetumor/again", "node 1")
    with pytest.raises(Ended, match="node 1 has restarted"):
        join._watch(store, 0)
    assert failures()["kind"] == "runtime"
    # what others say who lost a partner is told by its words
    assert failures()["message"].startswith("connection closed")


def test_the_word_of_a_failure_is_that_of_every_host_but_its_own(store, ends, failures):
    failure = {"rank": 1, "kind": "data", "message": "case 7 is gone", "hint": "h", "traceback": "t", "node": 1}
    store.set("freetumor/over", json.dumps({**failure, "time": 1.0}))
    store.set("freetumor/again", "node 2")
    with pytest.raises(Ended, match="node 1: case 7 is gone"):
        join._watch(store, 0)
    told = failures()
    assert {key: told[key] for key in ("rank", "kind", "message", "hint", "traceback")} == {
        key: failure[key] for key in ("rank", "kind", "message", "hint", "traceback")
    }


def test_a_host_that_does_not_come_is_named(store):
    with pytest.raises(join.NotMet, match=r"node 1 did not connect to h:1 within 0 s"):
        join._await_seats(store, 2, "h:1", 0.05)


def test_a_port_that_is_taken_is_a_fault_of_the_host():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        with pytest.raises(join.NoPlace, match="cannot listen") as raised:
            join._open_store("127.0.0.1", other.getsockname()[1], 2)
    assert raised.value.kind == "environment"


def test_node_0_listens_at_the_address_of_the_rendezvous_only():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = join._open_store("127.0.0.1", port, 2)
    # torchrun opens it again in this process, and gets the same one
    again = TCPStore("127.0.0.1", port, 2, True, wait_for_workers=False, multi_tenant=True)
    store.set("key", "value")
    assert again.get("key") == b"value"
    assert listening_at(port) == ["0100007F"]
