"""Predict whole scans from file to file next to a plain MONAI script: time, processor time, peak memory, masks.

    scripts/bench predict_scan -- --image ct.nii.gz [--label label.nii.gz ...] [--checkpoint model.pt] [--patch 96]
        [--overlaps 0.75,0.5] [--windows all,organs,coarse] [--glance glance.pt] [--tumors] [--plain-layers]
        [--against monai|all]

Both sides: the same network, threads, foreground crop, patch, overlap and blending; a process for each side, in
turns. `ratio`, `processorRatio` are of whole scans without the start of the process; `memoryRatio` is freetumor's
peak divided by the reference's, both with the libraries, which take `baseBytes`. Each side computes windows one by
one, which is faster for both on a CPU. Freetumor keeps freed memory, as the command does; the reference has the
default allocator. `--plain-layers` gives the reference PyTorch's and MONAI's own layers instead of those of
freetumor's network, which compute the same faster. `--against all` takes freetumor with all windows as the reference.
`--tumors` keeps tumors only, as --map leaderboard does. With labels, both count the lesions that their mask touches.
Without --checkpoint: the small segmentor with weights drawn from a seed.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from measuring import run
from scipy import ndimage

ONLY_BY_NAME = "needs scans"
SIDES = str(Path(__file__).with_name("predict_sides.py"))
TUMORS = {7: (2, 4, 6), 3: (2,), 2: (1,)}
# 95 % interval
_Z = 1.96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", nargs="+", required=True)
    parser.add_argument("--label", nargs="*", default=[], help="one for each image: ids of the region")
    parser.add_argument("--checkpoint")
    parser.add_argument("--merging")
    parser.add_argument("--network", choices=["small", "swinunetr"], default="small")
    parser.add_argument("--feature-size", type=int, default=16)
    parser.add_argument("--outputs", type=int, choices=list(TUMORS), default=7)
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--spacing-mm", type=float, default=1.5)
    parser.add_argument("--window-hu", type=float, nargs=2, default=[-175, 250])
    parser.add_argument("--overlaps", default="0.75,0.5")
    parser.add_argument("--windows", default="all,organs,coarse")
    parser.add_argument("--glance", help="checkpoint of a coarser grid that chooses windows, except of --windows all")
    parser.add_argument("--glance-spacing-mm", type=float, default=3)
    parser.add_argument("--glance-patch", type=int, default=48)
    parser.add_argument("--blend", choices=["constant", "gaussian"], default="constant")
    parser.add_argument("--against", choices=["monai", "all"], default="monai")
    parser.add_argument("--tumors", action="store_true")
    parser.add_argument("--plain-layers", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for overlap in map(float, options.overlaps.split(",")):
            rows += rows_of(options, overlap, folder)
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def rows_of(options: argparse.Namespace, overlap: float, folder: str) -> list[dict]:
    choices = options.windows.split(",")
    # each run: the results of all scans
    taken: dict[str, list[list[dict]]] = {name: [] for name in ("reference", *choices)}
    masks: dict[str, list[np.ndarray]] = {}
    for _ in range(options.repeats):
        for name, runs in taken.items():
            runs.append(one_run(options, overlap, folder, name))
            masks[name] = [np.asanyarray(nibabel.load(one["file"]).dataobj) for one in runs[-1]]
    base = run([sys.executable, "-c", "import freetumor_runtime.jobs.predict, monai.inferers, monai.transforms"])
    return [row_of(options, overlap, choice, taken, masks, base["peakBytes"]) for choice in choices]


def one_run(options: argparse.Namespace, overlap: float, folder: str, name: str) -> list[dict]:
    side = "reference" if name == "reference" and options.against == "monai" else "ours"
    tumors = TUMORS[options.outputs]
    settings = {
        "images": options.image,
        "out": tempfile.mkdtemp(dir=folder),
        "checkpoint": options.checkpoint,
        "merging": options.merging,
        "network": options.network,
        "featureSize": options.feature_size,
        "outputs": options.outputs,
        "patch": [options.patch] * 3,
        "spacingMm": [options.spacing_mm] * 3,
        "windowHu": options.window_hu,
        "overlap": overlap,
        "blend": options.blend,
        "windowBatch": 1,
        "windows": "all" if name == "reference" else name,
        "glance": options.glance if name in ("organs", "coarse") else None,
        "glanceSpacingMm": options.glance_spacing_mm,
        "glancePatch": options.glance_patch,
        "tumors": tumors,
        "maskIds": [int(output in tumors) if options.tumors else output for output in range(options.outputs)],
        "plainLayers": options.plain_layers and side == "reference",
        "threads": options.threads,
    }
    done = run([sys.executable, SIDES, side, json.dumps(settings)])
    results = [{**one, "peakBytes": done["peakBytes"]} for one in json.loads(done["stdout"].splitlines()[-1])]
    seconds = sum(one["scanProcessorSeconds"] for one in results)
    print(f"overlap {overlap:g}, {name}: processor {seconds:.1f} s", file=sys.stderr, flush=True)
    return results


def row_of(
    options: argparse.Namespace,
    overlap: float,
    choice: str,
    taken: dict[str, list[list[dict]]],
    masks: dict[str, list[np.ndarray]],
    base_bytes: int,
) -> dict:
    sides = {
        side: {
            "median": total_of(taken[name], "scanSeconds"),
            "processorMedian": total_of(taken[name], "scanProcessorSeconds"),
            "peakBytes": max(one["peakBytes"] for runs in taken[name] for one in runs),
        }
        for side, name in (("ours", choice), ("reference", "reference"))
    }
    ours, reference = sides["ours"], sides["reference"]
    pairs = list(zip(masks[choice], masks["reference"], strict=True))
    windows = [one["windows"] for one in taken[choice][-1]]
    own, theirs = (sum(int(np.count_nonzero(mask)) for mask in side) for side in zip(*pairs, strict=True))
    return {
        "row": f"windows {choice}, overlap {overlap:g}, {options.blend}",
        **sides,
        "ratio": reference["median"] / ours["median"],
        "processorRatio": reference["processorMedian"] / ours["processorMedian"],
        "memoryRatio": ours["peakBytes"] / reference["peakBytes"],
        "baseBytes": base_bytes,
        "windows": {key: sum(one[key] for one in windows) for key in windows[0]},
        "voxels": sum(mask.size for mask, _ in pairs),
        "otherVoxels": sum(int((one != other).sum()) for one, other in pairs),
        "dice": dice_of(pairs),
        "labelled": {"ours": own, "reference": theirs},
        "seconds": [one["seconds"] for one in taken[choice][-1]],
        **lesions_of(options, masks, choice),
    }


def dice_of(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[int, float]:
    """Return the Dice of both masks over all scans, for each id that the reference has."""
    ids = np.unique(np.concatenate([np.unique(other) for _, other in pairs]))
    values = {}
    for one_id in ids[ids > 0].tolist():
        both = sum(int(((mask == one_id) & (other == one_id)).sum()) for mask, other in pairs)
        each = sum(int((mask == one_id).sum()) + int((other == one_id).sum()) for mask, other in pairs)
        values[one_id] = round(2 * both / each, 4)
    return values


def total_of(runs: list[list[dict]], key: str) -> float:
    return statistics.median(sum(one[key] for one in results) for results in runs)


def lesions_of(options: argparse.Namespace, masks: dict[str, list[np.ndarray]], choice: str) -> dict:
    """Return detected lesions of both sides, with Wilson's interval, and those that only one side detects."""
    if not options.label:
        return {}
    tumors = TUMORS[options.outputs]
    found: dict[str, list[bool]] = {choice: [], "reference": []}
    for at, path in enumerate(options.label):
        label = np.asanyarray(nibabel.load(path).dataobj)
        pieces, count = ndimage.label(np.isin(label, tumors), np.ones((3, 3, 3)))
        for name, detected in found.items():
            mask = masks[name][at]
            touched = np.unique(pieces[mask == 1 if options.tumors else np.isin(mask, tumors)])
            detected += [piece in touched for piece in range(1, count + 1)]
    ours, reference = found[choice], found["reference"]
    rates = {
        side: {"detected": sum(one), "of": len(one), "interval": wilson(sum(one), len(one))}
        for side, one in (("ours", ours), ("reference", reference))
    }
    other = sum(one != two for one, two in zip(ours, reference, strict=True))
    return {"lesions": {**rates, "onlyOneSide": other}}


def wilson(hits: int, count: int) -> list[float]:
    if count == 0:
        return [0.0, 1.0]
    share, spread = hits / count, _Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / count / 4)
    return [round(max(0.0, centre - half), 3), round(min(1.0, centre + half), 3)]


if __name__ == "__main__":
    main()
