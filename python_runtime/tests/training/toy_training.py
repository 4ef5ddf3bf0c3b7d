"""A training of seconds on made crops for tests of resuming and of ranks; prints what rank 0 tells as JSON.

    python tests/training/toy_training.py FOLDER baseline synthesis segmentation

On three ranks, by job: `losses` in hexadecimal by step and `weights` as SHA-256, of the `whole` run and of the one in
`parts`; `validations` as the ranks counted them, and as one rank `alone` counts the last.

    python tests/training/toy_training.py FOLDER --runs '[{"ranks": 4, "job": "baseline", "name": "a", "set": {}}, ...]'

Makes these runs one after another, each on ranks forked for it (torchrun's start takes longer than such a run, and
what the ranks import is imported once), and prints of each `losses`, `weights`, `notes`, and the `checkpoint` it
ended with. `set`: dotted key of the specification -> value; `until`: a step to stop at; `resume`: the name of the run
to go on from, at step 3.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from freetumor_runtime.config.parsing import parse
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.cache_writer import write_prepared_case
from freetumor_runtime.data.crop_source import CropVerdict
from freetumor_runtime.data.crops import Augmentation, PlannedCrop, PlannedTumor
from freetumor_runtime.events import CaseResult, Event, Note, StepDone, ValidationDone
from freetumor_runtime.jobs import train_segmentation, train_synthesis
from freetumor_runtime.training.boundary import LiveCommand
from freetumor_runtime.training.ranks import Ranks, join_ranks, leave_ranks
from freetumor_runtime.training.start import build_trained_segmentor
from freetumor_runtime.training.validation import validate

SIDE = 16
STEPS = 6
STOP_AT = 3
# divisible by 1, 2, 3 and 4 ranks
ITEMS_PER_STEP = 12


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("jobs", nargs="*", metavar="baseline|synthesis|segmentation")
    parser.add_argument("--no-warm-up", action="store_true")
    parser.add_argument("--runs", type=json.loads)
    options = parser.parse_args()
    if options.no_warm_up:
        train_segmentation.warm_up = train_synthesis.warm_up = lambda *_: None
    # DistributedDataParallel needs the first in every rank, a validation the second
    import torch._dynamo  # noqa: F401

    import freetumor_runtime.evaluation.case_metrics  # noqa: F401

    write_cases(options.folder)
    if options.runs is not None:
        print(json.dumps([on_ranks(options.folder, run["ranks"], one_run, run) for run in options.runs]))
    else:
        print(json.dumps(on_ranks(options.folder, 3, all_jobs, options.jobs)))


def on_ranks(folder: Path, count: int, work: Callable, asked: Any) -> Any:
    """What rank 0 tells of `work(folder, asked, ranks)`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    told = folder / "told.json"
    ranks = [
        fork.Process(target=one_rank, args=(rank, folder, work, asked, count, port, told)) for rank in range(count)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    if any(rank.exitcode != 0 for rank in ranks):
        sys.exit(f"a rank of {asked} failed")
    return json.loads(told.read_text())


def one_rank(rank: int, folder: Path, work: Callable, asked: Any, count: int, port: int, told: Path) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count)}
    ranks = join_ranks("cpu", 1, 0)
    result = work(folder, asked, ranks)
    if ranks.first:
        told.write_text(json.dumps(result))
    leave_ranks()


def all_jobs(folder: Path, jobs: list[str], ranks: Ranks) -> dict:
    return {job: whole_and_in_parts(folder, job, ranks) for job in jobs}


def one_run(folder: Path, run: dict, ranks: Ranks) -> dict:
    job, changes = run["job"], run.get("set", {})
    judge = folder / "judge/checkpoints" / f"step_{STEPS:08d}"
    if job == "synthesis" and not judge.exists():
        alone = replace(ranks, rank=0, size=1)
        if ranks.first:
            trained(toy_spec(folder / "judge", "baseline", folder), alone, STEPS)
        ranks.barrier()
    if "resume" in run:
        changes = {**changes, "resumeFrom": str(folder / job / run["resume"] / "checkpoints" / f"step_{STOP_AT:08d}")}
    spec = toy_spec(folder / job / run["name"], job, folder, str(judge), changes)
    return trained(spec, ranks, run.get("until", spec.steps))


def whole_and_in_parts(folder: Path, job: str, ranks: Ranks) -> dict:
    baseline = None
    if job != "baseline":
        spec = toy_spec(folder / f"judge-of-{job}", "baseline", folder)
        baseline = trained(spec, ranks, STEPS)["checkpoint"]
    whole = toy_spec(folder / job / "whole", job, folder, baseline)
    parts = replace(whole, runDirectory=str(folder / job / "parts"))
    unbroken = trained(whole, ranks, STEPS)
    before = trained(parts, ranks, STOP_AT)
    resumed = replace(parts, resumeFrom=before["checkpoint"])
    after = trained(resumed, ranks, STEPS)
    return {
        "losses": {"whole": unbroken["losses"], "parts": before["losses"] | after["losses"]},
        "weights": {"whole": unbroken["weights"], "parts": after["weights"]},
        "validations": unbroken["validations"],
        "alone": counted_alone(resumed, after["checkpoint"], ranks) if job == "baseline" else [],
    }


def trained(spec: TrainingSpec, ranks: Ranks, until: int) -> dict:
    """Trains to the step, stops there, and tells what came of it."""
    torch.manual_seed(spec.seed)
    commands: list[LiveCommand] = []
    losses: dict[str, dict[str, str]] = {}
    validations: list = []
    counts: list = []
    notes: list[str] = []

    def poll() -> list[LiveCommand]:
        given, commands[:] = commands[:], []
        return given

    job = train_synthesis.train_synthesis if spec.job == "synthesis" else train_segmentation.train_segmentation
    for event in job(spec, ranks, ToyFeed(spec, ranks), poll):
        if isinstance(event, StepDone):
            losses[str(event.step)] = {name: value.hex() for name, value in event.losses.items()}
            if event.step + 1 == until < spec.steps:
                commands.append(LiveCommand(1, "stop"))
        elif isinstance(event, Note):
            notes.append(event.text)
        elif isinstance(event, CaseResult):
            counts.append(event.result["counts"])
        elif isinstance(event, ValidationDone):
            validations.append(counts)
            counts = []
            commands.append(LiveCommand(2, "validationVerdict"))
    directory = str(Path(spec.runDirectory) / "checkpoints" / f"step_{until:08d}")
    return {
        "losses": losses,
        "validations": validations,
        "checkpoint": directory,
        "weights": digest(directory),
        "notes": notes,
    }


def counted_alone(spec: TrainingSpec, directory: str, ranks: Ranks) -> list:
    """The last validation, as one rank counts it."""
    segmentor, _, _ = build_trained_segmentor(spec, ranks.device)
    segmentor.load_state_dict(load_weights(directory))
    events: Iterator[Event] = validate(spec, replace(ranks, rank=0, size=1), segmentor, STEPS)
    return [event.result["counts"] for event in events if isinstance(event, CaseResult)]


def digest(directory: str) -> str:
    content = hashlib.sha256()
    for name, tensor in sorted(load_weights(directory).items()):
        content.update(name.encode() + tensor.numpy().tobytes())
    return content.hexdigest()


def load_weights(directory: str) -> dict:
    """Without a place for them: the file must not ask for a device."""
    return torch.load(Path(directory) / "model.pt", weights_only=True)["state_dict"]


class ToyFeed:
    """Crops by formula with two plans each. Every third crop needs the second, and every sixth is refused both."""

    def __init__(self, spec: TrainingSpec, ranks: Ranks) -> None:
        self.waited_seconds = 0.0
        self._spec = spec
        self._measured: dict[int, dict[tuple[int, int], int]] = {}
        share = ITEMS_PER_STEP // ranks.size
        self._items = range(ranks.rank * share, (ranks.rank + 1) * share)

    def request(self, step: int) -> None: ...

    def crops(self, step: int) -> tuple[PlannedCrop, ...]:
        return tuple(toy_crop(step * ITEMS_PER_STEP + item, self._spec) for item in self._items)

    def send_measures(self, step, measures, wants_verdicts) -> None:
        self._measured[step] = {(one.item, one.crop): one.draw for one in measures}

    def verdicts(self, step: int) -> dict[tuple[int, int], CropVerdict]:
        return {
            (item, crop): CropVerdict(False, 1) if draw == 0 and item % 3 == 0 else CropVerdict(item % 6 != 0)
            for (item, crop), draw in self._measured.pop(step).items()
        }

    def ack(self, step: int) -> None: ...


def toy_crop(item: int, spec: TrainingSpec) -> PlannedCrop:
    image_hu, label = toy_volume(item)
    shape = torch.ones(5, 5, 5, dtype=torch.uint8)
    tumors = tuple(
        PlannedTumor("liver", "tiny", shape, (4 + draw, 4, 4), 1.0, 0, (item % 3, draw, 0), 0.5, draw)
        for draw in (0, 1)
    )
    augmentation = Augmentation((item % 2 == 0, False, False), item % 4, 1.0, 0.0)
    painted = tumors if spec.synthesis is not None else ()
    return PlannedCrop(
        item, 0, "toy", torch.from_numpy(image_hu), torch.from_numpy(label), augmentation, painted, None, False
    )


def toy_volume(item: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, with an organ (1) and a brighter tumor (2) in it: int16 HU and uint8 ids."""
    image = np.random.default_rng(item).integers(-100, 100, (SIDE,) * 3).astype(np.int16)
    label = np.zeros((SIDE,) * 3, np.uint8)
    label[2:14, 2:14, 2:14] = 1
    label[10:13, 10:13, 10:13] = 2
    image[label == 2] += 120
    return image, label


def write_cases(folder: Path) -> None:
    (folder / "textures").mkdir(parents=True)
    for number in range(4):
        image, label = toy_volume(1000 + number)
        attributes = {"contentSha256": f"content {number}"}
        write_prepared_case(folder / f"case_{number}.zarr", image, label, 7, -175, attributes)


def cached_case(folder: Path, number: int) -> dict:
    path = folder / f"case_{number}.zarr"
    return {"id": str(number), "path": str(path), "contentSha256": f"content {number}"}


def toy_spec(
    run: Path, job: str, folder: Path, baseline: str | None = None, changes: dict | None = None
) -> TrainingSpec:
    """Complete, as TypeScript sends it; the smallest networks. `changes`: dotted key -> value."""
    synthesis = job != "baseline"
    texture = {
        "textureSizeVoxels": [24, 24, 24],
        "textureDirectory": str(folder / "textures"),
        "textureSeed": 0,
        "gated": job == "segmentation",
        "measureAlreadySeen": job == "segmentation",
        "measures": [],
    }
    generator = {
        "checkpoint": None,
        "use": "both",
        "weights": None,
        "baseChannels": 2,
        "channel": "organ",
        "outputs": 3,
        "activationCheckpointing": False,
        "plugin": None,
    }
    names = ["background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor"]
    organs = [
        {"name": name, "label": 1 + 2 * at, "tumorLabel": 2 + 2 * at, "channel": at}
        for at, name in enumerate(["liver", "pancreas", "kidney"])
    ]
    raw = {
        "job": job,
        "runId": "toy",
        "runDirectory": str(run),
        "ownerNumber": 1,
        "seed": 3,
        "region": "abdomen",
        "steps": STEPS,
        "resumeFrom": None,
        "fingerprint": {"config": "c", "data": "d"},
        "itemsPerStep": ITEMS_PER_STEP,
        "cropsPerVolume": 1,
        "accumulation": 1,
        "patchVoxels": [SIDE] * 3,
        "windowHu": [-175, 250],
        "spacingMm": [1.5] * 3,
        "organs": organs,
        "trainingLabels": list(range(7)),
        "labelNames": names,
        "crossEntropyWeights": [1.0] * 7,
        "mixing": False,
        "synthesis": texture if synthesis else None,
        "segmentor": {
            "kind": "small",
            "featureSize": 8,
            "levels": 2,
            "stages": [],
            "deepSupervision": True,
            "patchMerging": "corrected",
            "outputs": 7,
            "initialWeights": None,
            "initialWeightsSet": None,
            "activationCheckpointing": False,
        },
        "baseline": {"checkpoint": f"{baseline}/model.pt", "patchMerging": None, "weights": None, "plugin": None}
        if synthesis
        else None,
        "generator": generator if synthesis else None,
        "optimizer": {
            "kind": "adam" if job == "synthesis" else "adamw",
            "learningRate": 0.003,
            "weightDecay": 0.0 if job == "synthesis" else 0.01,
            "schedule": "constant" if job == "synthesis" else "warmupCosine",
            "warmupSteps": 2,
            "gradientClip": None,
        },
        "adversarialWeight": 0.1,
        "freeze": [],
        "precision": "fp32",
        "reproducible": False,
        "compile": False,
        "memoryFormat": "contiguous",
        "device": "cpu",
        "processesPerNode": 1,
        "threadsPerProcess": 1,
        "validation": {
            "everySteps": 2,
            "cases": [] if synthesis else [cached_case(folder, number) for number in range(4)],
            "windows": {"overlap": 0.25, "blend": "constant", "windowBatch": 1},
        },
        "checkpoint": {"everySteps": 2},
        "pictures": 0,
        "licences": [],
    }
    for key, value in (changes or {}).items():
        *parts, last = key.split(".")
        reduce(dict.__getitem__, parts, raw)[last] = value
    return parse(TrainingSpec, raw, "toy")


if __name__ == "__main__":
    main()
