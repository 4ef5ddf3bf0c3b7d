"""Measure commands in turns: seconds, processor seconds and the peak memory of a command's processes together."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path


def alternate(ways: dict[str, list[str]], repeats: int, before_each=lambda: None) -> dict[str, list[dict]]:
    """Run each way in turn, `repeats` times, so that other load on the machine affects all of them."""
    runs: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, command in ways.items():
            before_each()
            runs[name].append(run(command))
    return runs


def summary(runs: list[dict]) -> dict:
    seconds = [one["seconds"] for one in runs]
    processor = statistics.median(one["processorSeconds"] for one in runs)
    return {
        "median": statistics.median(seconds),
        "seconds": seconds,
        "processorMedian": processor,
    }


def run(command: list[str]) -> dict:
    """Return `{seconds, processorSeconds, peakBytes, largestProcessBytes, stdout}` of a command that must succeed."""
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
        "largestProcessBytes": max(peaks.values(), default=0),
        "stdout": stdout,
    }


def _watch(child: subprocess.Popen, peaks: dict[int, int], processor: dict[int, float]) -> None:
    # The system's record of an ended process counts the memory of its parent, and omits children without a wait.
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
        # of all threads: a child belongs to the thread that started it
        children = [
            one for path in Path(f"/proc/{process}/task").glob("*/children") for one in path.read_text().split()
        ]
    except OSError:
        return []
    return [process, *(one for child in children for one in _family(int(child)))]


class Server:
    """A process that answers each line of JSON with a line."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> dict:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args} ended with {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def turn_by_turn(servers: dict[str, Server], line: str, count: int, repeats: int) -> dict:
    """Request `count` things from each server in turn; return seconds and processor seconds per thing, medians over the
    turns.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for turn in range(repeats + 1):
        for name, server in servers.items():
            before = family_processor(server.process.pid)
            seconds = server.ask(line)["seconds"]
            used = family_processor(server.process.pid) - before
            if turn > 0:  # the first one warms up
                taken[name].append((seconds / count, used / count))
    row: dict = {}
    for name, turns in taken.items():
        seconds, used = ([turn[at] for turn in turns] for at in (0, 1))
        row[name] = {
            "median": statistics.median(seconds),
            "processorMedian": statistics.median(used),
            "turns": seconds,
        }
    ours, reference = row["ours"], row["reference"]
    row["ratio"] = reference["median"] / ours["median"]
    row["processorRatio"] = reference["processorMedian"] / ours["processorMedian"]
    return row


def family_processor(process: int) -> float:
    """Return processor seconds of a process and all below it, with those that have ended and were waited for."""
    total = 0.0
    for one in _family(process):
        try:
            ticks = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
            total += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            continue
    return total


def family_memory(process: int) -> int:
    """Return bytes in memory of a process and all below it, shared memory counted once (PSS)."""
    total = 0
    for one in _family(process):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += 1024 * int(text.split("\nPss:")[1].split()[0])
        except (OSError, IndexError):
            continue
    return total
