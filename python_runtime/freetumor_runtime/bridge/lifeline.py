"""No process outlives the one that started it: two guards, because each alone has a hole."""

import ctypes
import faulthandler
import os
import signal
import stat
import sys
import threading

_PR_SET_PDEATHSIG = 1
# Tells a test, and who reads a log, that the process ended because it was orphaned.
EXIT_CODE = 97


def follow_parent() -> None:
    """Dies with the parent, and with whoever holds the other end of standard input.

    The kernel kills us when the parent does (Linux; the parent is the launcher of the ranks, not who started that);
    and when standard input is a pipe that was inherited from the first ancestor, its end is our end, too.
    """
    die_with_parent()
    if _is_pipe(0):
        threading.Thread(target=_watch_standard_input, daemon=True).start()


def leave_signals_to_parent() -> None:
    """Ignores what a terminal or a job scheduler sends to every process: who started us decides, and tells us.

    SIGTERM keeps its default until a training handles it between two steps (training/boundary.py).
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def keep_rank_log() -> None:
    """A rank's output goes to `node-N/rank-R/output.log` of the logs; so do, on SIGUSR1, the stacks of its threads."""
    directory, rank = os.environ.get("FREETUMOR_LOG_DIRECTORY"), os.environ.get("RANK")
    if directory is not None and rank is not None:
        folder = os.path.join(directory, f"node-{os.environ.get('GROUP_RANK', '0')}", f"rank-{rank}")
        os.makedirs(folder, exist_ok=True)
        log = os.open(os.path.join(folder, "output.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)


def die_with_parent() -> None:
    """Has the kernel kill this process, and what replaces it, when the one that started it ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It died before the kernel was told.
        os._exit(EXIT_CODE)


def _is_pipe(descriptor: int) -> bool:
    """A terminal or a file says nothing about who started us; Node's pipes are sockets."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _watch_standard_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(EXIT_CODE)
