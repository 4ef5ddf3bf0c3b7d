"""Compare `freetumor prepare`, start to end, with the same preparation by MONAI's transforms in as many processes.

    .venv/bin/python scripts/benchmarks/prepare.py [--repeats 3] [--cases 12] [--workers 2] [--folder DIR]

Writes the cases once (in DIR, or in a temporary folder), then runs both in turns, each into an empty folder. Both write
the same voxels; the row fails if they differ. `processorRatio` is that of the processor time of all processes, start-up
included. Prints one JSON line.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from made_cts import SHAPE, make_data_set
from measuring import alternate, run, summary

from freetumor_runtime.data.cache import read_prepared_case

ROOT = Path(__file__).resolve().parents[2]
LEAST_RATIO = 1.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        row = measure(options.folder or Path(temporary) / "data", Path(temporary), options)
    print(json.dumps(row))
    return 0 if row["processorRatio"] >= LEAST_RATIO else 1


def measure(folder: Path, scratch: Path, options: argparse.Namespace) -> dict:
    make_data_set(folder, options.cases)
    cache = scratch / "cache"
    config = scratch / "benchmark.json"
    dataset = {"name": "Made", "path": str(folder), "role": "labelled"}
    config.write_text(
        json.dumps(
            {
                "job": "baseline",
                "data": {"root": str(scratch), "datasets": [dataset]},
                "prepare": {"cache": str(cache), "workers": options.workers},
                "runtime": {"python": sys.executable},
            }
        )
    )
    ours = ["node", str(ROOT / "dist/cli/main.js"), "prepare", "--config", str(config), "--output", "json"]
    theirs = [sys.executable, str(Path(__file__).with_name("prepare_by_monai.py")), str(folder), str(options.workers)]
    theirs.append(str(scratch / "by-monai"))
    run(theirs)  # once, so that the disk's speed does not matter
    # ours last: its cache is compared
    ways = {"reference": theirs, "ours": ours}
    runs = alternate(ways, options.repeats, lambda: shutil.rmtree(cache, ignore_errors=True))
    refuse_other_voxels(cache, scratch / "by-monai")
    made = json.loads(runs["ours"][-1]["stdout"])
    if made["prepared"] != options.cases:
        sys.exit(f"{options.cases} cases were to be prepared: {made}")
    found = {way: summary(runs[way]) for way in runs}
    processors = {way: found[way]["processorMedian"] for way in runs}
    return {
        "row": "prepare",
        "cases": options.cases,
        "shape": SHAPE,
        "workers": options.workers,
        **found,
        "ratio": found["reference"]["median"] / found["ours"]["median"],
        "processorRatio": processors["reference"] / processors["ours"],
        "target": LEAST_RATIO,
        "cacheBytes": made["bytes"],
        "peakBytes": {way: max(one["peakBytes"] for one in runs[way]) for way in runs},
    }


def refuse_other_voxels(cache: Path, by_monai: Path) -> None:
    """Exit if a prepared case has other voxels than MONAI's."""
    for case in sorted(cache.glob("*/*.zarr")):
        image, label, attributes = read_prepared_case(case)
        name = f"{attributes['case'].rsplit('/', 1)[1]}.nii.gz"
        for array, kind in ((image, "image"), (label, "label")):
            if not np.array_equal(array, np.load(by_monai / f"{name}.{kind}.npy")):
                sys.exit(f"{name}: the {kind} differs from that of MONAI")


if __name__ == "__main__":
    sys.exit(main())
