"""Compare training steps of one rank and of two, with the same items and the same global batch, in turns.

    scripts/bench scaling [-- --repeats 2] [--steps 20] [--jobs segmentation,synthesis]

The configurations are configs/debug-JOB.yaml, with twice the crops per step, so that each of two ranks has enough
work. A run before makes phantoms, prepared cases and earlier weights. The time of a step is the median that the run
itself reports, without the first two. "reference" is one rank. On one core there is no gain.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import run

ROOT = Path(__file__).resolve().parents[2]
SIDES = {"ours": 2, "reference": 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--jobs", default="segmentation,synthesis")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", FREETUMOR_PYTHON=sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        rows = [scaling(job, Path(folder), options) for job in options.jobs.split(",")]
    print(json.dumps({"rows": rows}))
    return 0


def scaling(job: str, folder: Path, options: argparse.Namespace) -> dict:
    train(job, 1, 3, folder / job / "before", folder)
    runs: dict[str, list[dict]] = {side: [] for side in SIDES}
    for repeat in range(options.repeats):
        for side, ranks in SIDES.items():
            runs[side].append(train(job, ranks, options.steps, folder / job / f"{ranks}-{repeat}", folder))
    sides = {side: summary(runs[side]) for side in SIDES}
    ours, reference = sides["ours"], sides["reference"]
    note = f"2 ranks and 1 on {os.cpu_count()} cores; memory {ours['peakBytes'] / reference['peakBytes']:.2f}x; "
    note += f"waiting for items {ours['waitShare']:.1%} and {reference['waitShare']:.1%} of a step"
    ratio = reference["median"] / ours["median"]
    return {"row": f"scaling {job}", "steps": options.steps, **sides, "ratio": ratio, "note": note}


def train(job: str, ranks: int, steps: int, out: Path, folder: Path) -> dict:
    """Return seconds and waits of the steps of a run, and the peak of its processes' memory together."""
    values = [f"data.root={folder}/phantoms", f"prepare.cache={folder}/cache", "sampling.itemsPerStep=4"]
    values += [f"training.steps={steps}", "training.warmupSteps=0", f"runtime.processesPerNode={ranks}"]
    command = ["node", "dist/cli/main.js", "train", "--config", f"configs/debug-{job}.yaml", "--out", str(out)]
    told = run([*command, "--output", "ndjson", "--set", *values])
    events = [json.loads(line) for line in told["stdout"].splitlines()]
    timed = [event for event in events if event["type"] == "step"][2:]
    return {
        "seconds": [event["seconds"] for event in timed],
        "waits": [event["waitSeconds"] for event in timed],
        "peakBytes": told["peakBytes"],
    }


def summary(runs: list[dict]) -> dict:
    seconds = [one for each in runs for one in each["seconds"]]
    waits = [one for each in runs for one in each["waits"]]
    return {
        "median": statistics.median(seconds) if seconds else None,
        "waitShare": sum(waits) / sum(seconds) if seconds else None,
        "peakBytes": max(one["peakBytes"] for one in runs),
        "steps": len(seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
