"""Files that mean harm are refused: nothing runs, nothing fills memory, nothing kills the process that reads."""

import os

import pytest
import torch

from freetumor_runtime.checkpoints.checkpoint_file import read_checkpoint
from tests.checkpoints.forked_reading import read_in_a_fork
from tests.checkpoints.hostile_files import FOUR, HOSTILE, ONE, archive, state

MOST_MEGABYTES = 64


def test_a_plain_file_made_by_the_same_means_is_read(tmp_path):
    """So what is refused below is refused for its fault, not for how it was written."""
    file = read_checkpoint(str(archive(tmp_path / "x.pt", state(ONE), FOUR)))
    assert torch.equal(file.tensors["a"], torch.zeros(4))


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 50


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_without_a_side_effect_and_without_its_memory(tmp_path, name):
    folder, touched = tmp_path / "in", tmp_path / "touched"
    folder.mkdir()
    path = HOSTILE[name](folder, touched)
    before = sorted(os.listdir(folder))
    reading = read_in_a_fork(str(path))
    assert reading.refused, reading.outcome
    assert str(path) in reading.outcome
    assert len(reading.outcome) < 2000
    assert not touched.exists()
    assert sorted(os.listdir(folder)) == before and os.listdir(tmp_path) == ["in"]
    assert reading.megabytes <= MOST_MEGABYTES


def test_no_environment_variable_opens_a_way_around(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for name in ("os_system", "evaluated_source", "old_format_of_torch"):
        folder = tmp_path / name
        folder.mkdir()
        reading = read_in_a_fork(str(HOSTILE[name](folder, folder / "touched")))
        assert reading.refused, reading.outcome
        assert not (folder / "touched").exists()
