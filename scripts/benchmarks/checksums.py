"""Measure the cost of verifying the checksums of a crop in the prepared cache, and of writing them.

    .venv/bin/python scripts/benchmarks/checksums.py [--crops 60] [--side 96] [--step-ms 91.5]

There are two phantoms, of 200x160x140 and 270x270x400 voxels. "checked" is a crop of a case just opened, "unchecked"
the same crop of a case whose slabs were checked before. Their difference is the cost of the checksums at the first
visit. `--step-ms` is the time of a training step for one crop. The default is the fastest one measured (a
segmentation step with online synthesis on one NVIDIA H200, bfloat16, 183 ms for two crops). Prints JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from freetumor_runtime.data.cache import case_path, verify_prepared_case
from freetumor_runtime.data.cache_writer import _slab_checksums, write_prepared_case

SHAPES = ((200, 160, 140), (270, 270, 400))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=60)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--step-ms", type=float, default=91.5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = [measure(Path(folder), shape, options) for shape in SHAPES]
    print(json.dumps({"row": "checksums", "side": options.side, "stepMs": options.step_ms, "cases": cases}))
    return 0


def measure(folder: Path, shape: tuple[int, ...], options: argparse.Namespace) -> dict:
    draw = np.random.default_rng(1)
    image = draw.integers(-300, 300, shape, dtype=np.int16)
    label = draw.integers(0, 3, shape, dtype=np.uint8)
    path = case_path(folder, "case")
    attributes = {"case": "case", "windowHu": [-175, 250]}
    wrote = timed(lambda: write_prepared_case(path, image, label, 7, -175.0, attributes))
    summed = timed(lambda: [_slab_checksums(image, "int16"), _slab_checksums(label, "uint8")])
    verified = timed(lambda: verify_prepared_case(path))
    asked = json.dumps({"path": str(path), "side": options.side, "crops": options.crops})
    command = ["node", str(Path(__file__).with_suffix(".mjs")), asked]
    crop = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    cost = crop["checked"] - crop["unchecked"]
    return {
        "shape": shape,
        "cropMs": crop,
        "checksumMsAtFirstVisit": cost,
        "percentOfStepAtFirstVisit": 100 * cost / options.step_ms,
        "writeMs": wrote,
        "checksumsOfWriteMs": summed,
        "verifyWholeCaseMs": verified,
    }


def timed(work) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())
