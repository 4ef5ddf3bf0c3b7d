"""Checkpoint directories: complete or absent, verified, and of the configuration that loads them."""

import errno
import itertools
import json
import os
import re
import resource
import signal
from pathlib import Path

import pytest
import torch

from freetumor_runtime.config.training import OptimizerSpec
from freetumor_runtime.errors import CheckpointError, EnvironmentError, Superseded
from freetumor_runtime.training.optimization import build_optimizer
from freetumor_runtime.training.state import (
    Owner,
    load_checkpoint,
    rate_to_go_on_with,
    restore_network,
    restore_optimizer,
    save_checkpoint,
)

CPU = torch.device("cpu")
MADE_BY = {"config": "c", "data": "d", "ranks": 1, "threadsPerProcess": 1, "device": "cpu", "torch": "2"}


def save(run, step, value=1.0, size=4, owner=None):
    weights = {"state_dict": {"w": torch.full((size,), value)}}
    return save_checkpoint(str(run), step, weights, {"step": step}, MADE_BY, owner)


def names(run):
    return sorted(path.name for path in (Path(run) / "checkpoints").iterdir())


def adam(kind="adamw", weight_decay=0.01, sides=(3, 2)):
    spec = OptimizerSpec(kind, 3e-4, weight_decay, "constant", 0, None)
    network = torch.nn.Linear(*sides)
    optimizer = build_optimizer(spec, network.parameters())
    network(torch.ones(1, sides[0])).sum().backward()
    optimizer.step()
    return optimizer, spec


def test_latest_names_the_newest_directory_and_both_files_load(tmp_path):
    save(tmp_path, 10)
    newest = save(tmp_path, 20, value=2.0)
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step_00000020"
    model, state = load_checkpoint(newest, CPU)
    assert model["state_dict"]["w"].tolist() == [2.0] * 4
    assert state == {"step": 20}


def test_the_manifest_holds_sizes_hashes_and_what_the_checkpoint_was_made_under(tmp_path):
    manifest = json.loads((Path(save(tmp_path, 4)) / "manifest.json").read_text())
    assert manifest["step"] == 4
    assert manifest["madeBy"] == MADE_BY
    assert set(manifest["files"]) == {"model.pt", "state.pt"}
    assert all(len(entry["sha256"]) == 64 for entry in manifest["files"].values())


def test_a_step_that_is_saved_again_takes_the_place_of_the_first(tmp_path):
    save(tmp_path, 7)
    again = save(tmp_path, 7, value=3.0)
    assert load_checkpoint(again, CPU)[0]["state_dict"]["w"].tolist() == [3.0] * 4
    assert names(tmp_path) == ["latest", "step_00000007"]


@pytest.mark.parametrize("file", ["model.pt", "state.pt"])
def test_one_flipped_bit_is_detected(tmp_path, file):
    path = Path(save(tmp_path, 1)) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{file}: the content does not match"):
        load_checkpoint(path.parent, CPU)


def test_a_directory_without_manifest_is_no_checkpoint(tmp_path):
    folder = save(tmp_path, 1)
    os.remove(os.path.join(folder, "manifest.json"))
    with pytest.raises(CheckpointError, match="no readable manifest"):
        load_checkpoint(folder, CPU)


def test_a_folder_that_cannot_be_written_is_an_error_with_its_path(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentError, match="checkpoints"):
        save(tmp_path, 1)


def test_a_write_that_the_system_ends_half_way_names_path_and_errno_and_leaves_the_last_checkpoint(tmp_path):
    save(tmp_path, 1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # those of its parent are not there after a fork
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))
        try:
            save(tmp_path, 2, size=1 << 20)
        except Exception as error:
            os.write(writing, "\n".join([type(error).__name__, str(error), error.hint]).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        kind, message, hint = told.read().split("\n")
    assert kind == "EnvironmentError"
    assert "checkpoints/step_00000002" in message and f"(errno {errno.EFBIG})" in message
    assert "free space" in hint and "--resume" in hint
    assert names(tmp_path) == ["latest", "step_00000001"]
    assert load_checkpoint(tmp_path / "checkpoints" / "step_00000001", CPU)[1] == {"step": 1}


@pytest.mark.parametrize("stage", ["model.pt", "state.pt", "manifest.json", "replaced"])
def test_a_kill_at_any_stage_of_a_save_leaves_only_whole_checkpoints(tmp_path, stage):
    folder = tmp_path / "checkpoints"
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # those of its parent are not there after a fork
        for step in itertools.count():
            save(tmp_path, 1 + step // 2, value=1 + step // 2, size=1 << 18)
    wanted = "*.replaced" if stage == "replaced" else f"*.tmp.*/{stage}"
    while not ((folder / "latest").exists() and any(folder.glob(wanted))):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    # the one that is replaced is removed as soon as the other stands
    names = {path.name for path in folder.iterdir()}
    steps = [folder / name for name in names if re.fullmatch(r"step_\d{8}(\.replaced)?", name)]
    whole = [path for path in steps if path.suffix == "" or path.stem not in names]
    assert whole
    for path in whole:
        model, state = load_checkpoint(path, CPU)
        assert model["state_dict"]["w"].unique().tolist() == [state["step"]] == [int(path.stem[-8:])]


def test_moments_come_back_and_a_changed_weight_decay_holds():
    trained, spec = adam(weight_decay=0.01)
    fresh, changed = adam(weight_decay=0.5)
    restore_optimizer("run", "optimizer", fresh, trained.state_dict(), changed)
    for one, other in zip(trained.state_dict()["state"].values(), fresh.state_dict()["state"].values(), strict=True):
        assert torch.equal(one["exp_avg"], other["exp_avg"])
    assert fresh.param_groups[0]["weight_decay"] == 0.5 != spec.weightDecay


def test_the_state_of_another_optimizer_or_network_is_refused():
    trained, _ = adam("adam")
    fresh, spec = adam("adamw")
    with pytest.raises(CheckpointError, match="another kind of optimizer"):
        restore_optimizer("run", "optimizer", fresh, trained.state_dict(), spec)
    with pytest.raises(CheckpointError, match="size mismatch"):
        restore_network("run", "segmentor", torch.nn.Linear(3, 2), torch.nn.Linear(5, 2).state_dict())


def test_a_rate_set_live_holds_on_unless_the_configuration_names_another():
    spec = OptimizerSpec("adam", 1e-4, 0.0, "constant", 0, None)
    assert rate_to_go_on_with({"rate": 5e-5, "configuredRate": 1e-4}, spec) == 5e-5
    assert rate_to_go_on_with({"rate": 5e-5, "configuredRate": 3e-4}, spec) == 1e-4


def own(run, number, start):
    (Path(run) / "owner.json").write_text(json.dumps({"number": number, "run": start, "pid": 1, "host": "h"}))


@pytest.mark.parametrize("taken", [(2, "b"), (1, "b")])
def test_a_start_that_was_superseded_publishes_nothing(tmp_path, taken):
    own(tmp_path, 1, "a")
    save(tmp_path, 10, owner=Owner(1, "a"))
    before = names(tmp_path)
    own(tmp_path, *taken)
    with pytest.raises(Superseded, match=f"start {taken[0]} of the run has taken it over from start 1"):
        save(tmp_path, 20, owner=Owner(1, "a"))
    assert names(tmp_path) == before
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step_00000010"


def test_a_save_whose_files_the_next_owner_swept_was_superseded(tmp_path, monkeypatch):
    own(tmp_path, 1, "a")

    def swept(descriptor):
        own(tmp_path, 2, "b")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "fsync", swept)
    with pytest.raises(Superseded):
        save(tmp_path, 10, owner=Owner(1, "a"))


@pytest.mark.parametrize("text", [None, "", "null", "7", '{"number": 2}', '{"number": "x", "run": "b"}'])
def test_a_missing_or_damaged_owner_file_stops_no_save(tmp_path, text):
    if text is not None:
        (tmp_path / "owner.json").write_text(text)
    save(tmp_path, 10, owner=Owner(1, "a"))
    assert names(tmp_path) == ["latest", "step_00000010"]


@pytest.mark.parametrize("text", ["[" * 3_000_000, "[]", "{}", '{"files": {"model.pt": 1}}'])
def test_a_manifest_that_names_no_hashes_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"no readable manifest\.json"):
        load_checkpoint(str(tmp_path), torch.device("cpu"))
