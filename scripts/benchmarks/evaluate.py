"""Measure `freetumor evaluate` on cases of 512 x 512 x 200 voxels: seconds of a core per case, and memory, by profile.

    .venv/bin/python scripts/benchmarks/evaluate.py [--cases 12] [--profiles lesion,difftumor,freetumor] [--folder DIR]

Makes the labels of `--cases` phantoms (four anatomies, each with a different shift), and masks that are shifted,
eroded in places and wrong in places. There is one worker. The time includes the start of the processes and the page.
Limits: 3 s of a core per case, and 2 GB of memory for the process that measures. Prints one JSON line; exit code 1
when a profile exceeds a limit.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from made_cts import SHAPE, make_case, write
from measuring import run
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 3
MOST_BYTES = 2e9
ANATOMIES = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--profiles", default="lesion,difftumor,freetumor")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["FREETUMOR_PYTHON"] = sys.executable
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "data"
        make_pairs(folder, options.cases)
        rows = [measure(folder, Path(temporary), profile, options.cases) for profile in options.profiles.split(",")]
    print(json.dumps({"rows": rows}))
    return 0 if all(row["met"] for row in rows) else 1


def make_pairs(folder: Path, cases: int) -> None:
    """Write `labels` and `masks`; keep a folder that holds this number of cases."""
    if len(list(folder.glob("masks/*.nii.gz"))) == cases:
        return
    for name in ("labels", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    anatomies = [make_case(seed, SHAPE)[1] for seed in range(min(cases, ANATOMIES))]
    for number in range(cases):
        rng = np.random.default_rng(number)
        label = np.roll(anatomies[number % ANATOMIES], rng.integers(-20, 20, 3), (0, 1, 2))
        mask = np.roll(label, rng.integers(-3, 4, 3), (0, 1, 2))
        mask[ndimage.zoom(rng.random((32, 32, 25)), 16, order=0)[:, :, :200] < 0.05] = 0
        for corner in rng.integers(100, 180, (8, 3)):
            mask[tuple(slice(side, side + 6) for side in corner)] = 2
        write(folder / f"labels/case_{number:03d}.nii.gz", label)
        write(folder / f"masks/case_{number:03d}.nii.gz", mask)


def measure(folder: Path, scratch: Path, profile: str, cases: int) -> dict:
    out = scratch / profile
    files = [
        "--predictions",
        str(folder / "masks"),
        "--labels",
        str(folder / "labels"),
        "--out",
        str(out),
    ]
    command = [
        "node",
        str(ROOT / "dist/cli/main.js"),
        "evaluate",
        *files,
        "--profile",
        profile,
        "--workers",
        "1",
    ]
    found = run([*command, "--output", "json"])
    if json.loads(found["stdout"])["summary"]["numCases"] != cases:
        sys.exit(f"{cases} cases were to be measured: {found['stdout'][:500]}")
    seconds = found["processorSeconds"] / cases
    return {
        "row": f"evaluate {profile}",
        "cases": cases,
        "shape": SHAPE,
        "coreSecondsACase": round(seconds, 2),
        "wallSecondsACase": round(found["seconds"] / cases, 2),
        "largestProcessBytes": found["largestProcessBytes"],
        "wanted": {"coreSecondsACase": MOST_SECONDS, "largestProcessBytes": MOST_BYTES},
        "met": seconds <= MOST_SECONDS and found["largestProcessBytes"] <= MOST_BYTES,
    }


if __name__ == "__main__":
    sys.exit(main())
