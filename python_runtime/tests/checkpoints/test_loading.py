from types import SimpleNamespace

import pytest
import torch
from torch import nn

from freetumor_runtime.checkpoints.loading import (
    load_gan_weights,
    load_generator,
    load_matching_weights,
    load_segmentor,
)
from freetumor_runtime.checkpoints.metadata import segmentor_metadata, synthesis_metadata
from freetumor_runtime.errors import CheckpointError, UsageError
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d

CPU = torch.device("cpu")
ORGANS = [
    SimpleNamespace(name="liver", label=1, tumorLabel=2, channel=0),
    SimpleNamespace(name="pancreas", label=3, tumorLabel=4, channel=1),
    SimpleNamespace(name="kidney", label=5, tumorLabel=6, channel=2),
]


def swinunetr(outputs=7, order="legacy"):
    return build_segmentor("swinunetr", outputs=outputs, feature_size=12, levels=4, patch_merging=order)


def small(outputs=7):
    return build_segmentor("small", outputs=outputs, feature_size=4, levels=2, patch_merging="corrected")


def training(segmentor_kind="small", outputs=7, labels=range(7)):
    size = SimpleNamespace(
        kind=segmentor_kind, featureSize=4, levels=2, stages=(), outputs=outputs, patchMerging="corrected"
    )
    if segmentor_kind == "swinunetr":
        size.featureSize = 12
    return SimpleNamespace(
        region="abdomen",
        windowHu=(-175.0, 250.0),
        spacingMm=(1.5, 1.5, 1.5),
        patchVoxels=(96, 96, 96),
        labelNames=[f"label{i}" for i in range(outputs)],
        trainingLabels=list(labels),
        organs=ORGANS,
        segmentor=size,
        validation=SimpleNamespace(windows=SimpleNamespace(overlap=0.5, blend="gaussian")),
        generator=SimpleNamespace(baseChannels=4, outputs=3, channel="organ"),
    )


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def synthesis_weights(generator, segmentor, prefix=""):
    networks = {"netG": generator, "netD": UNet3d(3, base_channels=4), "netSeg": segmentor}
    return {f"{prefix}{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("kind", ["small", "swinunetr"])
def test_a_segmentor_of_ours_comes_back_with_all_that_is_known_of_it(tmp_path, kind):
    network = small() if kind == "small" else swinunetr(order="corrected")
    path = str(tmp_path / "model.pt")
    torch.save({"state_dict": network.state_dict(), "epoch": 3, "freetumor": segmentor_metadata(training(kind))}, path)
    loaded = load_segmentor(path, None, CPU)
    assert same_weights(loaded.network, network)
    assert loaded.report.complete
    assert loaded.tumor_outputs == (2, 4, 6)
    assert loaded.facts["patchMerging"] == (None if kind == "small" else "corrected")
    assert loaded.facts["mergingAssumed"] is False
    assert loaded.metadata["windowHu"] == [-175, 250]
    assert loaded.metadata["patchVoxels"] == [96, 96, 96]
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_the_tumor_outputs_are_those_of_the_training_labels(tmp_path):
    path = str(tmp_path / "model.pt")
    spec = training(outputs=4, labels=[0, 1, 3, 0, 0, 0, 0])
    torch.save({"state_dict": small(4).state_dict(), "freetumor": segmentor_metadata(spec)}, path)
    assert load_segmentor(path, None, CPU).tumor_outputs == (3,)


@pytest.mark.parametrize("wrapper", ["state_dict", "network_weights", "net", None])
def test_every_published_way_of_wrapping_and_prefixing_weights_is_read(tmp_path, wrapper):
    network = swinunetr()
    weights = {
        "module.backbone." + key.replace("swinViT", "swin_vit"): value for key, value in network.state_dict().items()
    }
    path = str(tmp_path / "model_baseline_segmentor.pt")
    torch.save(weights if wrapper is None else {wrapper: weights, "epoch": 9}, path)
    loaded = load_segmentor(path, None, CPU)
    assert same_weights(loaded.network, network)
    assert (loaded.facts["patchMerging"], loaded.facts["mergingAssumed"]) == ("legacy", True)
    assert loaded.metadata == {}


def test_a_synthesis_checkpoint_gives_its_generator_and_its_segmentor(tmp_path):
    generator, segmentor = UNet3d(3, base_channels=4), swinunetr()
    generator.state_dict()["down_tr64.ops.0.bn1.running_mean"].fill_(0.5)
    path = str(tmp_path / "renamed.pt")
    with torch.no_grad():
        generator.out_tr.final_conv.bias[1] = 3
    torch.save({"state_dict": synthesis_weights(generator, segmentor, prefix="module.")}, path)
    loaded = load_generator(path, None, CPU)
    assert same_weights(loaded.network, generator)
    assert loaded.untouched_outputs == (0, 2)
    assert (loaded.channel.value, loaded.channel.assumed) == ("shared", True)
    seg = load_segmentor(path, None, CPU)
    assert same_weights(seg.network, segmentor)
    assert (seg.facts["patchMerging"], seg.facts["mergingAssumed"]) == ("legacy", True)
    start = UNet3d(3, base_channels=4)
    assert not load_gan_weights(start, None, path)
    assert same_weights(start, generator)


def test_one_of_several_sets_of_weights_gives_generator_and_segmentor(tmp_path):
    pairs = {name: (UNet3d(3, base_channels=4), swinunetr()) for name in ("student", "teacher")}
    path = str(tmp_path / "both.pt")
    torch.save({name: synthesis_weights(*pair) for name, pair in pairs.items()}, path)
    for name, (generator, segmentor) in pairs.items():
        assert same_weights(load_generator(path, None, CPU, name).network, generator)
        assert same_weights(load_segmentor(path, "corrected", CPU, name).network, segmentor)
        start = UNet3d(3, base_channels=4)
        load_gan_weights(start, None, path, name)
        assert same_weights(start, generator)
    for wanted in (None, "ema"):
        with pytest.raises(CheckpointError, match="select one set of weights .*found student, teacher"):
            load_generator(path, None, CPU, wanted)
        with pytest.raises(CheckpointError, match="select one set of weights .*found student, teacher"):
            load_gan_weights(UNet3d(3, base_channels=4), None, path, wanted)


def test_a_synthesis_checkpoint_of_ours_states_its_channel_and_its_segmentor(tmp_path):
    path = str(tmp_path / "model.pt")
    baseline = {**segmentor_metadata(training("swinunetr"))["segmentor"], "mergingAssumed": True}
    metadata = synthesis_metadata(training(), baseline)
    weights = synthesis_weights(UNet3d(3, base_channels=4), swinunetr())
    torch.save({"state_dict": weights, "freetumor": metadata}, path)
    assert load_generator(path, None, CPU).channel.value == "organ"
    assert load_generator(path, None, CPU).channel.assumed is False
    assert load_generator(path, "shared", CPU).channel.value == "shared"
    # what was assumed once stays assumed, and may still be told
    assert load_segmentor(path, None, CPU).facts["mergingAssumed"] is True
    assert load_segmentor(path, "v2", CPU).facts["patchMerging"] == "v2"


def test_the_small_segmentor_inside_a_synthesis_checkpoint_has_no_merging_order(tmp_path):
    path = str(tmp_path / "model.pt")
    metadata = synthesis_metadata(training(), segmentor_metadata(training())["segmentor"])
    torch.save({"state_dict": synthesis_weights(UNet3d(3, base_channels=4), small()), "freetumor": metadata}, path)
    assert load_segmentor(path, None, CPU).facts["patchMerging"] is None


def test_a_merging_order_is_believed_when_stated_and_asked_for_when_unknown(tmp_path):
    stated, unknown = str(tmp_path / "stated.pt"), str(tmp_path / "unknown.pt")
    weights = swinunetr().state_dict()
    torch.save({"state_dict": weights, "freetumor": segmentor_metadata(training("swinunetr"))}, stated)
    torch.save({"state_dict": weights}, unknown)
    assert load_segmentor(stated, "corrected", CPU).facts["patchMerging"] == "corrected"
    with pytest.raises(UsageError, match="expected corrected, found legacy"):
        load_segmentor(stated, "legacy", CPU)
    with pytest.raises(UsageError, match="does not state the patch-merging order") as caught:
        load_segmentor(unknown, None, CPU)
    assert "--merging" in caught.value.hint
    assert load_segmentor(unknown, "v2", CPU).facts == {
        "kind": "swinunetr",
        "featureSize": 12,
        "levels": 4,
        "outputs": 7,
        "patchMerging": "v2",
        "mergingAssumed": False,
        "tumorOutputs": [2, 4, 6],
    }


@pytest.mark.parametrize(
    ("outputs", "tumors"), [(7, (2, 4, 6)), (3, (2,)), (2, (1,))], ids=["generalist", "specialist", "chest"]
)
def test_which_outputs_are_tumors_goes_by_their_number(tmp_path, outputs, tumors):
    path = str(tmp_path / "TGAN_some.pt")
    torch.save(swinunetr(outputs).state_dict(), path)
    assert load_segmentor(path, None, CPU).tumor_outputs == tumors


def test_a_segmentor_of_other_outputs_must_state_its_tumor_outputs(tmp_path):
    path = str(tmp_path / "TGAN_some.pt")
    torch.save(swinunetr(5).state_dict(), path)
    with pytest.raises(Exception, match=r"does not state its tumor outputs \(number of outputs: 5\)"):
        load_segmentor(path, None, CPU)


def test_a_baseline_loads_strictly_and_reports_mismatches(tmp_path):
    path = str(tmp_path / "model_baseline_segmentor.pt")
    weights = dict(swinunetr().state_dict())
    del weights["encoder1.layer.conv1.conv.weight"]
    weights["head.weight"] = torch.zeros(3)
    weights["decoder1.conv_block.conv1.conv.weight"] = torch.zeros(1, 2)
    torch.save(weights, path)
    with pytest.raises(CheckpointError) as caught:
        load_segmentor(path, None, CPU)
    for said in ("1 missing (encoder1.layer.conv1.conv.weight)", "1 not used (head.weight)", "(1, 2) for (12, 24"):
        assert said in str(caught.value)


def test_pretrained_weights_load_where_key_and_shape_agree_and_the_rest_is_reported(tmp_path):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    weights = {f"module.backbone.{key}": value for key, value in swinunetr(2).state_dict().items()}
    del weights["module.backbone.encoder2.layer.conv1.conv.weight"]
    weights["module.student.mlp.weight"] = torch.zeros(2, 2)
    torch.save({"state_dict": weights}, path)
    network = swinunetr(7)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    report = load_matching_weights(network, path)
    after = network.state_dict()
    assert report.missing == ("encoder2.layer.conv1.conv.weight",)
    assert report.unexpected == ("student.mlp.weight",)
    assert {key for key, _, _ in report.mismatched} == {"out.conv.conv.weight", "out.conv.conv.bias"}
    assert len(report.matched) == len(after) - 3
    assert "164 of 167 tensors taken" in report.sentence()
    for key in report.matched:
        assert torch.equal(after[key], weights[f"module.backbone.{key}"]), key
    for key in (*report.missing, "out.conv.conv.weight"):
        assert torch.equal(after[key], before[key])


def test_pretrained_weights_of_another_merging_order_are_refused(tmp_path):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    torch.save(swinunetr().state_dict(), path)
    with pytest.raises(CheckpointError, match="expected corrected, found legacy, assumed") as caught:
        load_matching_weights(swinunetr(order="corrected"), path)
    assert "patchMerging: legacy" in caught.value.hint


def test_pretrained_weights_of_which_none_fits_are_refused(tmp_path):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="0 of .* tensors taken"):
        load_matching_weights(small(), path)


def test_a_generator_of_another_width_is_refused(tmp_path):
    path = str(tmp_path / "TGAN.pt")
    torch.save({f"netG.{key}": value for key, value in UNet3d(3, base_channels=4).state_dict().items()}, path)
    with pytest.raises(CheckpointError, match="of another shape"):
        load_gan_weights(UNet3d(3, base_channels=8), None, path)
    with pytest.raises(CheckpointError, match="holds no generator"):
        torch.save(small().state_dict(), path)
        load_generator(path, None, CPU)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"featureSize": 10**9}, "does not describe a small segmentor"),
        ({"levels": 8, "featureSize": 1024}, "missing"),
        ({"levels": "2"}, "does not describe a small segmentor"),
        ({"tumorOutputs": [9]}, r"wrong tumorOutputs .* found \[9\]"),
    ],
)
def test_a_claim_in_the_metadata_costs_nothing_before_it_is_checked(tmp_path, change, said):
    path = str(tmp_path / "model.pt")
    metadata = segmentor_metadata(training())
    metadata["segmentor"] = {**metadata["segmentor"], **change}
    torch.save({"state_dict": small().state_dict(), "freetumor": metadata}, path)
    with pytest.raises(CheckpointError, match=said):
        load_segmentor(path, None, CPU)
