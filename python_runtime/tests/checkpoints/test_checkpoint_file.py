import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from freetumor_runtime.checkpoints.checkpoint_file import read_checkpoint, write_checkpoint
from freetumor_runtime.errors import CheckpointError, EnvironmentError


class TouchesAFile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mknod, (self.path,))


def rewritten(source, target, change):
    """The archive with every (name, bytes, compression) as `change` returns them."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for member in before.infolist():
            for name, content, compression in change(member.filename, before.read(member)):
                after.writestr(zipfile.ZipInfo(name), content, compression)


@pytest.fixture
def good(tmp_path):
    path = str(tmp_path / "good.pt")
    torch.save({"state_dict": {"a.weight": torch.arange(2000.0)}}, path)
    return path


@pytest.mark.parametrize(
    ("key", "normalised"),
    [
        ("netG.down_tr64.x", "netG.down_tr64.x"),
        ("module.netG.module.x", "netG.x"),
        ("module.backbone.swin_vit.y", "swinViT.y"),
        ("netSeg.module.swin_vit.y", "netSeg.swinViT.y"),
        ("swinViT.y", "swinViT.y"),
        ("decoder.swin_vit.y", "decoder.swin_vit.y"),
        ("netG.netD.y", "netG.netD.y"),
        ("model._orig_mod.network.y", "y"),
        ("module." * 20 + "y", "module." * 12 + "y"),
    ],
)
def test_prefixes_of_wrappers_are_dropped_and_old_names_renamed(tmp_path, key, normalised):
    path = str(tmp_path / "x.pt")
    torch.save({key: torch.zeros(2)}, path)
    assert list(read_checkpoint(path).tensors) == [normalised]


def test_a_pickle_that_would_run_something_is_refused_by_name_and_not_run(tmp_path):
    path, touched = str(tmp_path / "evil.pt"), tmp_path / "touched"
    torch.save({"state_dict": {"a": torch.zeros(2)}, "extra": TouchesAFile(str(touched))}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pt.*mknod"):
        read_checkpoint(path)
    assert not touched.exists()


def test_the_numpy_score_of_published_trainers_is_no_obstacle(tmp_path):
    path = str(tmp_path / "model.pt")
    torch.save({"epoch": 3, "best_acc": np.float64(0.5), "state_dict": {"a": torch.ones(2)}}, path)
    assert torch.equal(read_checkpoint(path).tensors["a"], torch.ones(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, content: [(name, content, zipfile.ZIP_DEFLATED)], "compressed member"),
        (lambda name, content: [(name, content, 0)] * 2, "two members with one name"),
        (lambda name, content: [(name, content, 0), (f"other/{name}", content, 0)], "members that no state dict has"),
        (
            lambda name, content: [(name, content, 0), ("other/data.pkl", content, 0)][: 1 + name.endswith("pkl")],
            "one data",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_torch_would_not_write_are_refused(tmp_path, good, change, said):
    path = str(tmp_path / "changed.pt")
    rewritten(good, path, change)
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(path)


def test_members_that_lie_over_each_other_are_refused(tmp_path, good):
    """A zip bomb without compression: many entries of the directory name the same bytes."""
    path = str(tmp_path / "overlap.pt")
    rewritten(good, path, lambda name, content: [(name, content, 0)])
    with zipfile.ZipFile(path, "a") as archive:
        data = next(member for member in archive.infolist() if member.filename.endswith("/data/0"))
        for number in range(3):
            twin = zipfile.ZipInfo(f"good/data/{number + 1}")
            twin.header_offset, twin.CRC = data.header_offset, data.CRC
            twin.compress_size = twin.file_size = data.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    with pytest.raises(CheckpointError, match="claims more bytes than the file has|overlapping members"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", pickle.dumps({"state_dict": {}})])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a zip checkpoint"):
        read_checkpoint(str(path))


def test_a_missing_file_is_named():
    with pytest.raises(CheckpointError, match=r"nowhere/x\.pt: file not found"):
        read_checkpoint("nowhere/x.pt")


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: cannot be read as safetensors"):
        read_checkpoint(str(path))


def test_a_cut_file_is_refused(tmp_path, good):
    path = tmp_path / "cut.pt"
    with open(good, "rb") as file:
        path.write_bytes(file.read()[:-200])
    with pytest.raises(CheckpointError, match="cut.pt"):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.zeros(2)], "expected a dict, found list"),
        ({}, "holds no tensors"),
        ({"a": torch.zeros(1).expand(10**12)}, "not a dense tensor with memory for its shape"),
        ({"a": torch.eye(3).to_sparse()}, "more than weights: torch._utils._rebuild_sparse_tensor"),
        ({"a": torch.zeros(1), "module.a": torch.ones(1)}, "two tensors have the name a"),
        ({"state_dict": {"a": torch.zeros(1)}, "freetumor": {"version": 2}}, "expected 1, found 2"),
        ({"state_dict": {"a": torch.zeros(1)}, "freetumor": [1]}, "expected a dict, found list"),
        (
            {"state_dict": {"a": torch.zeros(1)}, "freetumor": {"segmentor": 3}},
            "wrong segmentor in its freetumor entry",
        ),
    ],
)
def test_files_of_another_form_are_refused_with_the_reason(tmp_path, content, said):
    path = str(tmp_path / "odd.pt")
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(path)


def test_a_write_is_complete_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"earlier")
    write_checkpoint(str(path), {"state_dict": {"a": torch.ones(3)}, "freetumor": {"version": 1, "kind": "segmentor"}})
    file = read_checkpoint(str(path))
    assert torch.equal(file.tensors["a"], torch.ones(3))
    assert file.metadata == {"version": 1, "kind": "segmentor"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]


def test_a_failed_write_keeps_the_earlier_file_and_reports_the_cause(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    path.write_bytes(b"earlier")

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(EnvironmentError, match="model.pt cannot be written: No space left on device"):
        write_checkpoint(str(path), {"a": torch.ones(3)})
    assert path.read_bytes() == b"earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]


def test_views_that_would_cost_a_pass_each_are_refused(tmp_path):
    path = str(tmp_path / "views.pt")
    storage = torch.zeros(100_000)
    torch.save({"state_dict": {f"w{at}": storage[:] for at in range(200)}}, path)
    with pytest.raises(CheckpointError, match="at most 2 x 400000 bytes, found 80000000"):
        read_checkpoint(path)


def test_tied_weights_and_parts_of_one_storage_are_read(tmp_path):
    path = str(tmp_path / "tied.pt")
    tied, parts = torch.ones(1000), torch.arange(1000.0)
    torch.save({"state_dict": {"a": tied, "b": tied, **{f"c{at}": parts[at : at + 1] for at in range(500)}}}, path)
    assert len(read_checkpoint(path).tensors) == 502


def test_a_deeply_nested_manifest_next_to_the_file_is_ignored(tmp_path):
    path = str(tmp_path / "model.pt")
    torch.save({"state_dict": {"a": torch.ones(10)}}, path)
    (tmp_path / "manifest.json").write_text("[" * 3_000_000)
    assert list(read_checkpoint(path).tensors) == ["a"]
