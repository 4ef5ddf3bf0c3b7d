"""torchrun on one of several nodes: run by its path, by any Python that has torch.

    join.py NODES NODE_RANK HOST:PORT WAIT_SECONDS -- TORCHRUN_ARGS...

Node 0 opens the store at HOST:PORT, the other nodes register in it, and then torchrun uses it (static rendezvous, so
that NODE_RANK determines the ranks of a node). Each node registers once in a store. A restarted node that finds itself
registered has reached the store of an earlier start. It reports this (`_AGAIN`), node 0 restarts with a new store, and
the node registers there. A rank's failure (`_OVER`) reaches every node in the same way and ends the job there.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from datetime import timedelta
from pathlib import Path

from torch.distributed import DistError, TCPStore
from torch.distributed.run import main as torchrun

_OVER = "freetumor/over"
_AGAIN = "freetumor/again"
_CONNECT_SECONDS = 10
_LOOK_EVERY_SECONDS = 1
# After this time it is known why node 0's store ended: the job is done, or its ranks have reported a failure.
_LAST_WORDS_SECONDS = 10


class NotMet(Exception):
    """The rendezvous of the nodes failed; `kind` as in freetumor_runtime.errors."""

    kind = "runtime"


class NoPlace(NotMet):
    kind = "environment"


def main(nodes: int, node: int, endpoint: str, wait_seconds: float, torchrun_args: list[str]) -> None:
    host, port = endpoint.rsplit(":", 1)
    try:
        store = _open_store(host, int(port), nodes) if node == 0 else _take_seat(host, int(port), node, wait_seconds)
        # torch does not declare this method
        own = store.clone()  # pyright: ignore[reportAttributeAccessIssue]
        threading.Thread(target=_watch, args=(own, node), daemon=True).start()
        if node == 0:
            _await_seats(store, nodes, endpoint, wait_seconds)
    except NotMet as error:
        _record(str(error), kind=error.kind)
        sys.exit(str(error))
    if "FREETUMOR_CONTROL" in os.environ:
        from freetumor_runtime.launcher.stops import leave_stops_to_ranks

        leave_stops_to_ranks()
    torchrun(torchrun_args)


def _open_store(host: str, port: int, nodes: int) -> TCPStore:
    """Return node 0's store; torchrun opens a store at the same port later, in this process, and gets this one.

    It listens at HOST only: a TCPStore that opens its own socket listens on every interface.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            # the store closes the descriptor that it is given
            descriptor = listener.detach()
        return TCPStore(host, port, nodes, True, wait_for_workers=False, multi_tenant=True, master_listen_fd=descriptor)
    except (OSError, DistError) as error:
        reason = str(error).splitlines()[0]
        raise NoPlace(f"node 0 cannot listen at {host}:{port}: {reason}") from error


def _await_seats(store: TCPStore, nodes: int, endpoint: str, wait_seconds: float) -> None:
    for node in range(1, nodes):
        try:
            store.wait([_seat(node)], timedelta(seconds=wait_seconds))
        except DistError as error:
            raise NotMet(f"timed out: node {node} did not connect to {endpoint} within {wait_seconds:.0f} s") from error


def _take_seat(host: str, port: int, node: int, wait_seconds: float) -> TCPStore:
    life, told = uuid.uuid4().hex, False
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        try:
            # connect first: torch's own client logs a page for each failed connection
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
            store = TCPStore(host, port, is_master=False, wait_for_workers=False)
            if store.compare_set(_seat(node), "", life).decode() == life:
                return store
            if not told:
                print(
                    f"node {node} is registered at {host}:{port} from an earlier start: waiting for node 0",
                    flush=True,
                )
            told = True
            store.set(_AGAIN, f"node {node}")
        except (OSError, DistError):
            pass  # node 0 does not listen yet, or has exited
        time.sleep(_LOOK_EVERY_SECONDS)
    raise NotMet(f"timed out: no answer of node 0 at {host}:{port} within {wait_seconds:.0f} s")


def _watch(store: TCPStore, node: int) -> None:
    """End this node's part when the job ends on another node; its ranks end with this process."""
    try:
        while True:
            time.sleep(_LOOK_EVERY_SECONDS)
            if store.check([_OVER]):
                failure = json.loads(store.get(_OVER))
                if failure["node"] != node:
                    _record(**failure)
                    _end(f"node {failure['node']}: {failure['message']}")
            if node == 0 and store.check([_AGAIN]):
                message = f"connection closed: {store.get(_AGAIN).decode()} has restarted"
                _record(message)
                _end(message)
    except DistError:
        if "FREETUMOR_CONTROL" not in os.environ:
            return  # the ranks of a user's own script may continue without node 0
        time.sleep(_LAST_WORDS_SECONDS)
        _record("connection closed: node 0 is gone")
        _end("connection closed: node 0 is gone")


def _end(reason: str) -> None:
    print(reason, file=sys.stderr, flush=True)
    os._exit(1)


def _record(
    message: str, kind: str = "runtime", hint: str = "", traceback: str = "", rank: int = -1, **_: object
) -> None:
    """Write a failure next to those that ranks record (wiring.record_failure); rank -1: of no rank."""
    folder = Path(os.environ["FREETUMOR_FAILURES"])
    folder.mkdir(parents=True, exist_ok=True)
    known = {"rank": rank, "kind": kind, "message": message, "hint": hint, "traceback": traceback}
    aside = folder / f"hosts.{os.getpid()}.tmp"
    aside.write_text(json.dumps({**known, "time": time.time()}), encoding="utf-8")
    aside.rename(folder / "hosts.json")


def _seat(node: int) -> str:
    return f"freetumor/seat/{node}"


if __name__ == "__main__":
    nodes, node, endpoint, wait_seconds, separator, *rest = sys.argv[1:]
    assert separator == "--"
    main(int(nodes), int(node), endpoint, float(wait_seconds), rest)
