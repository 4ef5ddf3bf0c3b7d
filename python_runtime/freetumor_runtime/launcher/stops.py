"""Handle stop signals in the launcher of a freetumor job; scripts of `freetumor launch` have a grace period instead."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def leave_stops_to_ranks() -> None:
    """Forward SIGTERM to the ranks, and ignore signals that a terminal or a job scheduler sends to every process.

    torchrun alone kills its ranks 30 s after such a signal, and a step with its checkpoint may take longer. The ranks
    save between two steps and exit (training/boundary.py); then torchrun exits.
    """
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"
    signal.signal(signal.SIGTERM, lambda *_: _signal_children(signal.SIGTERM))
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)


def _signal_children(number: signal.Signals) -> None:
    for children in Path("/proc/self/task").glob("*/children"):
        # a thread may end while its file is read: an error here would end torchrun, not only the signal
        with suppress(OSError):
            for pid in children.read_text(encoding="utf-8").split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), number)
