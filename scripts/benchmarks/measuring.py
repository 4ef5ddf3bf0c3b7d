"""Commands measured side by side: seconds, processor seconds and the peak memory of a command's processes together."""

import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path


def alternate(ways: dict[str, list[str]], repeats: int, before_each=lambda: None) -> dict[str, list[dict]]:
    """Runs each way in turn, `repeats` times, so that a busy machine is busy for all of them."""
    runs: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, command in ways.items():
            before_each()
            runs[name].append(run(command))
    return runs


def summary(runs: list[dict]) -> dict:
    seconds = [one["seconds"] for one in runs]
    processor = statistics.median(one["processorSeconds"] for one in runs)
    return {"median": statistics.median(seconds), "seconds": seconds, "processorMedian": processor}


def run(command: list[str]) -> dict:
    """`{seconds, processorSeconds, peakBytes, stdout}` of a command that must succeed."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peaks: dict[int, int] = {}
    processor: dict[int, float] = {}
    watch = threading.Thread(target=_watch, args=(child, peaks, processor))
    watch.start()
    stdout, stderr = child.communicate()
    seconds = time.perf_counter() - started
    watch.join()
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}: {stderr[-2000:]}")
    return {
        "seconds": seconds,
        "processorSeconds": sum(processor.values()),
        "peakBytes": sum(peaks.values()),
        "stdout": stdout,
    }


def _watch(child: subprocess.Popen, peaks: dict[int, int], processor: dict[int, float]) -> None:
    # What the system keeps of an ended process counts the memory of its parent, and leaves out what nobody waited for.
    while child.poll() is None:
        for process in _family(child.pid):
            try:
                status = Path(f"/proc/{process}/status").read_text()
                peaks[process] = 1024 * int(status.split("VmHWM:")[1].split()[0])
                user, system = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
                processor[process] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
            except (OSError, IndexError):
                continue
        time.sleep(0.02)


def _family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(one for child in children for one in _family(int(child)))]
