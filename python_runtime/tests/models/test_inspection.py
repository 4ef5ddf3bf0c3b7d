import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from freetumor_runtime.errors import UsageError
from freetumor_runtime.models.checkpoint import load_segmentor, segmentor_metadata
from freetumor_runtime.models.inspection import convert_checkpoint, inspect_checkpoint
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d


def swinunetr(outputs=7):
    return build_segmentor("swinunetr", outputs=outputs, feature_size=12, levels=4, patch_merging="legacy")


def small_checkpoint(path):
    network = build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="legacy")
    spec = SimpleNamespace(
        region="abdomen",
        windowHu=(-175.0, 250.0),
        spacingMm=(1.5, 1.5, 1.5),
        patchVoxels=(32, 32, 32),
        labelNames=["background", "organ", "tumor"],
        trainingLabels=[0, 1, 2],
        organs=[SimpleNamespace(name="liver", label=1, tumorLabel=2, channel=0)],
        segmentor=SimpleNamespace(kind="small", featureSize=4, levels=2, outputs=3, patchMerging="corrected"),
        generator=None,
    )
    torch.save({"state_dict": network.state_dict(), "freetumor": segmentor_metadata(spec)}, path)
    return network


def test_tells_the_networks_of_a_published_synthesis_checkpoint_and_what_is_assumed(tmp_path):
    path = str(tmp_path / "TGAN_abdomen.pt")
    generator = UNet3d(3, base_channels=4)
    with torch.no_grad():
        generator.out_tr.final_conv.weight[0] += 5
    networks = {"netG": generator, "netD": UNet3d(3, base_channels=4), "netSeg": swinunetr()}
    weights = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    torch.save({"state_dict": weights}, path)
    told = inspect_checkpoint(path)
    json.dumps(told, allow_nan=False)
    assert told["kind"] == "synthesis"
    assert [(one["name"], one["matched"], one["missing"], one["unexpected"]) for one in told["networks"]] == [
        ("netG", 106, 0, 0),
        ("netD", 106, 0, 0),
        ("netSeg", 167, 0, 0),
    ]
    assert [one["outputs"] for one in told["networks"]] == [3, 3, 7]
    assert told["patchMerging"] == {"order": "legacy", "assumed": True, "needed": False}
    assert told["channelMode"] == {"mode": "shared", "assumed": True, "untouchedOutputs": [1, 2]}
    with open(path, "rb") as file:
        assert told["sha256"] == hashlib.sha256(file.read()).hexdigest()


def test_tells_what_a_pretrained_file_lacks_and_has_too_much(tmp_path):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    weights = dict(swinunetr().state_dict())
    del weights["out.conv.conv.weight"], weights["out.conv.conv.bias"]
    torch.save({"net": {**weights, "student.x": torch.zeros(2)}}, path)
    told = inspect_checkpoint(path)
    (network,) = told["networks"]
    assert (network["matched"], network["missing"], network["unexpected"]) == (165, 2, 1)
    assert network["unexpectedKeys"] == ["student.x"]
    assert network["outputs"] is None
    assert told["channelMode"] is None


def test_says_that_the_order_of_somebody_elses_swinunetr_must_be_told(tmp_path):
    path = str(tmp_path / "mine.pt")
    torch.save(swinunetr().state_dict(), path)
    told = inspect_checkpoint(path)
    assert told["kind"] == "segmentor"
    assert told["patchMerging"] == {"order": None, "assumed": False, "needed": True}


def test_tells_a_small_segmentor_by_its_metadata_and_anything_else_as_unknown(tmp_path):
    path = str(tmp_path / "model.pt")
    small_checkpoint(path)
    told = inspect_checkpoint(path)
    assert (told["kind"], told["networks"][0]["architecture"]) == ("segmentor", "small")
    assert (told["networks"][0]["missing"], told["networks"][0]["outputs"]) == (0, 3)
    assert told["patchMerging"]["needed"] is False
    torch.save({"a": torch.zeros(1)}, path)
    told = inspect_checkpoint(path)
    assert told["kind"] == "unknown"
    assert told["networks"][0]["unexpectedKeys"] == ["a"]


def test_converts_with_the_metadata(tmp_path):
    path, pt, safe = (str(tmp_path / name) for name in ("model.pt", "again.pt", "model.safetensors"))
    network = small_checkpoint(path)
    convert_checkpoint(path, "pt", pt)
    loaded = load_segmentor(pt, None, torch.device("cpu"))
    assert loaded.metadata == inspect_checkpoint(path)["metadata"]
    told = convert_checkpoint(path, "safetensors", safe)
    with safe_open(safe, "pt") as file:
        assert json.loads(file.metadata()["freetumor"]) == loaded.metadata
        for key, value in network.state_dict().items():
            assert torch.equal(file.get_tensor(key), value)
    again = load_segmentor(safe, None, torch.device("cpu"))
    assert again.metadata == loaded.metadata
    assert again.report.complete
    with open(safe, "rb") as file:
        assert told["sha256"] == hashlib.sha256(file.read()).hexdigest()
    with pytest.raises(UsageError, match="safetensors or pt, got 'onnx'"):
        convert_checkpoint(path, "onnx", str(tmp_path / "x"))
