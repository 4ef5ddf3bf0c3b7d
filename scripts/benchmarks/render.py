"""Measure the whole synthesis of a crop on one core, against NumPy and SciPy from method.md 5 and 6.

    scripts/bench render [-- --count 12 --repeats 3 --sides 96,192 --reference-python PATH]

freetumor plans in TypeScript and paints in PyTorch. Both sides work without a generator (the hand-crafted
difference): shape, soft edge, texture, compose, roles. Ours is the work of a training on a crop that has arrived:
placing, painting, label (`CropPainter`). One core, in turns, medians of processor time. The reference's Python and
the warm-up of the plans are as in masks. Prints JSON.
"""

import argparse
import base64
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import tumor_by_numpy
from masks import WARM_UP
from measuring import Server

from freetumor_runtime.config.common import Organ
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor
from freetumor_runtime.synthesis.crop_painting import AugmentedCrop, CropPainter, fake_label
from freetumor_runtime.synthesis.painting import TumorPainter
from freetumor_runtime.synthesis.texture import TextureBank

HERE = Path(__file__).parent
SIZES = ("tiny", "small", "medium", "large")
TARGET = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sides", default="96")
    parser.add_argument("--reference-python", default=os.environ.get("FREETUMOR_REFERENCE_PYTHON") or sys.executable)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    planner = Server(["node", str(HERE / "masks.mjs")])
    reference = Server([options.reference_python, str(HERE / "tumor_by_numpy.py")])
    rows = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            bank = TextureBank(folder, (420, 300, 320), 0)
            bank.part(0, (0, 0, 0), (4, 4, 4))
            for side in map(int, options.sides.split(",")):
                rows += [row(planner, reference, bank, side, size, options) for size in SIZES]
    finally:
        planner.close()
        reference.close()
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def row(planner: Server, reference: Server, bank: TextureBank, side: int, size: str, options) -> dict:
    plans, paints, theirs, walls = [], [], [], []
    warps = ""
    planner.ask(json.dumps({"size": size, "side": side, "count": WARM_UP, "seed": -1}))
    for repeat in range(options.repeats + 1):
        asked = {"what": "render", "size": size, "side": side, "count": options.count, "seed": repeat}
        planned = planner.ask(json.dumps({**asked, "plans": True}))
        painted = paint(planned["plans"], bank, side)
        answer = reference.ask(json.dumps({**asked, "count": max(3, options.count // 4)}))
        warps = answer["warps"]
        if repeat > 0:
            plans += planned["processor"]
            paints += painted
            theirs += answer["processor"]
            walls += answer["seconds"]
    ours = statistics.median(plans) + statistics.median(paints)
    return {
        "row": f"plan + render {size} {side}^3 ({warps})",
        "ours": {"median": ours, "plan": statistics.median(plans), "paint": statistics.median(paints)},
        "reference": {"median": statistics.median(theirs), "wall": statistics.median(walls)},
        "ratio": statistics.median(theirs) / ours,
        "target": TARGET,
    }


def paint(plans: list[dict], bank: TextureBank, side: int) -> list[float]:
    """Return processor seconds of each: from a planned crop to its painted image and label."""
    organ = Organ("liver", 1, 2, 0)
    tumors = TumorPainter("abdomen", [organ], False, bank, torch.device("cpu"))
    painter = CropPainter((-175, 250), tumors)
    image = torch.from_numpy(np.random.default_rng(0).integers(-175, 250, (side,) * 3, dtype=np.int16))
    label = torch.from_numpy(tumor_by_numpy.ellipsoid_organ(side))
    augmentation = Augmentation((False, False, False), 0, 1.0, 0.0)
    taken = []
    for plan in plans:
        crop = PlannedCrop(0, 0, "made", image, label, augmentation, (planned_tumor(plan),), None, False)
        # the reference starts from a windowed image, so the clock starts there
        (begun,) = painter.augment([PlannedCrop(**{**vars(crop), "tumors": ()})])
        started = time.process_time()
        placed = tumors.place(crop.tumors[0], begun.label_XYZ, augmentation)
        whole = AugmentedCrop(crop, begun.image_XYZ, begun.label_XYZ, (placed,))
        painter.compose(whole, None, (placed,))
        fake_label(whole)
        taken.append(time.process_time() - started)
    return taken


def planned_tumor(plan: dict) -> PlannedTumor:
    box = torch.frombuffer(bytearray(base64.b64decode(plan["box"])), dtype=torch.uint8).reshape(plan["boxShape"])
    places = (tuple(plan[name]) for name in ("boxOrigin", "textureStart"))
    origin, start = places
    difference = plan["handcraftedDifference"]
    return PlannedTumor("liver", plan["size"], box, origin, plan["edgeSigma"], 0, start, difference, 0)


if __name__ == "__main__":
    main()
