"""What reading a checkpoint file does to a process that is already warm."""

import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from freetumor_runtime.checkpoints.checkpoint_file import read_checkpoint
from freetumor_runtime.errors import CheckpointError


@dataclass(frozen=True)
class Reading:
    """`outcome`: the refusal's message, `read` where there was none, else what the process died of."""

    outcome: str
    refused: bool
    seconds: float
    megabytes: float


def read_in_a_fork(path: str, read: Callable[[str], object] = read_checkpoint) -> Reading:
    """Reads the file in a fork of this process: time, and peak memory above what the fork began with."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        os.write(into, pickle.dumps(_reading(path, read)))
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(child, 0)
    return pickle.loads(answer) if answer else Reading(f"died with status {status}", False, 0, 0)


def _reading(path: str, read: Callable[[str], object]) -> Reading:
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back
    before, started = _kibibytes("VmRSS"), time.perf_counter()
    outcome, refused = "read", False
    try:
        read(path)
    except CheckpointError as error:
        outcome, refused = str(error), True
    except BaseException as error:
        outcome = repr(error)
    seconds = time.perf_counter() - started
    return Reading(outcome, refused, seconds, (_kibibytes("VmHWM") - before) / 1024)


def _kibibytes(line: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(next(one for one in text.splitlines() if one.startswith(f"{line}:")).split()[1])
