"""End each process together with the one that started it. Two mechanisms do it, because each misses some cases."""

import ctypes
import faulthandler
import os
import signal
import stat
import sys
import threading

_PR_SET_PDEATHSIG = 1
# exit code of a process that ended because its parent had ended; tests and readers of logs recognise it
EXIT_CODE = 97


def follow_parent() -> None:
    """End this process when its parent ends, or when the process at the other end of standard input does.

    On Linux the kernel kills this process when its parent exits. The parent is the launcher of the ranks, not the
    process that started the launcher. That one holds the other end of standard input, if this is a pipe.
    """
    die_with_parent()
    if _is_pipe(0):
        threading.Thread(target=_watch_standard_input, daemon=True).start()


def leave_signals_to_parent() -> None:
    """Ignore signals that a terminal or a job scheduler sends to every process: the parent decides when to stop.

    SIGTERM keeps its default handler until a training handles it between two steps (training/boundary.py).
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def keep_rank_log() -> None:
    """Write a rank's output to `node-N/rank-R/output.log` of the logs; on SIGUSR1, also the stacks of its threads."""
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
    """Request that the kernel kills this process when its parent ends (Linux). It also holds after an exec."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # the parent ended before the request
        os._exit(EXIT_CODE)


def _is_pipe(descriptor: int) -> bool:
    """Return whether a descriptor has a peer process: it is a pipe, or a socket, which Node uses as pipe."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _watch_standard_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(EXIT_CODE)
