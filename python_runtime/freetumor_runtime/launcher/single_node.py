"""Run torchrun for the ranks of one node without its TCP rendezvous; run by its path, by any Python that has torch.

    single_node.py [--tcp-store] -- TORCHRUN_ARGS...

torchrun's own single-node mode (`--standalone`) listens on every interface and unpickles what it reads there. Here the
agent keeps its state in its own memory. With `--tcp-store`, MASTER_ADDR and MASTER_PORT point to a TCPStore on
loopback, for scripts that call `init_process_group()`. Without it they point to no store: the ranks have their own.
"""

import os
import socket
import sys
import uuid

from torch.distributed import HashStore, TCPStore
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)
from torch.distributed.run import main as torchrun

_LOOPBACK = "127.0.0.1"
_BACKEND = "freetumor"


class SingleNode(RendezvousHandler):
    """A rendezvous that one agent completes alone, once: a restart is a new process."""

    def __init__(self, run_id: str, tcp_store: TCPStore | None) -> None:
        self._run_id = run_id
        # the server ends with its last reference
        self._tcp_store = tcp_store

    @property
    def use_agent_store(self) -> bool:
        """Return whether ranks that use MASTER_ADDR are clients of the agent's store; they never serve one."""
        return self._tcp_store is not None

    def next_rendezvous(self) -> RendezvousInfo:
        port = 0 if self._tcp_store is None else self._tcp_store.port
        return RendezvousInfo(HashStore(), 0, 1, RendezvousStoreInfo(_LOOPBACK, port))

    def get_backend(self) -> str:
        return _BACKEND

    def get_run_id(self) -> str:
        return self._run_id

    def is_closed(self) -> bool:
        return False

    def set_closed(self) -> None:
        pass

    def num_nodes_waiting(self) -> int:
        return 0

    def shutdown(self) -> bool:
        return True


def main(serve_tcp_store: bool, torchrun_args: list[str]) -> None:
    store = loopback_store() if serve_tcp_store else None
    rendezvous_handler_registry.register(_BACKEND, lambda given: SingleNode(given.run_id, store))
    # torchrun resolves the full name of its node for its records; an unreachable name service would delay the start
    socket.getfqdn = lambda name="": name or socket.gethostname()
    place = ["--nnodes=1", f"--rdzv-backend={_BACKEND}", f"--rdzv-endpoint={_LOOPBACK}", f"--rdzv-id={uuid.uuid4()}"]
    if "FREETUMOR_CONTROL" in os.environ:
        from freetumor_runtime.launcher.stops import leave_stops_to_ranks

        leave_stops_to_ranks()
    torchrun([*place, *torchrun_args])
    # the ranks have ended; the teardown of PyTorch would take as long as a third of its import
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def loopback_store() -> TCPStore:
    """Return a TCPStore that listens on loopback only: by itself it listens on every interface."""
    with socket.create_server((_LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        # the store closes the descriptor that it is given
        return TCPStore(_LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())


if __name__ == "__main__":
    options, torchrun_args = sys.argv[1:], []
    if "--" in options:
        at = options.index("--")
        options, torchrun_args = options[:at], options[at + 1 :]
    main("--tcp-store" in options, torchrun_args)
