import hashlib
import json
from types import SimpleNamespace

import numpy as np
import torch

from freetumor_runtime.checkpoints.inspection import imagined, inspect_checkpoint
from freetumor_runtime.checkpoints.metadata import segmentor_metadata
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
        segmentor=SimpleNamespace(
            kind="small", featureSize=4, levels=2, stages=(), outputs=3, patchMerging="corrected"
        ),
        validation=SimpleNamespace(windows=SimpleNamespace(overlap=0.75, blend="constant")),
        generator=None,
    )
    torch.save({"state_dict": network.state_dict(), "epoch": 7, "freetumor": segmentor_metadata(spec)}, path)
    return network


def test_inspection_lists_the_networks_of_a_published_synthesis_checkpoint_and_the_assumptions(tmp_path):
    path = str(tmp_path / "TGAN_abdomen.pt")
    generator = UNet3d(3, base_channels=4)
    with torch.no_grad():
        generator.out_tr.final_conv.weight[0] += 5
    networks = {"netG": generator, "netD": UNet3d(3, base_channels=4), "netSeg": swinunetr()}
    weights = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    torch.save({"state_dict": weights}, path)
    told = inspect_checkpoint(path)
    json.dumps(told, allow_nan=False)
    assert told["kind"] == "generator"
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


def test_inspection_lists_missing_and_unexpected_tensors_of_a_pretrained_file(tmp_path):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    weights = dict(swinunetr().state_dict())
    del weights["out.conv.conv.weight"], weights["out.conv.conv.bias"]
    torch.save({"net": {**weights, "student.x": torch.zeros(2)}}, path)
    told = inspect_checkpoint(path)
    (network,) = told["networks"]
    assert (network["matched"], network["missing"], network["unexpected"]) == (165, 2, 1)
    assert network["unexpectedKeys"] == ["student.x"]
    assert network["outputs"] is None
    assert network["tumorOutputs"] is None
    assert (told["kind"], told["wrapper"]) == ("voco", "net")
    assert told["channelMode"] == {"mode": None, "assumed": False, "untouchedOutputs": []}


def test_the_order_of_a_foreign_swinunetr_must_be_stated(tmp_path):
    path = str(tmp_path / "mine.pt")
    torch.save(swinunetr().state_dict(), path)
    told = inspect_checkpoint(path)
    assert (told["kind"], told["networks"][0]["tumorOutputs"]) == ("baseline", [2, 4, 6])
    assert told["patchMerging"] == {"order": None, "assumed": False, "needed": True}


def test_a_small_segmentor_is_recognised_by_its_metadata_and_other_files_are_unknown(tmp_path):
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


def test_inspection_lists_wrapper_prefixes_dtypes_shapes_and_epoch(tmp_path):
    path = str(tmp_path / "mine.pt")
    weights = {
        "module.backbone." + key.replace("swinViT", "swin_vit"): value
        for key, value in swinunetr(3).state_dict().items()
    }
    score = {"best_acc": np.float64(0.5), "loss": float("nan"), "optimizer": {"lr": 1}}
    torch.save({"epoch": 9, "network_weights": weights, **score}, path)
    told = inspect_checkpoint(path)
    assert (told["kind"], told["networks"][0]["outputs"], told["networks"][0]["tumorOutputs"]) == ("segmentor", 3, [2])
    assert (told["wrapper"], told["prefixes"]) == ("network_weights", ["module.", "backbone."])
    assert (told["renamed"], told["skipped"]) == ({"swin_vit.": "swinViT."}, ["loss (float)", "optimizer (dict)"])
    assert (told["epoch"], told["training"]) == (9, {"epoch": 9, "best_acc": 0.5})
    assert told["tensors"]["count"] == 167
    assert told["tensors"]["dtypes"] == {"float32": 159, "int64": 8}
    assert told["tensors"]["shapes"]["out.conv.conv.bias"] == [3]


def test_compares_with_the_networks_of_published_size_without_their_memory(tmp_path):
    path = str(tmp_path / "foreign.pt")
    head = {"out.conv.conv.weight": torch.zeros(7, 48, 1, 1, 1), "out.conv.conv.bias": torch.zeros(7)}
    torch.save({**head, "other": torch.zeros(1)}, path)
    told = inspect_checkpoint(path)
    (network,) = told["networks"]
    assert (told["kind"], network["architecture"]) == ("unknown", None)
    assert network["against"] == {
        "unet3d": {"matched": 0, "missing": 106, "unexpected": 3},
        "swinunetr": {"matched": 2, "missing": 165, "unexpected": 1},
    }


def test_an_encoder_without_decoder_is_recognised_by_its_first_layer(tmp_path):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    torch.save({key: value for key, value in swinunetr().state_dict().items() if key.startswith("swinViT.")}, path)
    told = inspect_checkpoint(path)
    (network,) = told["networks"]
    assert (told["kind"], network["architecture"], network["width"]) == ("voco", "swinunetr", 12)
    assert network["matched"] == told["tensors"]["count"] and network["unexpected"] == 0


def test_names_tensors_that_hold_no_numbers_any_more(tmp_path):
    path = str(tmp_path / "mine.pt")
    torch.save({"a": torch.tensor([1.0, float("nan")]), "b": torch.ones(2), "c": torch.arange(3)}, path)
    assert inspect_checkpoint(path)["networks"][0]["notFinite"] == ["a"]


def test_keys_and_shapes_of_an_imagined_network_are_those_of_a_real_one():
    real = {key: value.shape for key, value in swinunetr(3).state_dict().items()}
    assert {key: value.shape for key, value in imagined("swinunetr", 3, 12).state_dict().items()} == real
    assert {value.device.type for value in imagined("unet3d", 3, 4).state_dict().values()} == {"meta"}
