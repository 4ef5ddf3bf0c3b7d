"""`freetumor data check` against a straightforward nibabel script that does the same checks on the same cores.

    .venv/bin/python scripts/benchmarks/check.py [--repeats 3] [--cases 12] [--workers 2] [--folder DIR]

Makes the cases once (in DIR, or in a temporary folder), then runs both ways in turns. Prints one JSON line; memory is
above an idle process, a worker, in volumes of one image.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from made_cts import SHAPE, make_data_set

ROOT = Path(__file__).resolve().parents[2]
LEAST_RATIO, MOST_VOLUMES = 1.5, 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        row = measure(options.folder or Path(temporary), options)
    print(json.dumps(row))
    return 0 if row["ratio"] >= LEAST_RATIO and row["volumesPerWorker"] <= MOST_VOLUMES else 1


def measure(folder: Path, options: argparse.Namespace) -> dict:
    make_data_set(folder, options.cases)
    main_js = str(ROOT / "dist/cli/main.js")
    ours = ["node", main_js, "data", "check", str(folder), "--workers", str(options.workers), "--output", "json"]
    theirs = [sys.executable, str(Path(__file__).with_name("check_by_nibabel.py")), str(folder), str(options.workers)]
    idle = run(["node", main_js, "data", "list"])
    runs: dict[str, list[dict]] = {"ours": [], "reference": []}
    run(ours)  # once, so that the disk's speed does not matter
    for _ in range(options.repeats):
        runs["ours"].append(run(ours))
        runs["reference"].append(run(theirs))
    errors = [finding for finding in json.loads(runs["ours"][0]["stdout"])["findings"] if finding["severity"] != "info"]
    if errors:
        sys.exit(f"the cases were to be sound: {errors[0]}")
    volume = np.prod(SHAPE) * 2
    peak = max(one["peakBytes"] for one in runs["ours"]) - idle["peakBytes"]
    medians = {way: statistics.median(one["seconds"] for one in found) for way, found in runs.items()}
    return {
        "row": "check",
        "cases": options.cases,
        "shape": SHAPE,
        "workers": options.workers,
        **{way: {"median": medians[way], "seconds": [one["seconds"] for one in runs[way]]} for way in runs},
        "ratio": medians["reference"] / medians["ours"],
        "volumesPerWorker": peak / options.workers / volume,
        "referenceVolumesPerWorker": max(one["peakBytes"] for one in runs["reference"]) / options.workers / volume,
    }


def run(command: list[str]) -> dict:
    """Seconds of a command, what it printed, and the peak memory of its processes together."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peaks: dict[int, int] = {}
    watch = threading.Thread(target=watch_memory, args=(child, peaks))
    watch.start()
    stdout, _ = child.communicate()
    seconds = time.perf_counter() - started
    watch.join()
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}")
    return {"seconds": seconds, "peakBytes": sum(peaks.values()), "stdout": stdout}


def watch_memory(child: subprocess.Popen, peaks: dict[int, int]) -> None:
    # What the system keeps of an ended process counts the memory of its parent, too.
    while child.poll() is None:
        for process in family(child.pid):
            try:
                status = Path(f"/proc/{process}/status").read_text()
                peaks[process] = 1024 * int(status.split("VmHWM:")[1].split()[0])
            except (OSError, IndexError):
                continue
        time.sleep(0.02)


def family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(one for child in children for one in family(int(child)))]


if __name__ == "__main__":
    sys.exit(main())
