"""Measure crops per second from one prepared case: ours, from cache file to tensor in the rank, against MONAI's loader.

    scripts/bench feeder [-- --items 40 --repeats 5 --cores 0,1 --sizes small,large --sustain 60]

MONAI: PersistentDataset + RandCropByPosNegLabeld of the same case, one crop per item, with as many workers. Both are
pinned to the same cores and run in turns, with and without the simulation of a tumor in each crop. `--sustain S`
then requests crops for S seconds, once at full speed and once as a slow rank (0.2 s per crop). It lists the memory
of the feeding process (resident, heap, array buffers) for each second after 20 s, with the trend of the resident
memory (`--items 0`: that alone). Ratios are of medians of wall time, with processor seconds next to them. Prints
JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from made_cts import make_case
from measuring import Server, family_memory, turn_by_turn

from freetumor_runtime.data.cache import case_path
from freetumor_runtime.data.cache_writer import write_prepared_case

HERE = Path(__file__).parent
WARM_UP_SECONDS = 20
SLOW_SECONDS = 0.2
HELD = ("rss", "heapUsed", "external", "arrayBuffers")
SHAPES = {"small": (200, 160, 140), "large": (270, 270, 400)}
# without and with simulation on both sides
TARGETS = {
    ("small", False): 2,
    ("large", False): 5,
    ("small", True): 3,
    ("large", True): 3,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--sizes", default="small,large")
    parser.add_argument("--sustain", type=float, default=0)
    options = parser.parse_args()
    cores = {int(core) for core in options.cores.split(",")}
    os.sched_setaffinity(0, cores)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes.split(","):
            case = write_case(Path(folder), size)
            for simulate in (False, True) if options.items > 0 else ():
                rows.append(compare(case, size, simulate, len(cores), options))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if options.sustain > 0:
            for pause in (0, SLOW_SECONDS):
                rows.append(sustained(case, len(cores), options.sustain, pause))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def write_case(folder: Path, size: str) -> dict:
    image, label = make_case(0, SHAPES[size])
    # the published loader keeps its own prepared copy; both start from the same voxels
    files = {}
    for name, array in (("image", image), ("label", label)):
        files[name] = str(folder / f"{size}_{name}.nii")
        nibabel.save(nibabel.Nifti1Image(array, np.diag([1.5, 1.5, 1.5, 1])), files[name])
    path = case_path(folder, size)
    attributes = {
        "case": size,
        "windowHu": [-175, 250],
        "affine": np.diag([1.5, 1.5, 1.5, 1]).ravel().tolist(),
    }
    write_prepared_case(path, image, label, 7, -175, attributes)
    return {
        "id": size,
        "path": str(path),
        "cache": str(folder / f"{size}_cache"),
        **files,
    }


def start_ours(case: dict, simulate: bool, workers: int, **more) -> "Server":
    organs = [{"name": "liver", "label": 1, "tumorLabel": 2, "channel": 0, "weight": 1}]
    plan = {
        "seed": 0,
        "job": "segmentation",
        "cases": [{"id": case["id"], "path": case["path"], "repeat": 1, "kind": "host"}],
        "itemsPerStep": 1,
        "cropsPerVolume": 1,
        "patchVoxels": [96, 96, 96],
        "windowHu": [-175, 250],
        "positiveOdds": 1,
        "negativeOdds": 1,
        "tumorOdds": 0,
        "organs": organs,
        "tumors": {
            "draws": 1 if simulate else 0,
            "condition": "organ",
            "perCrop": 1,
            "sizeOdds": {"tiny": 1, "small": 1, "medium": 1, "large": 1},
            "radiusVoxels": {"tiny": 4, "small": 8, "medium": 16, "large": 32},
            "listedRadii": None,
            "positions": None,
            "textureSizeVoxels": [420, 300, 320],
            "textureCount": 10,
        },
        "augmentation": dict.fromkeys(
            (
                "flipProbability",
                "rotateProbability",
                "scaleProbability",
                "scaleRange",
                "shiftProbability",
                "shiftRange",
            ),
            0.1,
        ),
        "mixing": False,
    }
    return Server(
        [
            sys.executable,
            str(HERE / "feeder_ours.py"),
            json.dumps({"plan": plan, "workers": workers, **more}),
        ]
    )


def start_reference(case: dict, simulate: bool, workers: int) -> "Server":
    asked = {
        **{name: case[name] for name in ("image", "label", "cache")},
        "workers": workers,
        "simulate": simulate,
    }
    return Server([sys.executable, str(HERE / "feeder_by_monai.py"), json.dumps(asked)])


def compare(case: dict, size: str, simulate: bool, workers: int, options: argparse.Namespace) -> dict:
    servers = {
        "ours": start_ours(case, simulate, workers),
        "reference": start_reference(case, simulate, workers),
    }
    name = f"feeder {'x'.join(map(str, SHAPES[size]))}{' + simulation' if simulate else ''}"
    try:
        return {"row": name, **turn_by_turn(servers, str(options.items), options.items, options.repeats),
                "target": TARGETS[size, simulate]}  # fmt: skip
    finally:
        for server in servers.values():
            server.close()


def sustained(case: dict, workers: int, seconds: float, pause: float) -> dict:
    file = Path(case["path"]).with_name(f"memory_{pause}.ndjson")
    server = start_ours(case, True, workers, memoryFile=str(file), pauseSeconds=pause)
    started, items = time.perf_counter(), 0
    rank = []
    try:
        while time.perf_counter() - started < WARM_UP_SECONDS + seconds:
            server.ask("5")
            items += 5
            rank.append(family_memory(server.process.pid))
        elapsed = time.perf_counter() - started
    finally:
        server.close()
    held = [json.loads(line) for line in file.read_text().splitlines()][WARM_UP_SECONDS:]
    resident = [one["rss"] / 2**20 for one in held]
    third = len(resident) // 3
    return {
        "row": f"feeder sustained{' by a slow rank' if pause else ''}",
        "seconds": elapsed,
        "itemsPerSecond": items / elapsed,
        "residentMiB": {
            "thirds": [round(statistics.median(resident[at * third : (at + 1) * third]), 1) for at in range(3)],
            "least": round(min(resident), 1),
            "most": round(max(resident), 1),
            "growthAMinute": round(60 * statistics.linear_regression(range(len(resident)), resident).slope, 1),
        },
        "allProcessesMiB": [round(min(rank[len(rank) // 4 :]) / 2**20), round(max(rank) / 2**20)],
        "everySecondMiB": {name: [round(one[name] / 2**20) for one in held] for name in HELD},
    }


if __name__ == "__main__":
    main()
