"""Measure the cost of an item by the number of cases in the manifest (simulated): planning its crops must not grow with
it.

    .venv/bin/python scripts/benchmarks/items.py [--items 60] [--few 10] [--many 161310]

One prepared case of 128^3 voxels stands for all of them. Items of both manifests run in turns, on one thread. "ours"
is the large manifest, "reference" the small one; the ratio is that of processor seconds, which a busy machine
changes less. Up to 32 cases stay open between items, so a manifest with fewer cases saves the cost of opening.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from freetumor_runtime.data.cache import case_path
from freetumor_runtime.data.cache_writer import write_prepared_case

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=161_310)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = case_path(folder, "case")
        label = np.zeros((128, 128, 128), np.uint8)
        label[20:100, 30:110, 24:104] = 1
        image = np.full(label.shape, 60, np.int16)
        write_prepared_case(
            path,
            image,
            label,
            7,
            -175.0,
            {"case": "case", "windowHu": [-175.0, 250.0], "affine": np.eye(4).ravel().tolist()},
        )
        asked = {"path": str(path), "items": options.items, "sizes": [options.few, options.many]}
        command = ["node", str(Path(__file__).with_suffix(".mjs")), json.dumps(asked)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    few, many = json.loads(done.stdout)
    row = {"row": "items", "few": options.few, "many": options.many, "ours": many, "reference": few}
    print(json.dumps({**row, "ratio": few["processorMedian"] / many["processorMedian"], "target": 0.9}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
