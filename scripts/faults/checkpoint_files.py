"""Read every hostile checkpoint file and thousands of files with one changed bit, and measure the cost of each.

    .venv/bin/python scripts/faults/checkpoint_files.py [--flips 2000] [--seed 0]

Prints JSON; exit code 1 when a file is not refused, exceeds the limits, or kills the process that reads it. Time is
measured in a fork of a warm process: it is the wait of a server or a training.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python_runtime"))

from tests.checkpoints.damaged_files import ALTERED, REFUSED, WHOLE, good_file, outcomes_of_flips, write_manifest
from tests.checkpoints.forked_reading import read_in_a_fork
from tests.checkpoints.hostile_files import HOSTILE

MOST_SECONDS, MOST_MEGABYTES = 0.5, 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    hostile = [read_hostile(name) for name in HOSTILE]
    flips = {
        "recordedHash": flipped(options, recorded=True, verify=True),
        "checksumsOfTheArchive": flipped(options, recorded=False, verify=True),
        "unverified": flipped(options, recorded=False, verify=False),
    }
    report = {
        "hostile": {
            "files": len(hostile),
            "refused": sum(one["refused"] for one in hostile),
            "sideEffects": sum(one["sideEffect"] for one in hostile),
            "slowest": max(hostile, key=lambda one: one["seconds"]),
            "largest": max(hostile, key=lambda one: one["megabytes"]),
            "each": hostile,
        },
        "flips": flips,
    }
    print(json.dumps(report, indent=2))
    held = all(one["refused"] and not one["sideEffect"] for one in hostile)
    cheap = all(one["seconds"] <= MOST_SECONDS and one["megabytes"] <= MOST_MEGABYTES for one in hostile)
    survived = all(set(outcomes) <= {REFUSED, WHOLE, ALTERED} for outcomes in flips.values())
    found = set(flips["recordedHash"]) == {REFUSED} and ALTERED not in flips["checksumsOfTheArchive"]
    return 0 if held and cheap and survived and found else 1


def read_hostile(name: str) -> dict:
    with tempfile.TemporaryDirectory() as outer:
        folder, touched = Path(outer) / "in", Path(outer) / "touched"
        folder.mkdir()
        reading = read_in_a_fork(str(HOSTILE[name](folder, touched)))
        return {
            "name": name,
            "refused": reading.refused,
            "sideEffect": touched.exists() or len(list(Path(outer).iterdir())) > 1,
            "seconds": round(reading.seconds, 3),
            "megabytes": round(reading.megabytes, 1),
            "said": reading.outcome.replace(outer, ""),
        }


def flipped(options: argparse.Namespace, recorded: bool, verify: bool) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = good_file(Path(folder))
        if recorded:
            write_manifest(path)
        return dict(outcomes_of_flips(path, options.flips, options.seed, verify))


if __name__ == "__main__":
    sys.exit(main())
