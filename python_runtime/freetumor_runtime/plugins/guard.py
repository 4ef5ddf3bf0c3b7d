"""Run a plug-in, and end it with all its descendants when standard input ends: then the rank that started it has ended.

guard.py SOCKET PROGRAM ARGUMENT...        remove SOCKET and its folder at the end; a script without imports of the
                                           package, so that it starts in a few milliseconds
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_GRACE_SECONDS, _PAUSE_SECONDS = 2.0, 0.02
NOT_STARTED = 127


def main(socket: str, command: list[str]) -> int:
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        # descendants whose parents have ended become children of this process
        libc.prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        # this process has one thread yet, so code between fork and exec is safe
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=lambda: _follow_parent(libc)
        )
    except OSError as error:
        print(f"{command[0]}: cannot be started ({error.strerror})", file=sys.stderr)
        _remove(socket)
        return NOT_STARTED
    threading.Thread(target=_end_with_input, args=[socket, child.pid], daemon=True).start()
    code = child.wait()
    end_family(child.pid, 0)
    _remove(socket)
    return code if code >= 0 else 128 - code


def _follow_parent(libc: ctypes.CDLL) -> None:
    if sys.platform == "linux":
        libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_input(socket: str, child: int) -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    end_family(child, _GRACE_SECONDS)
    _remove(socket)
    os._exit(0)


def _remove(socket: str) -> None:
    """Remove the socket and its folder: a killed rank cannot."""
    with suppress(OSError):
        os.remove(socket)
    with suppress(OSError):
        os.rmdir(os.path.dirname(socket))


def end_family(child: int, grace_seconds: float) -> None:
    """Ask all descendants to end; kill those that remain after the grace period."""
    killing_from = time.monotonic() + grace_seconds
    last = killing_from + 5
    _signal(child, signal.SIGTERM)
    while time.monotonic() < last:
        _reap()
        if not _is_running(child):
            return
        if time.monotonic() >= killing_from:
            _signal(child, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _is_running(child: int) -> bool:
    if sys.platform == "linux":
        return len(_descendants()) > 0
    try:
        os.killpg(child, 0)
    except OSError:
        return False
    return True


def _signal(child: int, number: signal.Signals) -> None:
    with suppress(OSError):
        os.killpg(child, number)
    for pid in _descendants():
        with suppress(OSError):
            os.kill(pid, number)


def _reap() -> None:
    """Collect ended descendants; the plug-in itself may be collected here or by its own wait."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            pass


def _descendants() -> list[int]:
    """Return the running descendants of this process; none on systems without /proc."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", encoding="latin-1") as file:
                # after the name, which may hold anything: state, parent
                state, parent = file.read().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(name)] = int(parent)
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found - {os.getpid()})
        found |= more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
