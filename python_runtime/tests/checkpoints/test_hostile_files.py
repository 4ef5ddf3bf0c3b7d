"""Files that mean harm are refused: nothing runs, nothing fills memory, nothing kills the process that reads."""

import os

import pytest
import torch

from freetumor_runtime.checkpoints.checkpoint_file import read_checkpoint
from freetumor_runtime.checkpoints.inert import STAND_INS, Inert
from tests.checkpoints.forked_reading import read_in_a_fork
from tests.checkpoints.hostile_files import (
    FOUR,
    HOSTILE,
    ONE,
    archive,
    called,
    namespace,
    pickled_value,
    state,
)

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


ARRAY = called("numpy._core.multiarray._reconstruct", b"cnumpy\nndarray\n", pickled_value((0,)), pickled_value("b"))
HARMLESS = {
    "array whose state claims a tebibyte": ARRAY + pickled_value((1, (2**40,), "f8", False, "")) + b"b",
    "array of objects": ARRAY + b"(K\x01" + pickled_value((1,)) + b"N\x89](" + namespace() + b"etb",
    "namespace whose state names dunders": namespace(("__class__", b"N"), ("__setstate__", b"K\x01")),
    "path out of the folder": called("pathlib.PosixPath", pickled_value("/"), pickled_value("etc")),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_an_inert_object_costs_nothing_and_is_never_built(tmp_path, name):
    weights = b"}" + pickled_value("a") + ONE[1] + b"s"
    path = archive(tmp_path / "x.pt", state(("state_dict", weights), ("x", HARMLESS[name])), FOUR)
    reading = read_in_a_fork(str(path))
    assert reading.outcome == "read"
    assert reading.megabytes <= MOST_MEGABYTES
    with torch.serialization.safe_globals(STAND_INS):
        built = torch.load(path, weights_only=True)["x"]
    assert isinstance(built, Inert) and vars(built) == {}


def test_no_environment_variable_opens_a_way_around(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for name in ("os_system", "evaluated_source", "old_format_of_torch"):
        folder = tmp_path / name
        folder.mkdir()
        reading = read_in_a_fork(str(HOSTILE[name](folder, folder / "touched")))
        assert reading.refused, reading.outcome
        assert not (folder / "touched").exists()
