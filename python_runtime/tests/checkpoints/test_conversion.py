import io
import json
import os
import pickle
import tarfile

import pytest
import torch
from safetensors import safe_open

from freetumor_runtime.checkpoints.checkpoint_file import read_checkpoint, sha256_of
from freetumor_runtime.checkpoints.conversion import convert_checkpoint
from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.errors import CheckpointError, UsageError
from freetumor_runtime.models.segmentor import build_segmentor
from tests.checkpoints.forked_reading import read_in_a_fork
from tests.checkpoints.test_inspection import small_checkpoint

CPU = torch.device("cpu")


def swinunetr():
    return build_segmentor("swinunetr", outputs=2, feature_size=12, levels=4, patch_merging="legacy")


def test_a_conversion_to_safetensors_and_back_keeps_all_facts(tmp_path):
    path, safe, back = (str(tmp_path / name) for name in ("model.pt", "model.safetensors", "back.pt"))
    network = small_checkpoint(path)
    told = convert_checkpoint(path, "safetensors", safe, None)
    assert told == {"path": safe, "sha256": sha256_of(safe), "tensors": len(network.state_dict())}
    convert_checkpoint(safe, "pt", back, None)
    first = read_checkpoint(path)
    for other in (read_checkpoint(safe), read_checkpoint(back)):
        assert (other.metadata, other.training) == (first.metadata, first.training) == (first.metadata, {"epoch": 7})
        assert list(other.tensors) == sorted(first.tensors) or list(other.tensors) == list(first.tensors)
        assert all(torch.equal(other.tensors[key], value) for key, value in network.state_dict().items())
    assert load_segmentor(safe, None, CPU).report.complete


def test_the_metadata_of_safetensors_is_plain_text_that_others_can_read(tmp_path):
    path, safe = str(tmp_path / "model.pt"), str(tmp_path / "model.safetensors")
    small_checkpoint(path)
    convert_checkpoint(path, "safetensors", safe, None)
    with safe_open(safe, "pt") as file:
        assert json.loads(file.metadata()["freetumor"]) == read_checkpoint(path).metadata
        assert json.loads(file.metadata()["training"]) == {"epoch": 7}


def test_an_order_from_a_published_name_is_written_as_assumed(tmp_path):
    path, renamed = str(tmp_path / "model_covid_voco160k.pt"), str(tmp_path / "mine.pt")
    torch.save({"state_dict": swinunetr().state_dict()}, path)
    convert_checkpoint(path, "pt", renamed, None)
    facts = load_segmentor(renamed, None, CPU).facts
    assert (facts["patchMerging"], facts["mergingAssumed"]) == ("legacy", True)


def test_an_order_of_the_user_is_stated_in_the_new_file(tmp_path):
    path, stated = str(tmp_path / "mine.pt"), str(tmp_path / "stated.safetensors")
    torch.save({"state_dict": swinunetr().state_dict()}, path)
    convert_checkpoint(path, "safetensors", stated, "v2")
    facts = load_segmentor(stated, None, CPU).facts
    assert (facts["patchMerging"], facts["mergingAssumed"]) == ("v2", False)
    with pytest.raises(UsageError, match="expected v2, found legacy"):
        convert_checkpoint(stated, "pt", str(tmp_path / "x.pt"), "legacy")


def test_a_file_that_leaves_its_order_open_leaves_it_open(tmp_path):
    path, safe = str(tmp_path / "mine.pt"), str(tmp_path / "mine.safetensors")
    torch.save({"state_dict": swinunetr().state_dict()}, path)
    convert_checkpoint(path, "safetensors", safe, None)
    with pytest.raises(UsageError, match="does not state the patch-merging order"):
        load_segmentor(safe, None, CPU)


def test_tensors_that_share_memory_are_written_apart(tmp_path):
    path, safe = str(tmp_path / "tied.pt"), str(tmp_path / "tied.safetensors")
    shared = torch.arange(6.0).reshape(2, 3)
    # Beside a weight of its own storage: files that are mostly views are refused.
    torch.save({"a": shared, "b": shared, "c": shared.T, "d": torch.ones(24)}, path)
    convert_checkpoint(path, "safetensors", safe, None)
    tensors = read_checkpoint(safe).tensors
    assert (
        torch.equal(tensors["a"], shared) and torch.equal(tensors["b"], shared) and torch.equal(tensors["c"], shared.T)
    )


@pytest.mark.parametrize(
    ("to", "out", "said"),
    [
        ("onnx", "x.onnx", "expected safetensors or pt, found onnx"),
        ("safetensors", "x.pt", "wrong ending for this format"),
        ("pt", "x.safetensors", "wrong ending for this format"),
    ],
)
def test_a_format_that_is_unknown_or_called_otherwise_is_refused(tmp_path, to, out, said):
    path = str(tmp_path / "model.pt")
    small_checkpoint(path)
    with pytest.raises(UsageError, match=said):
        convert_checkpoint(path, to, str(tmp_path / out), None)


VIEWS = {
    "views_of_one_storage": lambda: {f"w{at}": STORAGE[:] for at in range(2000)},
    "overlapping_views": lambda: {f"w{at}": STORAGE[at:] for at in range(2000)},
    "transposed_views": lambda: {f"w{at}": STORAGE.view(1000, 1000).T for at in range(2000)},
    "an_expanded_number": lambda: {"w": torch.zeros(1).expand(10**13)},
    "an_expanded_row": lambda: {"w": STORAGE.view(1, -1).expand(10**6, -1)},
    "a_stride_of_zero": lambda: {"w": torch.as_strided(STORAGE, (10**7, 10**6), (0, 1))},
    "windows_that_overlap": lambda: {"w": torch.as_strided(STORAGE, (999_000, 1000), (1, 1))},
}
STORAGE = torch.zeros(10**6)


@pytest.mark.parametrize("to", ["safetensors", "pt"])
@pytest.mark.parametrize("name", VIEWS)
def test_tensors_that_claim_more_than_their_storages_are_refused_before_they_are_copied(tmp_path, name, to):
    path, out = str(tmp_path / "views.model"), str(tmp_path / f"out.{to}")
    torch.save({"state_dict": VIEWS[name]()}, path)
    reading = read_in_a_fork(path, lambda one: convert_checkpoint(one, to, out, None))
    assert reading.refused and path in reading.outcome, reading.outcome
    assert reading.megabytes <= 64
    assert [entry.name for entry in tmp_path.iterdir()] == ["views.model"]


def test_as_many_views_as_are_read_cost_no_more_than_their_own_size(tmp_path):
    path, out = str(tmp_path / "tied.pt"), str(tmp_path / "tied.safetensors")
    # Twice the storage, the most that is read, in 1,000 views.
    torch.save({"state_dict": {f"w{at}": STORAGE[at // 2 * 2000 :][:2000] for at in range(1000)}}, path)
    reading = read_in_a_fork(path, lambda one: convert_checkpoint(one, "safetensors", out, None))
    assert reading.outcome == "read"
    assert reading.megabytes <= 64
    assert os.path.getsize(out) < 2 * 4 * 10**6 + 200_000


def saved_as_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def saved_as_tar(content, path):
    """The form of PyTorch 0.1: a tar of pickles."""
    with tarfile.open(path, "w") as out:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            value = pickle.dumps(content)
            member = tarfile.TarInfo(name)
            member.size = len(value)
            out.addfile(member, io.BytesIO(value))


def saved_as_pickle(content, path):
    with open(path, "wb") as file:
        pickle.dump(content, file)


@pytest.mark.parametrize(
    ("save", "name"),
    [
        (saved_as_pickle, "plain"),
        (saved_as_tar, "plain"),
        (saved_as_legacy, "plain"),
        (saved_as_legacy, "views_of_one_storage"),
        (saved_as_legacy, "an_expanded_number"),
    ],
)
def test_forms_before_the_zip_are_refused_unread(tmp_path, save, name):
    path, out = str(tmp_path / "old.model"), str(tmp_path / "out.safetensors")
    save({"state_dict": {"w": torch.zeros(4)} if name == "plain" else VIEWS[name]()}, path)
    with pytest.raises(CheckpointError, match="not a zip checkpoint of torch.save") as refusal:
        convert_checkpoint(path, "safetensors", out, None)
    assert "save it again" in refusal.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.model"]
