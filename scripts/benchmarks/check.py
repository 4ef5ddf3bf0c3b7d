"""Compare `freetumor data check` with a plain nibabel script that does the same checks on the same cores.

    .venv/bin/python scripts/benchmarks/check.py [--repeats 3] [--cases 12] [--workers 2] [--folder DIR]

Writes the cases once (in DIR, or in a temporary folder), then runs both ways in turns. Prints one JSON line. Memory
is above an idle process, per worker, in volumes of one image.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from made_cts import SHAPE, make_data_set
from measuring import alternate, run, summary

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
    run(ours)  # once, so that the disk's speed does not matter
    runs = alternate({"ours": ours, "reference": theirs}, options.repeats)
    errors = [finding for finding in json.loads(runs["ours"][0]["stdout"])["findings"] if finding["severity"] != "info"]
    if errors:
        sys.exit(f"the cases were to be sound: {errors[0]}")
    volume = np.prod(SHAPE) * 2
    peak = max(one["peakBytes"] for one in runs["ours"]) - idle["peakBytes"]
    found = {way: summary(runs[way]) for way in runs}
    return {
        "row": "check",
        "cases": options.cases,
        "shape": SHAPE,
        "workers": options.workers,
        **found,
        "ratio": found["reference"]["median"] / found["ours"]["median"],
        "target": LEAST_RATIO,
        "volumesPerWorker": peak / options.workers / volume,
        "referenceVolumesPerWorker": max(one["peakBytes"] for one in runs["reference"]) / options.workers / volume,
    }


if __name__ == "__main__":
    sys.exit(main())
