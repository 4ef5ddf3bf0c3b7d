"""Checkpoint directories: complete or absent, verified, pruned."""

import json
import os
from pathlib import Path

import pytest
import torch

from freetumor_runtime.errors import CheckpointError, EnvironmentError
from freetumor_runtime.training.state import load_state, save_checkpoint

CPU = torch.device("cpu")


def save(run, step, keep=3, value=1.0):
    weights = {"state_dict": {"w": torch.full((4,), value)}}
    return save_checkpoint(str(run), step, weights, {"step": step, "w": torch.full((4,), value)}, keep)


def test_latest_names_the_newest_directory_and_its_state_loads(tmp_path):
    save(tmp_path, 10)
    newest = save(tmp_path, 20, value=2.0)
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step_00000020"
    assert load_state(newest, CPU)["step"] == 20


def test_only_the_last_k_and_the_best_are_kept(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoints" / "best").write_text("step_00000001")
    for step in range(2, 6):
        save(tmp_path, step, keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert names == ["step_00000001", "step_00000004", "step_00000005"]


def test_litter_of_a_killed_save_is_swept_by_the_next(tmp_path):
    litter = tmp_path / "checkpoints" / "step_00000007.tmp.123"
    litter.mkdir(parents=True)
    (litter / "model.pt").write_bytes(b"half")
    save(tmp_path, 8)
    assert not litter.exists()


def test_one_flipped_bit_is_detected(tmp_path):
    folder = save(tmp_path, 1)
    path = Path(folder) / "state.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="state.pt: the content does not match"):
        load_state(folder, CPU)


def test_a_directory_without_manifest_is_no_checkpoint(tmp_path):
    folder = save(tmp_path, 1)
    os.remove(os.path.join(folder, "manifest.json"))
    with pytest.raises(CheckpointError, match="no readable manifest"):
        load_state(folder, CPU)


def test_the_manifest_holds_sizes_and_hashes(tmp_path):
    manifest = json.loads((Path(save(tmp_path, 4)) / "manifest.json").read_text())
    assert manifest["step"] == 4
    assert set(manifest["files"]) == {"model.pt", "state.pt"}
    assert all(len(entry["sha256"]) == 64 for entry in manifest["files"].values())


def test_a_folder_that_cannot_be_written_is_an_error_with_its_path(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentError, match="checkpoints"):
        save(tmp_path, 1)
