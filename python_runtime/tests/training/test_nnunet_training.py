"""A training of a resenc: resumed, on several ranks, and its checkpoint read again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from freetumor_runtime.checkpoints.conversion import convert_checkpoint
from freetumor_runtime.checkpoints.inspection import inspect_checkpoint
from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.errors import CheckpointError

SCRIPT = Path(__file__).with_name("toy_training.py")
STAGES = [
    {"features": 4, "kernel": [3, 3, 3], "stride": [1, 1, 1], "blocks": 1},
    {"features": 8, "kernel": [3, 3, 3], "stride": [2, 2, 2], "blocks": 1},
    {"features": 8, "kernel": [3, 3, 3], "stride": [2, 2, 2], "blocks": 1},
]
RESENC = {
    "segmentor.kind": "resenc",
    "segmentor.featureSize": 4,
    "segmentor.stages": STAGES,
    "optimizer.kind": "sgd",
    "optimizer.schedule": "poly",
    "optimizer.gradientClip": 12.0,
}
EXACT = {**RESENC, "reproducible": True}
RUNS = [
    {"job": "baseline", "ranks": 3, "name": "whole", "set": RESENC},
    {"job": "baseline", "ranks": 3, "name": "parts", "until": 3, "set": RESENC},
    {"job": "baseline", "ranks": 3, "name": "rest", "resume": "parts", "set": RESENC},
    {"job": "baseline", "ranks": 1, "name": "exact-1", "set": EXACT},
    {"job": "baseline", "ranks": 2, "name": "exact-2", "set": EXACT},
    {"job": "baseline", "ranks": 1, "name": "bf16", "until": 1, "set": {**RESENC, "precision": "bf16", "steps": 1}},
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("toy")), "--runs", json.dumps(RUNS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    reports = json.loads(done.stdout.strip().splitlines()[-1])
    return {run["name"]: report for run, report in zip(RUNS, reports, strict=True)}


def test_a_resumed_training_on_three_ranks_is_bit_identical_to_an_uninterrupted_one(told):
    assert told["parts"]["losses"] | told["rest"]["losses"] == told["whole"]["losses"]
    assert told["rest"]["weights"] == told["whole"]["weights"]


def test_the_reproducible_mode_is_bit_identical_on_one_and_two_ranks(told):
    assert told["exact-2"]["losses"] == told["exact-1"]["losses"]
    assert told["exact-2"]["weights"] == told["exact-1"]["weights"]


def test_half_precision_gives_nearly_the_same_loss(told):
    whole, half = (float.fromhex(told[name]["losses"]["0"]["total"]) for name in ("whole", "bf16"))
    assert half == pytest.approx(whole, rel=0.05) and half != whole


@torch.no_grad()
def test_its_checkpoint_is_inspected_loaded_and_converted(told, tmp_path):
    path = f"{told['whole']['checkpoint']}/model.pt"
    (network,) = inspect_checkpoint(path)["networks"]
    assert (network["architecture"], network["width"], network["outputs"]) == ("resenc", 4, 7)
    assert (network["missing"], network["unexpected"], network["tumorOutputs"]) == (0, 0, [2, 4, 6])
    loaded = load_segmentor(path, None, torch.device("cpu"))
    assert loaded.facts["stages"] == STAGES
    logits = loaded.network(torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (1, 7, 16, 16, 16)
    other = str(tmp_path / "model.safetensors")
    convert_checkpoint(path, "safetensors", other, None)
    again = load_segmentor(other, None, torch.device("cpu")).network
    assert all(torch.equal(*pair) for pair in zip(again.parameters(), loaded.network.parameters(), strict=True))


def one_stage_changed(**changes):
    return [*STAGES[:-1], {**STAGES[-1], **changes}]


@pytest.mark.parametrize(
    "stages",
    [
        None,
        STAGES[:1],
        json.loads(json.dumps(STAGES * 4)),
        one_stage_changed(features=10**6),
        one_stage_changed(features=True),
        one_stage_changed(kernel=[3, 3]),
        one_stage_changed(stride=[2, 2, -2]),
        one_stage_changed(blocks=10**9),
        one_stage_changed(more=1),
    ],
)
def test_stages_that_describe_no_network_are_refused_before_memory_is_allocated(told, tmp_path, stages):
    content = torch.load(f"{told['whole']['checkpoint']}/model.pt", weights_only=True)
    content["freetumor"]["segmentor"]["stages"] = stages
    path = str(tmp_path / "model.pt")
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="does not describe a resenc segmentor"):
        load_segmentor(path, None, torch.device("cpu"))
