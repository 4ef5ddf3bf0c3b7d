"""The freetumor side of training_step.py, and the common start of both sides."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from freetumor_runtime.config.parsing import parse
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crop_source import CropVerdict
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor
from freetumor_runtime.events import StepDone
from freetumor_runtime.models.nnunet import Stage
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.ranks import join_ranks

NAMES = ["background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor"]
# of a baseline: background, organ, tumor, as in configs/debug-baseline.yaml
WEIGHTS = [0.2, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
LEARNING_RATE = {"synthesis": 1e-4, "segmentation": 3e-4, "small": 0.006, "resenc": 0.006}
# crops of a step: volumes, and crops of each
CROPS = {"synthesis": (1, 1), "segmentation": (1, 2), "small": (2, 2), "resenc": (1, 2)}
PAINTED = ("synthesis", "segmentation")
SEED = 5


def write_weights(folder: Path, options: argparse.Namespace, step: str) -> None:
    """Write the initial weights of both sides: of the trained segmentor, and of the networks of a step that paints."""
    torch.manual_seed(SEED)
    if step in PAINTED:
        networks = {"netG": UNet3d(3, options.width), "netD": UNet3d(3, options.width)}
        torch.save(
            {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()},
            folder / "gan.pt",
        )
        torch.save({"state_dict": segmentor("swinunetr", options, 7).state_dict()}, folder / "baseline.pt")
    torch.manual_seed(SEED)
    if step != "synthesis":
        kind, outputs = ("swinunetr", 3) if step == "segmentation" else (step, 7)
        torch.save({"state_dict": segmentor(kind, options, outputs).state_dict()}, folder / "segmentor.pt")
    (folder / "textures").mkdir()


def segmentor(kind: str, options: argparse.Namespace, outputs: int) -> torch.nn.Module:
    return build_segmentor(
        kind,
        outputs=outputs,
        feature_size=feature_size(kind, options),
        levels=3,
        patch_merging="corrected",
        stages=[Stage(**one) for one in stages(kind, options)],
    )


def feature_size(kind: str, options: argparse.Namespace) -> int:
    return options.feature_size if kind == "swinunetr" else 16


def stages(kind: str, options: argparse.Namespace) -> list[dict]:
    """Return the resolutions of a `resenc` with the features and blocks of nnU-Net; the lowest has sides of 4 to 7."""
    if kind != "resenc":
        return []
    plan = []
    while options.side // 2 ** len(plan) >= 4:
        at = len(plan)
        blocks = (1, 3, 4, 6, 6, 6)[min(at, 5)]
        step = [1 if at == 0 else 2] * 3
        plan.append({"features": min(320, 32 * 2**at), "kernel": [3, 3, 3], "stride": step, "blocks": blocks})
    return plan


def crops(step: int, options: argparse.Namespace) -> tuple[PlannedCrop, ...]:
    """Return noise with an organ (1), a real tumor (2) and the planned tumors of a step that paints."""
    side, (volumes, each) = options.side, CROPS[options.step]
    made = []
    for at in range(volumes * each):
        item, crop = step * volumes + at // each, at % each
        image = np.random.default_rng([step, at]).integers(-100, 200, (side,) * 3).astype(np.int16)
        label = np.zeros((side,) * 3, np.uint8)
        label[side // 8 : -side // 8, side // 8 : -side // 8, side // 8 : -side // 8] = 1
        label[side // 2 : side // 2 + 5, side // 2 : side // 2 + 5, side // 2 : side // 2 + 5] = 2
        shape = torch.ones(9, 9, 9, dtype=torch.uint8)
        draws = {"synthesis": (0, 1), "segmentation": (0,)}.get(options.step, ())
        tumors = tuple(
            PlannedTumor("liver", "small", shape, (side // 4 + draw,) * 3, 1.5, 0, (step, draw, crop), 0.5, draw)
            for draw in draws
        )
        plain = Augmentation((False, False, False), 0, 1.0, 0.0)
        made.append(
            PlannedCrop(
                item, crop, "made", torch.from_numpy(image), torch.from_numpy(label), plain, tumors, None, False
            )
        )
    return tuple(made)


def all_crops(options: argparse.Namespace) -> list[tuple[PlannedCrop, ...]]:
    """Return the crops of every step: no side makes them in the time that is measured."""
    return [crops(step, options) for step in range(options.steps + 2)]


def steps(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    spec = specification(options)
    feed = Feed(options)
    ranks = join_ranks(options.device, options.threads, SEED)
    if options.step == "synthesis":
        from freetumor_runtime.jobs.train_synthesis import train_synthesis as job
    else:
        from freetumor_runtime.jobs.train_segmentation import train_segmentation as job
    for event in job(spec, ranks, feed, lambda: []):
        if isinstance(event, StepDone):
            yield event.losses
            # the last step of a job paints nothing ahead: it is not among those measured
            if event.step == options.steps:
                return


class Feed:
    """Crops from memory; every tumor is accepted."""

    waited_seconds = 0.0

    def __init__(self, options: argparse.Namespace) -> None:
        self._crops = all_crops(options)

    def request(self, step: int) -> None: ...

    def crops(self, step: int) -> tuple[PlannedCrop, ...]:
        return self._crops[step]

    def send_measures(self, step, measures, wants_verdicts) -> None: ...

    def verdicts(self, step: int) -> dict[tuple[int, int], CropVerdict]:
        return {(crop.item, crop.crop): CropVerdict(accepted=True) for crop in self._crops[step]}

    def ack(self, step: int) -> None: ...


def specification(options: argparse.Namespace) -> TrainingSpec:
    step, folder = options.step, options.folder
    kind = "swinunetr" if step in PAINTED else step
    organs = [
        {"name": name, "label": 1 + 2 * at, "tumorLabel": 2 + 2 * at, "channel": at}
        for at, name in enumerate(["liver", "pancreas", "kidney"])
    ]
    outputs = 3 if step == "segmentation" else 7
    volumes, each = CROPS[step]
    raw = {
        "job": step if step in PAINTED else "baseline",
        "runId": "bench",
        "runDirectory": str(folder / "run"),
        "ownerNumber": 1,
        "seed": SEED,
        "region": "abdomen",
        "steps": options.steps + 2,
        "resumeFrom": None,
        "fingerprint": {"config": "", "data": ""},
        "itemsPerStep": volumes,
        "cropsPerVolume": each,
        "accumulation": 1,
        "patchVoxels": [options.side] * 3,
        "windowHu": [-175, 250],
        "spacingMm": [1.5] * 3,
        "organs": organs,
        "trainingLabels": [0, 1, 2, 0, 0, 0, 0] if step == "segmentation" else list(range(7)),
        "labelNames": NAMES[:outputs],
        "crossEntropyWeights": [1.0] * outputs if step in PAINTED else WEIGHTS,
        "mixing": False,
        "synthesis": None,
        "segmentor": {
            "kind": kind,
            "featureSize": feature_size(kind, options),
            "levels": 3,
            "stages": stages(kind, options),
            "deepSupervision": step == "resenc",
            "patchMerging": "corrected",
            "outputs": outputs,
            "initialWeights": None if step == "synthesis" else str(folder / "segmentor.pt"),
            "initialWeightsSet": None,
            "activationCheckpointing": options.checkpointing,
        },
        "baseline": None,
        "generator": None,
        "optimizer": {
            "kind": "adam" if step == "synthesis" else "adamw",
            "learningRate": LEARNING_RATE[step],
            "weightDecay": 0.0 if step == "synthesis" else 0.01,
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
    return parse(TrainingSpec, raw | (painting(options) if step in PAINTED else {}), "bench")


def painting(options: argparse.Namespace) -> dict:
    """Return the keys of a step that paints tumors."""
    folder = options.folder
    return {
        "synthesis": {
            "textureSizeVoxels": [options.side + 32] * 3,
            "textureDirectory": str(folder / "textures"),
            "textureSeed": 0,
            "gated": options.step == "segmentation",
            "measureAlreadySeen": False,
            "measures": [],
        },
        "baseline": {
            "checkpoint": str(folder / "baseline.pt"),
            "patchMerging": "corrected",
            "weights": None,
            "plugin": None,
        },
        "generator": {
            "checkpoint": str(folder / "gan.pt"),
            # of both sides: the reference draws the weights of the discriminator from the seed
            "use": "generator",
            "weights": None,
            "baseChannels": options.width,
            "channel": "organ",
            "outputs": 3,
            "activationCheckpointing": options.checkpointing,
            "plugin": None,
        },
    }
