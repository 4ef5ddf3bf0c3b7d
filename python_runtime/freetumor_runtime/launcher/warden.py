"""Kill the remaining processes of a script after the process that launched it has exited.

    warden.py RUN_ID        standard input is a pipe of the launching process

Members of the run are found by FREETUMOR_RUN_ID in their environment, so sessions and groups do not matter (Linux).
"""

import os
import signal
import sys
import time
from contextlib import suppress

_ROUNDS = 100
_PAUSE_SECONDS = 0.05


def main(run_id: str) -> None:
    while os.read(0, 1):
        pass
    for _ in range(_ROUNDS):
        members = family_of(run_id)
        if not members:
            return
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def family_of(run_id: str) -> list[int]:
    """Return the ids of the running processes of a run without this one; none on systems without /proc."""
    wanted = b"FREETUMOR_RUN_ID=" + run_id.encode()
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if name.isdigit() and int(name) != os.getpid() and wanted in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    main(sys.argv[1])
