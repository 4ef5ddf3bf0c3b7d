"""The process of a plug-in: started from a list of words, never by a shell, and ended with its descendants."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from freetumor_runtime.foreign_text import visible
from freetumor_runtime.plugins.messages import Closed, TooLate

_GUARD = Path(__file__).with_name("guard.py")
_TAIL_BYTES, _TAIL_LINES, _LINE_CHARACTERS = 8 << 10, 3, 200
_POLL_SECONDS = 0.05
# the guard gives its plug-in 2 s, then kills it
_END_SECONDS = 8.0
_RANK = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OURS = ("FREETUMOR_", "TORCHELASTIC_", "PYTHON", "LOCAL_WORLD_", "GROUP_WORLD_", "ROLE_WORLD_", "PET_", "VIRTUAL_ENV")
# the supervisor of a run finds its processes by this variable
_KEPT = "FREETUMOR_RUN_ID"


class PluginProcess:
    """A plug-in that runs, and its only connection."""

    def __init__(self, command: Sequence[str], values: Mapping[str, str]) -> None:
        """Start `command`, with the placeholders of `values` and the path of the socket filled in."""
        self._folder = tempfile.mkdtemp(prefix="freetumor-plugin-")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection: socket.socket | None = None
        path = os.path.join(self._folder, "socket")
        self._listener.bind(path)
        self._listener.listen(1)
        filled = {**values, "socket": path}
        words = [filled_in(word, filled) for word in command]
        self._output = bytearray()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(_GUARD), path, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(filled),
        )
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def accept(self, deadline: float) -> socket.socket:
        """Return the connection once the plug-in has opened it. Raises Closed if it ends before, TooLate."""
        while time.monotonic() < deadline:
            self._listener.settimeout(_POLL_SECONDS)
            with suppress(TimeoutError):
                self.connection, _ = self._listener.accept()
                # no second connection
                self._listener.close()
                return self.connection
            if self._guard.poll() is not None:
                raise Closed("ended before it connected")
        raise TooLate("did not connect in time")

    def how_ended(self) -> str | None:
        """Return how the process ended, after a moment for it to do so; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            code = self._guard.wait(1)
            if code > 128:
                with suppress(ValueError):
                    return signal.Signals(code - 128).name
            return f"exit code {code}"
        return None

    def ends_within(self, seconds: float) -> bool:
        """Wait for the process to end by itself; return whether it did."""
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(seconds)
        return self._guard.poll() is not None

    def last_lines(self) -> str:
        """Return the end of its output for a message, with characters that act on a terminal spelled out."""
        if self._guard.poll() is not None:
            self._reader.join(1)
        lines = [line.strip() for line in self._output.decode(errors="replace").splitlines() if line.strip()]
        return " | ".join(visible(line)[:_LINE_CHARACTERS] for line in lines[-_TAIL_LINES:])

    def close(self) -> None:
        """End the plug-in and its descendants; return when they have ended."""
        for end in (self.connection, self._listener):
            if end is not None:
                end.close()
        assert self._guard.stdin is not None
        with suppress(OSError):
            self._guard.stdin.close()
        try:
            self._guard.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # the kernel kills the plug-in with its guard
            self._guard.kill()
            self._guard.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _drain(self) -> None:
        """Keep the end of the output: a full pipe would block the plug-in."""
        assert self._guard.stdout is not None
        with suppress(OSError, ValueError):
            while chunk := os.read(self._guard.stdout.fileno(), 64 << 10):
                self._output += chunk[-_TAIL_BYTES:]
                del self._output[:-_TAIL_BYTES]


def filled_in(word: str, values: Mapping[str, str]) -> str:
    """Return a word of a command with its placeholders filled in."""
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a plug-in: ours without secrets, ranks and Python paths, and the values."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == _KEPT or (name not in _RANK and not name.startswith(_OURS))
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), values["threads"])
    fixed = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    own = {f"FREETUMOR_PLUGIN_{name.upper()}": value for name, value in values.items()}
    return {**inherited, **threads, **fixed, **own}
