"""What our trainings write is read by the published way: torch.load, `state_dict`, the published keys, nothing else."""

import dataclasses
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.networks.nets import SwinUNETR

from freetumor_runtime.checkpoints.inspection import inspect_checkpoint
from freetumor_runtime.config.common import BaselineSpec, Organ
from freetumor_runtime.config.training import GeneratorSpec, OptimizerSpec, SynthesisSpec, TrainingSpec
from freetumor_runtime.events import CheckpointSaved
from freetumor_runtime.jobs.train_segmentation import train_segmentation
from freetumor_runtime.jobs.train_synthesis import train_synthesis
from freetumor_runtime.training.boundary import LiveCommand
from freetumor_runtime.training.ranks import Ranks
from tests.parity import keys_of, needs_parity, published_keys

ORGANS = (Organ("liver", 1, 2, 0), Organ("pancreas", 3, 4, 1), Organ("kidney", 5, 6, 2))
NAMES = ("background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor")
RANKS = Ranks(0, 1, torch.device("cpu"), None)
FEED = SimpleNamespace(request=lambda step: None, crops=lambda step: (), send_measures=lambda *a, **k: None)


def training(folder, job, **parts):
    """A specification at the smallest sizes; what a stop before the first step does not need is left out."""
    given = {
        "job": job,
        "runDirectory": str(folder),
        "ownerNumber": 1,
        "region": "abdomen",
        "steps": 5,
        "itemsPerStep": 1,
        "cropsPerVolume": 1,
        "accumulation": 1,
        "patchVoxels": (32, 32, 32),
        "windowHu": (-175.0, 250.0),
        "spacingMm": (1.5, 1.5, 1.5),
        "organs": ORGANS,
        "trainingLabels": tuple(range(7)),
        "labelNames": NAMES,
        "crossEntropyWeights": (1.0,) * 7,
        "segmentor": SimpleNamespace(
            kind="swinunetr",
            featureSize=12,
            levels=4,
            stages=(),
            deepSupervision=True,
            patchMerging="corrected",
            outputs=7,
            initialWeights=None,
            initialWeightsSet=None,
            activationCheckpointing=False,
        ),
        "optimizer": OptimizerSpec("adam", 1e-4, 0.0, "constant", 1, None),
        "freeze": (),
        "precision": "fp32",
        "memoryFormat": "contiguous",
        "validation": SimpleNamespace(
            everySteps=None, cases=(), windows=SimpleNamespace(overlap=0.75, blend="constant")
        ),
        "checkpoint": SimpleNamespace(everySteps=None, keep=1),
        "fingerprint": SimpleNamespace(config="", data=""),
        "pictures": 0,
        "licences": [],
        **parts,
    }
    return TrainingSpec(**{field.name: given.get(field.name) for field in dataclasses.fields(TrainingSpec)})


def stopped_at_once(job, spec):
    """The model.pt of a training that is stopped before its first step."""
    events = list(job(spec, RANKS, FEED, lambda: [LiveCommand(1, "stop", reason="test")]))
    (saved,) = [event for event in events if isinstance(event, CheckpointSaved)]
    return Path(saved.directory) / "model.pt"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of a baseline training and of a synthesis training that judges by it."""
    folder = tmp_path_factory.mktemp("runs")
    baseline = stopped_at_once(train_segmentation, training(folder / "baseline", "baseline"))
    spec = training(
        folder / "synthesis",
        "synthesis",
        synthesis=SynthesisSpec((32, 32, 32), str(folder), 1, gated=False, measureAlreadySeen=False, measures=()),
        baseline=BaselineSpec(str(baseline), None, None, None),
        generator=GeneratorSpec(None, "both", None, 4, "organ", 3, False, None),
    )
    return {"baseline": baseline, "synthesis": stopped_at_once(train_synthesis, spec)}


def read_as_published(path):
    with warnings.catch_warnings(action="error"):
        content = torch.load(path, map_location="cpu", weights_only=True)
    return content["state_dict"]


def test_plain_monai_takes_the_segmentor_strictly(written):
    network = SwinUNETR(in_channels=1, out_channels=7, feature_size=12, use_v2=True)
    network.load_state_dict(read_as_published(written["baseline"]), strict=True)


@needs_parity
def test_a_synthesis_checkpoint_has_the_published_keys_and_no_other(written):
    weights = read_as_published(written["synthesis"])
    published = published_keys("tgan_abdomen")
    assert set(weights) == set(published)
    assert {key: str(value.dtype).removeprefix("torch.") for key, value in weights.items()} == {
        key: dtype for key, (_, dtype) in published.items()
    }
    assert {key: value.ndim for key, value in weights.items()} == {
        key: len(shape) for key, (shape, _) in published.items()
    }


@needs_parity
def test_a_segmentor_has_the_published_keys_and_no_other(written):
    assert set(read_as_published(written["baseline"])) == set(published_keys("swinunetr_v2_fs48_out7"))


def test_the_segmentor_of_a_synthesis_checkpoint_is_the_baseline(written):
    baseline, weights = read_as_published(written["baseline"]), read_as_published(written["synthesis"])
    inside = {key.removeprefix("netSeg."): value for key, value in weights.items() if key.startswith("netSeg.")}
    network = SwinUNETR(in_channels=1, out_channels=7, feature_size=12, use_v2=True)
    network.load_state_dict(inside, strict=True)
    assert keys_of(network).keys() == baseline.keys()
    assert all(torch.equal(inside[key], value) for key, value in baseline.items())


def test_the_files_state_all_facts_needed_to_use_them_elsewhere(written):
    baseline, synthesis = (inspect_checkpoint(str(written[job])) for job in ("baseline", "synthesis"))
    assert (baseline["kind"], synthesis["kind"]) == ("baseline", "generator")
    for told in (baseline, synthesis):
        assert told["patchMerging"] == {"order": "corrected", "assumed": False, "needed": False}
        assert told["verifiedBy"] == "sha256"
        assert {key: told["metadata"][key] for key in ("windowHu", "spacingMm", "patchVoxels", "region")} == {
            "windowHu": [-175.0, 250.0],
            "spacingMm": [1.5, 1.5, 1.5],
            "patchVoxels": [32, 32, 32],
            "region": "abdomen",
        }
        assert [organ["tumorLabel"] for organ in told["metadata"]["organs"]] == [2, 4, 6]
    assert baseline["metadata"]["labelNames"] == list(NAMES)
    assert (synthesis["channelMode"]["mode"], synthesis["channelMode"]["assumed"]) == ("organ", False)
