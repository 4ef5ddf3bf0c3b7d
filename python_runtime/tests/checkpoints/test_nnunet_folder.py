"""Model folders of nnU-Net: what inspection finds, and hostile or damaged ones."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from freetumor_runtime.checkpoints.inspection import inspect_checkpoint
from freetumor_runtime.checkpoints.loading import load_matching_weights
from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
from freetumor_runtime.checkpoints.sandbox import inspect
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.models.nnunet import Stage, build_nnunet, is_alias
from tests.inference.nnunet_models import MODELS, weights_of, write_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("nnunet") / "model", MODELS["five folds"])


def test_inspection_finds_the_folds_the_grid_and_the_labels(folder):
    facts = inspect_checkpoint(str(folder))
    json.dumps(facts, allow_nan=False)
    assert [network["name"] for network in facts["networks"]] == [f"fold_{fold}" for fold in range(5)]
    for network in facts["networks"]:
        assert (network["architecture"], network["width"], network["outputs"]) == ("resenc", 4, 3)
        assert (network["missing"], network["unexpected"], network["tumorOutputs"]) == (0, 0, [2])
    metadata = facts["metadata"]
    assert metadata["labelNames"] == ["background", "liver", "liver tumor"]
    # along the axes of the file: the last is that of the slices
    assert (metadata["spacingMm"], metadata["patchVoxels"]) == ([1.5, 1.5, 1.5], [16, 16, 8])
    assert (metadata["windowHu"], metadata["windows"]["mirrorAxes"]) == ([-300, 310], [0, 1, 2])
    assert facts["training"] == {"trainer": "nnUNetTrainer", "configuration": "3d_fullres"}


def test_a_transposed_model_states_its_grid_along_the_axes_of_the_file(tmp_path):
    metadata = inspect_checkpoint(str(write_model(tmp_path / "model", MODELS["transposed"])))["metadata"]
    # transposed axes are rows, slices, columns of the array; the file has columns, rows, slices
    assert metadata["spacingMm"] == [1.2, 5.0, 1.0]
    assert metadata["patchVoxels"] == [16, 8, 16]
    assert metadata["windows"]["mirrorAxes"] == [0, 2]


def test_folds_load_with_the_weights_that_nnunet_saved(folder):
    networks = load_folds(read_folder(str(folder)), CPU)
    for fold, network in enumerate(networks):
        saved = {key: value for key, value in weights_of(MODELS["five folds"], fold).items() if not is_alias(key)}
        loaded = network.state_dict()
        assert loaded.keys() == saved.keys() and all(torch.equal(loaded[key], saved[key]) for key in saved)
        assert not network.training


def test_the_sandboxed_inspection_reads_a_folder(folder):
    assert inspect(str(folder))["sha256"] == inspect_checkpoint(str(folder))["sha256"]


def test_plans_before_nnunet_2_5_are_read(tmp_path):
    path = write_model(tmp_path / "model", MODELS["isotropic"])
    plans = json.loads((path / "plans.json").read_text())
    own = plans["configurations"]["3d_fullres"]
    keywords = own.pop("architecture")["arch_kwargs"]
    own |= {
        "UNet_class_name": "ResidualEncoderUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 8,
        "conv_kernel_sizes": keywords["kernel_sizes"],
        "pool_op_kernel_sizes": keywords["strides"],
        "n_conv_per_stage_encoder": keywords["n_blocks_per_stage"],
        "n_conv_per_stage_decoder": keywords["n_conv_per_stage_decoder"],
    }
    (path / "plans.json").write_text(json.dumps(plans))
    assert len(load_folds(read_folder(str(path)), CPU)) == 1


def test_the_log_of_a_long_training_next_to_the_weights_is_read(tmp_path):
    path = write_model(tmp_path / "model", MODELS["isotropic"])
    log = {"dice_per_class_or_region": [[np.float32(epoch) for _ in range(14)] for epoch in range(1000)]}
    set_in_weights("logging", log)(path)
    assert len(load_folds(read_folder(str(path)), CPU)) == 1


def test_a_resenc_starts_from_the_weights_of_the_first_fold(folder):
    plans = read_folder(str(folder)).plans
    network = build_nnunet("resenc", plans.stages, outputs=7)
    report = load_matching_weights(network, str(folder))
    assert {key for key, *_ in report.mismatched} == {
        f"decoder.seg_layers.{at}.{name}" for at in (0, 1) for name in ("weight", "bias")
    }
    saved = weights_of(MODELS["five folds"], 0)
    assert all(torch.equal(network.state_dict()[key], saved[key]) for key in report.matched)


def test_a_network_of_another_width_is_not_started_from_a_folder(folder):
    stages = [Stage(6 * 2**at, (3, 3, 3), (2, 2, 2) if at else (1, 1, 1), 1) for at in range(3)]
    with pytest.raises(CheckpointError, match="too few tensors match"):
        load_matching_weights(build_nnunet("resenc", stages, outputs=3), str(folder))


class Foreign:
    def __reduce__(self):
        return print, ("ran",)


def configuration(plans):
    return plans["configurations"]["3d_fullres"]


def keywords(plans):
    return configuration(plans)["architecture"]["arch_kwargs"]


def change(path, edit, name="plans.json"):
    content = json.loads((path / name).read_text())
    edit(content)
    (path / name).write_text(json.dumps(content))


def set_in(part, key, value):
    """Return an edit of the plans."""
    return lambda path: change(path, lambda plans: part(plans).__setitem__(key, value))


def set_labels(labels):
    return lambda path: change(path, lambda dataset: dataset.__setitem__("labels", labels), "dataset.json")


def set_in_weights(key, value):
    def edit(path):
        file = path / "fold_0" / "checkpoint_final.pth"
        content = torch.load(file, weights_only=False)
        content[key] = value
        torch.save(content, file)

    return edit


def foreign_class(path):
    name = "os.system"
    change(path, lambda plans: configuration(plans)["architecture"].__setitem__("network_class_name", name))


def deep(path):
    (path / "plans.json").write_text('{"a":' * 5000 + "1" + "}" * 5000)


def large(path):
    (path / "plans.json").write_text(json.dumps({"a": "x" * (5 * 2**20)}))


def other_widths(path):
    change(path, lambda plans: keywords(plans).__setitem__("features_per_stage", [8, 16, 16]))


def a_fold_of_another_configuration(path):
    shutil.copytree(path / "fold_0", path / "fold_1")
    file = path / "fold_1" / "checkpoint_final.pth"
    content = torch.load(file, weights_only=False)
    content["init_args"]["configuration"] = "3d_lowres"
    torch.save(content, file)


def damaged_weights(path):
    file = path / "fold_0" / "checkpoint_final.pth"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


PLANS = lambda plans: plans  # noqa: E731
HOSTILE = {
    "a foreign class": (foreign_class, "network_class_name 'os.system' is not supported"),
    "a foreign operation": (set_in(keywords, "conv_op", "subprocess.Popen"), "conv_op 'subprocess.Popen' is not supp"),
    "a huge patch": (set_in(configuration, "patch_size", [4096, 4096, 4096]), "wrong patch_size"),
    "a patch that the strides do not divide": (set_in(configuration, "patch_size", [18, 16, 16]), "divisible by the"),
    "a huge number of resolutions": (set_in(keywords, "n_stages", 10**9), "wrong n_stages"),
    "a huge width": (set_in(keywords, "features_per_stage", 10**9), "wrong features_per_stage"),
    "a negative spacing": (set_in(configuration, "spacing", [-1.0, 1, 1]), "wrong spacing"),
    "a spacing that is no number": (set_in(configuration, "spacing", [float("nan"), 1, 1]), "wrong spacing"),
    "a wrong transposition": (set_in(PLANS, "transpose_forward", [0, 0, 2]), "wrong transpose_forward"),
    "plans nested deeply": (deep, "nested deeper than 64 levels"),
    "plans of 5 MiB": (large, "no regular file of at most"),
    "plans without configurations": (set_in(PLANS, "configurations", []), "wrong configurations"),
    "a configuration that inherits from itself": (
        set_in(configuration, "inherits_from", "3d_fullres"),
        "wrong configurations",
    ),
    "a cascade": (set_in(configuration, "previous_stage", "3d_lowres"), "3d_fullres is a cascade"),
    "a 2-D plan": (set_in(configuration, "patch_size", [64, 64]), "3d_fullres is 2-D"),
    "another resampling": (set_in(configuration, "resampling_fn_data", "os.remove"), "resampling_fn_data 'os.remove'"),
    "another normalization": (set_in(configuration, "normalization_schemes", ["Mine"]), "'Mine' is not supported"),
    "two image channels": (set_in(configuration, "normalization_schemes", ["CTNormalization"] * 2), "one image chan"),
    "regions": (set_labels({"background": 0, "all": [1, 2], "tumor": 2}), "region-based labels"),
    "labels with a gap": (set_labels({"background": 0, "liver": 1, "tumor": 3}), "wrong labels"),
    "no folds": (lambda path: shutil.rmtree(path / "fold_0"), "wrong number of folds"),
    "a fold without weights": (lambda path: (path / "fold_1").mkdir(), "fold_1/checkpoint_final.pth: file not found"),
    "a fold of another configuration": (a_fold_of_another_configuration, "cannot join"),
    "weights of other shapes": (other_widths, "of another shape"),
    "weights with a foreign object": (set_in_weights("logging", Foreign()), "holds more than weights"),
    "weights with wrong mirror axes": (set_in_weights("inference_allowed_mirroring_axes", (0, 7)), "wrong inference"),
    "weights without a configuration": (set_in_weights("init_args", {}), "does not state its configuration"),
    "no weights": (set_in_weights("network_weights", {}), "missing"),
    "damaged weights": (damaged_weights, "checkpoint_final.pth"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_unsupported_folder_is_refused_with_one_typed_error(tmp_path, capfd, name):
    path = write_model(tmp_path / "model", MODELS["isotropic"])
    edit, said = HOSTILE[name]
    edit(path)
    with pytest.raises(CheckpointError) as refused:
        load_folds(read_folder(str(path)), CPU)
    assert said in str(refused.value)
    assert str(path) in str(refused.value) and refused.value.hint
    assert len(str(refused.value)) < 2000
    assert "ran" not in capfd.readouterr().out


def test_a_pickle_in_place_of_weights_is_refused(tmp_path):
    path = write_model(tmp_path / "model", MODELS["isotropic"])
    (path / "fold_0" / "checkpoint_final.pth").write_bytes(pickle.dumps(Foreign()))
    with pytest.raises(CheckpointError, match="checkpoint_final.pth"):
        read_folder(str(path))
