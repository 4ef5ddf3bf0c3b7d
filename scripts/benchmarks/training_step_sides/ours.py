"""The freetumor side of training_step.py, and the common start of both sides."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from freetumor_runtime.config.parsing import parse
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor
from freetumor_runtime.events import StepDone
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.ranks import join_ranks

NAMES = ["background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor"]
SEED = 5


def write_weights(folder: Path, options: argparse.Namespace) -> None:
    """Return the frozen segmentor, and the generator and discriminator to train or to paint with."""
    torch.manual_seed(SEED)
    networks = {"netG": UNet3d(3, options.width), "netD": UNet3d(3, options.width)}
    torch.save(
        {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()},
        folder / "gan.pt",
    )
    torch.save({"state_dict": segmentor(options, 7).state_dict()}, folder / "baseline.pt")
    torch.manual_seed(SEED)
    torch.save({"state_dict": segmentor(options, 3).state_dict()}, folder / "segmentor.pt")
    (folder / "textures").mkdir()


def segmentor(options: argparse.Namespace, outputs: int) -> torch.nn.Module:
    return build_segmentor(
        "swinunetr", outputs=outputs, feature_size=options.feature_size, levels=0, patch_merging="corrected"
    )


def crops(step: int, options: argparse.Namespace) -> tuple[PlannedCrop, ...]:
    """Return noise with an organ (1), a real tumor (2) and the planned tumors: one crop for synthesis, else two."""
    side, count = options.side, 1 if options.step == "synthesis" else 2
    made = []
    for crop in range(count):
        image = np.random.default_rng([step, crop]).integers(-100, 200, (side,) * 3).astype(np.int16)
        label = np.zeros((side,) * 3, np.uint8)
        label[side // 8 : -side // 8, side // 8 : -side // 8, side // 8 : -side // 8] = 1
        label[side // 2 : side // 2 + 5, side // 2 : side // 2 + 5, side // 2 : side // 2 + 5] = 2
        shape = torch.ones(9, 9, 9, dtype=torch.uint8)
        tumors = tuple(
            PlannedTumor("liver", "small", shape, (side // 4 + draw,) * 3, 1.5, 0, (step, draw, crop), 0.5, draw)
            for draw in ((0, 1) if options.step == "synthesis" else (0,))
        )
        plain = Augmentation((False, False, False), 0, 1.0, 0.0)
        made.append(
            PlannedCrop(
                step, crop, "made", torch.from_numpy(image), torch.from_numpy(label), plain, tumors, None, False
            )
        )
    return tuple(made)


def steps(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    spec = specification(options)
    ranks = join_ranks(options.device, options.threads, SEED)
    if options.step == "synthesis":
        from freetumor_runtime.jobs.train_synthesis import train_synthesis as job
    else:
        from freetumor_runtime.jobs.train_segmentation import train_segmentation as job
    for event in job(spec, ranks, Feed(options), lambda: []):
        if isinstance(event, StepDone):
            yield event.losses
            # the last step of a job paints nothing ahead: it is not among those measured
            if event.step == options.steps:
                return


class Feed:
    """Crops by formula; every tumor is accepted."""

    waited_seconds = 0.0

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    def request(self, step: int) -> None: ...

    def crops(self, step: int) -> tuple[PlannedCrop, ...]:
        return crops(step, self._options)

    def send_measures(self, step, measures, wants_verdicts) -> None: ...

    def verdicts(self, step: int) -> dict[tuple[int, int], bool]:
        return {(crop.item, crop.crop): True for crop in crops(step, self._options)}

    def ack(self, step: int) -> None: ...


def specification(options: argparse.Namespace) -> TrainingSpec:
    synthesis, folder = options.step == "synthesis", options.folder
    organs = [
        {"name": name, "label": 1 + 2 * at, "tumorLabel": 2 + 2 * at, "channel": at}
        for at, name in enumerate(["liver", "pancreas", "kidney"])
    ]
    outputs = 7 if synthesis else 3
    raw = {
        "job": options.step,
        "runId": "bench",
        "runDirectory": str(folder / "run"),
        "ownerNumber": 1,
        "seed": SEED,
        "region": "abdomen",
        "steps": options.steps + 2,
        "resumeFrom": None,
        "fingerprint": {"config": "", "data": ""},
        "itemsPerStep": 1,
        "cropsPerVolume": 1 if synthesis else 2,
        "accumulation": 1,
        "patchVoxels": [options.side] * 3,
        "windowHu": [-175, 250],
        "spacingMm": [1.5] * 3,
        "organs": organs,
        "trainingLabels": list(range(7)) if synthesis else [0, 1, 2, 0, 0, 0, 0],
        "labelNames": NAMES[:outputs],
        "crossEntropyWeights": [1.0] * outputs,
        "mixing": False,
        "synthesis": {
            "textureSizeVoxels": [options.side + 32] * 3,
            "textureDirectory": str(folder / "textures"),
            "textureSeed": 0,
            "gated": not synthesis,
            "measureAlreadySeen": False,
            "measures": [],
        },
        "segmentor": {
            "kind": "swinunetr",
            "featureSize": options.feature_size,
            "levels": 3,
            "patchMerging": "corrected",
            "outputs": outputs,
            "initialWeights": None if synthesis else str(folder / "segmentor.pt"),
            "activationCheckpointing": False,
        },
        "baseline": {"checkpoint": str(folder / "baseline.pt"), "patchMerging": "corrected"},
        "generator": {
            "checkpoint": str(folder / "gan.pt"),
            "baseChannels": options.width,
            "channel": "organ",
            "outputs": 3,
            "activationCheckpointing": False,
        },
        "optimizer": {
            "kind": "adam" if synthesis else "adamw",
            "learningRate": 1e-4 if synthesis else 3e-4,
            "weightDecay": 0.0 if synthesis else 0.01,
            "schedule": "constant",
            "warmupSteps": 0,
            "gradientClip": None,
        },
        "adversarialWeight": 0.1,
        "freeze": [],
        "precision": "bf16" if options.device == "cuda" else "fp32",
        "reproducible": False,
        "compile": options.device == "cuda",
        "memoryFormat": "auto",
        "device": options.device,
        "processesPerNode": 1,
        "threadsPerProcess": options.threads,
        "validation": {
            "everySteps": None,
            "cases": [],
            "windows": {"overlap": 0.25, "blend": "constant", "windowBatch": 1},
        },
        "checkpoint": {"everySteps": None},
        "pictures": 0,
        "licences": [],
    }
    return parse(TrainingSpec, raw, "bench")
