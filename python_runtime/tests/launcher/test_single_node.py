"""The rendezvous of the ranks of one node."""

import os
import socket

import torch.distributed as dist

from freetumor_runtime.launcher import single_node
from freetumor_runtime.training.ranks import _store


def listening_at(port):
    """The hexadecimal addresses at which anything listens on a port."""
    found = []
    for version in ("tcp", "tcp6"):
        with open(f"/proc/net/{version}") as table:
            fields = [line.split() for line in table.read().splitlines()[1:]]
        found += [line[1].split(":")[0] for line in fields if line[3] == "0A" and line[1].endswith(f":{port:04X}")]
    return found


def test_the_store_of_a_script_listens_on_loopback_only():
    store = single_node.loopback_store()
    store.set("key", "value")
    assert store.get("key") == b"value"
    assert listening_at(store.port) == ["0100007F"]


def test_the_agent_keeps_its_state_in_memory_and_leads_ranks_nowhere():
    rendezvous = single_node.SingleNode("run", None)
    given = rendezvous.next_rendezvous()
    assert isinstance(given.store, dist.HashStore)
    assert (given.rank, given.world_size, given.bootstrap_store_info.master_port) == (0, 1, 0)
    assert not rendezvous.use_agent_store


def test_garbage_on_the_port_of_the_store_changes_nothing():
    store = single_node.loopback_store()
    for payload in (b"\x80\x04garbage", os.urandom(1 << 16), b"\0" * 64):
        with socket.create_connection(("127.0.0.1", store.port)) as stranger:
            stranger.sendall(payload)
    store.set("key", "value")
    assert store.get("key") == b"value"


def test_ranks_of_one_node_share_a_private_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FREETUMOR_STORE", str(tmp_path / "store"))
    given = _store(0, 2)
    assert isinstance(given["store"], dist.FileStore)
    assert (given["rank"], given["world_size"]) == (0, 2)
    monkeypatch.delenv("FREETUMOR_STORE")
    assert _store(0, 2) == {}
