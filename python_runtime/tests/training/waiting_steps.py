"""Train on a stand-in for a GPU, and print the operations of the steps for which a GPU would wait, as JSON.

    python tests/training/waiting_steps.py FOLDER

Of each run: `waits` (function and operation -> number in all steps), and the losses there and on the CPU.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from freetumor_runtime.models.nnunet import Stage
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.optimization import SegmentationLoss
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.step_meter import StepMeter
from tests.stand_in_gpu import DEVICE, Waits
from tests.training.toy_training import toy_spec, trained, write_cases

STEPS = 2

CPU = Ranks(0, 1, torch.device("cpu"), None)
STAND_IN = Ranks(0, 1, DEVICE, None)
# checkpoints and validations lie between steps, and pictures are few
QUIET = {"steps": STEPS, "validation.everySteps": None, "checkpoint.everySteps": None}
RUNS = {
    "baseline": ("baseline", {}),
    "baseline in parts, clipped": ("baseline", {"accumulation": 2, "mixing": True, "optimizer.gradientClip": 12.0}),
    "segmentation": ("segmentation", {}),
    "segmentation with more measures": ("segmentation", {"synthesis.measures": ["volumeMl"]}),
    "synthesis": ("synthesis", {}),
    "synthesis in parts": ("synthesis", {"accumulation": 2}),
}
STAGES = [Stage(4, (3, 3, 3), (1, 1, 1), 1), Stage(8, (3, 3, 3), (2, 2, 2), 1)]
NETWORKS = {
    "small": lambda: build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="corrected"),
    "resenc": lambda: build_segmentor(
        "resenc", outputs=3, feature_size=0, levels=0, patch_merging="corrected", stages=STAGES
    ),
    "unet": lambda: build_segmentor(
        "unet", outputs=3, feature_size=0, levels=0, patch_merging="corrected", stages=STAGES
    ),
    "swinunetr": lambda: build_segmentor("swinunetr", outputs=3, feature_size=12, levels=0, patch_merging="corrected"),
    "generator": lambda: UNet3d(3, 2),
}


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write_cases(folder)
    judge = trained(toy_spec(folder / "judge", "baseline", folder, changes=QUIET), CPU, STEPS)["checkpoint"]
    report = {name: watched(folder, name, judge) for name in RUNS}
    print(json.dumps({"steps": STEPS, "runs": report, "networks": {name: of_network(name) for name in NETWORKS}}))


def watched(folder: Path, name: str, judge: str) -> dict:
    job, changes = RUNS[name]
    spec = toy_spec(folder / name / "cpu", job, folder, judge, {**QUIET, **changes})
    on_cpu = trained(spec, CPU, STEPS)
    begin, done = StepMeter.begin, StepMeter.done
    with Waits() as waits:
        waits.watching = False

        def begin_watched(meter: StepMeter) -> None:
            begin(meter)
            waits.watching = True

        def done_watched(meter: StepMeter, *arguments):
            waits.watching = False
            return done(meter, *arguments)

        StepMeter.begin, StepMeter.done = begin_watched, done_watched
        try:
            on_device = trained(replace(spec, runDirectory=str(folder / name / "device")), STAND_IN, STEPS)
        finally:
            StepMeter.begin, StepMeter.done = begin, done
    return {"waits": waits.found, "losses": [on_cpu["losses"], on_device["losses"]]}


def of_network(name: str) -> dict[str, int]:
    """Return the waits of forward, loss and backward of a network."""
    torch.manual_seed(0)
    with Waits() as waits:
        waits.watching = False
        network, loss = NETWORKS[name]().to(DEVICE), SegmentationLoss([1.0] * 3).to(DEVICE)
        shape = (64, 32, 32) if name == "swinunetr" else (16, 16, 16)
        image, label = torch.rand(1, 1, *shape).to(DEVICE), torch.zeros(1, *shape, dtype=torch.int64)
        label = label.to(DEVICE)
        waits.watching = True
        sum(loss(network(image), label)).backward()
        waits.watching = False
    return waits.found


if __name__ == "__main__":
    main()
