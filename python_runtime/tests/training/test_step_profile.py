"""The stages of a step: exclusive times, nothing without the option."""

import json

import pytest
import torch

from freetumor_runtime.training import step_profile
from freetumor_runtime.training.step_profile import stage, stage_of, start_profile, write_profile

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves: [wall, processor] in seconds."""
    now = [0.0, 0.0]
    monkeypatch.setattr(step_profile, "_now", lambda: (now[0], now[1]))
    return now


@pytest.fixture
def profile(monkeypatch, clock):
    monkeypatch.setenv("FREETUMOR_PROFILE", "1")
    yield start_profile(CPU)
    monkeypatch.delenv("FREETUMOR_PROFILE")
    start_profile(CPU)


def test_a_stage_within_another_counts_for_itself_alone(profile, clock):
    profile.begin_step()
    with stage("paint"):
        clock[0] += 2
        with stage("judge"):
            clock[0] += 5
            clock[1] += 4
        clock[0] += 1
    clock[0] += 3
    profile.end_step()
    report = profile.report()
    assert (report["steps"], report["seconds"], report["processorSeconds"]) == (1, 11, 4)
    assert {one["name"]: one["seconds"] for one in report["stages"]} == {"paint": 3, "judge": 5, "other": 3}
    assert {one["name"]: one["processorSeconds"] for one in report["stages"]} == {"paint": 0, "judge": 4, "other": 0}
    assert all(one["deviceSeconds"] is None for one in report["stages"])


def test_forward_passes_of_a_network_are_a_stage_also_when_they_fail(profile, clock):
    class Network(torch.nn.Module):
        def forward(self, fails):
            clock[0] += 2
            if fails:
                raise ValueError

    network = Network()
    stage_of("judge", network)
    profile.begin_step()
    network(False)
    with pytest.raises(ValueError):
        network(True)
    clock[0] += 1
    profile.end_step()
    judge, other = profile.report()["stages"]
    assert (judge["calls"], judge["seconds"], other["seconds"]) == (2, 4, 1)


def test_saving_belongs_to_no_step(profile, clock, tmp_path):
    profile.begin_step()
    with stage("forward"):
        clock[0] += 1
    profile.end_step()
    with stage("save"):
        clock[0] += 9
    lines = write_profile(str(tmp_path), profile)
    assert lines == [
        "profile of 1 steps: 1000.0 ms each, 0.0 ms of processor time",
        "profile: forward: 1000.0 ms per step, 100%, processor 0.0 ms",
        "profile: save: 9000.0 ms per step, processor 0.0 ms",
        "profile: other: 0.0 ms per step, 0%, processor 0.0 ms",
    ]
    assert json.loads((tmp_path / "profile.json").read_text())["stages"][1]["name"] == "save"


def test_without_the_option_nothing_is_measured(clock):
    assert start_profile(CPU) is None
    network = torch.nn.Identity()
    stage_of("judge", network)
    assert not network._forward_hooks and stage("paint") is stage("judge")
