"""Forms of checkpoint files that people have, and what inspect, predict and initialWeights report for each.

docs/predict-and-evaluate.md lists these forms for users.
"""

import argparse
import datetime
import pathlib
import random
import types
import warnings
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch

from freetumor_runtime.checkpoints import loading
from freetumor_runtime.checkpoints.inspection import inspect_checkpoint
from freetumor_runtime.checkpoints.loading import load_matching_weights, load_segmentor
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.models.segmentor import build_segmentor

ALL, ENCODER = 167, 134
REFUSED = "read nothing"


@cache
def swinunetr(outputs=3, inputs=1, width=12, v2=True):
    """The weights of a SwinUNETR of MONAI."""
    from monai.networks.nets import SwinUNETR

    torch.manual_seed(0)
    return SwinUNETR(in_channels=inputs, out_channels=outputs, feature_size=width, use_v2=v2).state_dict()


def prefixed(prefix, weights=None):
    return {f"{prefix}{key}": value for key, value in (weights or swinunetr()).items()}


def encoder(name="swinViT."):
    """The encoder alone, its prefix replaced."""
    own = {key: value for key, value in swinunetr().items() if key.startswith("swinViT.")}
    return {name + key.removeprefix("swinViT."): value for key, value in own.items()}


def other(weights):
    return {key: value + 1 for key, value in weights.items()}


def named(*names):
    return {name: torch.zeros(2) for name in names}


def random_state():
    return {"numpy": np.random.RandomState(0).get_state(), "python": random.Random(0).getstate()}


@dataclass(frozen=True)
class Form:
    name: str
    content: object
    # parts of what inspect says
    told: dict
    # what predict says; empty where it loads
    predict: str = ""
    # how many of 167 tensors a segmentor of 3 outputs starts from, or the error
    start: int | str = ALL
    # and what its note says
    note: str = ""
    weights: str | None = None


FORMS = [
    Form("bare weights", swinunetr, {"wrapper": None}),
    Form("state_dict", lambda: {"state_dict": swinunetr()}, {"wrapper": "state_dict"}),
    Form("model", lambda: {"model": swinunetr(), "epoch": 3}, {"wrapper": "model", "epoch": 3}),
    Form("net", lambda: {"net": swinunetr()}, {"wrapper": "net"}),
    Form("network_weights", lambda: {"network_weights": swinunetr()}, {"wrapper": "network_weights"}),
    Form("model_state_dict", lambda: {"model_state_dict": swinunetr()}, {"wrapper": "model_state_dict"}),
    Form("model.state_dict", lambda: {"model": {"state_dict": swinunetr()}}, {"wrapper": "model.state_dict"}),
    Form("module.", lambda: prefixed("module."), {"prefixes": ["module."]}, note="prefixes dropped: module."),
    Form("model.", lambda: {"state_dict": prefixed("model.")}, {"prefixes": ["model."]}),
    Form("net.", lambda: prefixed("net."), {"prefixes": ["net."]}),
    Form("network.", lambda: prefixed("network."), {"prefixes": ["network."]}),
    Form("_orig_mod.", lambda: prefixed("_orig_mod."), {"prefixes": ["_orig_mod."]}),
    Form("model._orig_mod.", lambda: prefixed("model._orig_mod."), {"prefixes": ["model.", "_orig_mod."]}),
    Form("unknown prefix", lambda: prefixed("my.segmenter."), {"prefixes": ["my.segmenter."]}),
    Form(
        "backbone.swin_vit.",
        lambda: {f"module.backbone.{key.replace('swinViT', 'swin_vit')}": value for key, value in swinunetr().items()},
        {"prefixes": ["module.", "backbone."], "renamed": {"swin_vit.": "swinViT."}},
        note="swin_vit. read as swinViT.",
    ),
    Form(
        "loss beside the network",
        lambda: {"state_dict": {**prefixed("model."), "loss.weight": torch.ones(3)}},
        {"unexpectedKeys": ["loss.weight"]},
        predict="1 not used (loss.weight)",
        note="1 not used (loss.weight)",
    ),
    Form(
        "encoder",
        lambda: {"state_dict": encoder()},
        {"kind": "voco", "missing": 33},
        predict="holds no segmentor",
        start=ENCODER,
    ),
    Form(
        "encoder without swinViT.",
        lambda: encoder("module."),
        {"kind": "voco", "prefixes": ["module."], "renamed": {"(no prefix)": "swinViT."}},
        predict="holds no segmentor",
        start=ENCODER,
        note="(no prefix) read as swinViT.",
    ),
    Form(
        "encoder with mlp.fc1",
        lambda: {key.replace("mlp.linear", "mlp.fc"): value for key, value in encoder("module.").items()},
        {"kind": "voco", "renamed": {"(no prefix)": "swinViT.", "mlp.fc": "mlp.linear"}},
        predict="holds no segmentor",
        start=ENCODER,
    ),
    Form(
        "no head",
        lambda: {key: value for key, value in swinunetr().items() if not key.startswith("out.")},
        {"kind": "voco", "missingKeys": ["out.conv.conv.weight", "out.conv.conv.bias"]},
        predict="has no usable out.conv.conv.bias",
        start=ALL - 2,
    ),
    Form(
        "projection heads of VoCo",
        lambda: {**prefixed("backbone."), **named("student.mlp.weight", "teacher.mlp.weight")},
        {"prefixes": ["backbone."], "unexpectedKeys": ["student.mlp.weight", "teacher.mlp.weight"]},
        predict="2 not used (student.mlp.weight, teacher.mlp.weight)",
    ),
    Form(
        "student and teacher",
        lambda: {"student": prefixed("module."), "teacher": prefixed("module.", other(swinunetr()))},
        {REFUSED: "select one set of weights (expected one, found student, teacher)"},
        predict="found student, teacher",
        start="found student, teacher",
    ),
    Form(
        "student and teacher, selected",
        lambda: {"student": prefixed("module."), "teacher": prefixed("module.", other(swinunetr()))},
        {"wrapper": "student", "skipped": ["teacher (dict)"]},
        weights="student",
    ),
    Form(
        "student. and teacher., selected",
        lambda: {**prefixed("student.backbone."), **prefixed("teacher.backbone.", other(swinunetr()))},
        {"prefixes": ["student.backbone."], "unexpected": 0},
        weights="student",
    ),
    Form(
        "weights and EMA",
        lambda: {"state_dict": swinunetr(), "ema": other(swinunetr())},
        {REFUSED: "(expected one, found ema, state_dict)"},
        predict="found ema, state_dict",
        start="found ema, state_dict",
    ),
    Form(
        "weights and EMA, selected",
        lambda: {"state_dict": other(swinunetr()), "model_ema": swinunetr()},
        {"wrapper": "model_ema", "skipped": ["state_dict (dict)"]},
        weights="ema",
    ),
    Form(
        "a set that is not there",
        lambda: {"state_dict": swinunetr()},
        {REFUSED: "(expected 'ema', found state_dict)"},
        predict="found state_dict",
        start="found state_dict",
        weights="ema",
    ),
    Form(
        "Namespace",
        lambda: {"state_dict": swinunetr(), "args": argparse.Namespace(lr=1e-4, roi=[96], weights=torch.ones(2))},
        {"skipped": ["args (argparse.Namespace)"]},
        note="skipped: args (argparse.Namespace)",
    ),
    Form(
        "NumPy arrays and scalars",
        lambda: {
            "state_dict": swinunetr(),
            "best": np.float64(0.5),
            "rounds": np.int32(7),
            "plan": {"spacing": np.array([1.5, 0.8]), "names": np.array(["a", None], object)},
            "random": random_state(),
        },
        {
            "training": {"best": 0.5, "rounds": 7},
            "skipped": ["plan (dict with numpy.ndarray)", "random (dict with numpy.ndarray)"],
        },
    ),
    Form(
        "paths, dates, containers",
        lambda: {
            "state_dict": OrderedDict(swinunetr()),
            "out": pathlib.PurePosixPath("/data/x"),
            "made": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
            "opt": types.SimpleNamespace(a=1),
            "log": defaultdict(list, loss=[1.0]),
            "device": torch.device("cpu"),
            "seen": {1, 2},
        },
        {
            "skipped": [
                "out (pathlib.PurePosixPath)",
                "made (datetime.datetime)",
                "opt (types.SimpleNamespace)",
                "log (dict)",
                "device (device)",
                "seen (set)",
            ]
        },
    ),
    Form(
        "values between the tensors",
        lambda: {**swinunetr(), "epoch": 4, "args": argparse.Namespace(lr=1)},
        {"epoch": 4, "skipped": ["args (argparse.Namespace)"]},
    ),
    Form(
        "optimizer",
        lambda: {"state_dict": swinunetr(), "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
        {"skipped": ["optimizer (dict)"]},
    ),
    Form(
        "4 input channels",
        lambda: swinunetr(inputs=4),
        {"causes": ["expects 1 input channel, the file has 4"], "missing": 0},
        predict="expects 1 input channel, the file has 4",
        start=ALL - 3,
        note="expects 1 input channel, the file has 4",
    ),
    Form(
        "14 outputs",
        lambda: swinunetr(outputs=14),
        {"outputs": 14, "tumorOutputs": None, "causes": []},
        predict="a segmentor does not state its tumor outputs (number of outputs: 14)",
        start=ALL - 2,
        note="expects 3 outputs, the file has 14",
    ),
    Form(
        "other feature size",
        lambda: swinunetr(width=24),
        {"width": 24, "causes": []},
        start="expects feature size 12, the file has 24",
    ),
    Form(
        "SwinUNETR without use_v2",
        lambda: swinunetr(v2=False),
        {"causes": ["SwinUNETR without use_v2 is not supported"], "missing": 8},
        predict="SwinUNETR without use_v2 is not supported",
        start=ALL - 8,
        note="SwinUNETR without use_v2",
    ),
    *(
        Form(
            f"{family}, names only",
            lambda names=names, wrapper=wrapper: {wrapper: named(*names)} if wrapper else named(*names),
            {"family": family, "kind": "unknown"},
            predict=f"found {family}",
            start=f"too few tensors match in key and shape (found {family})",
        )
        for family, wrapper, names in (
            ("an nnU-Net", "network_weights", ("encoder.stages.0.0.convs.0.conv.weight", "decoder.seg_layers.0.bias")),
            ("a MONAI UNet", None, ("model.0.conv.unit0.conv.weight", "model.1.submodule.0.conv.unit0.conv.weight")),
            ("a MONAI SegResNet", "model", ("convInit.conv.weight", "up_layers.0.0.norm1.weight")),
            ("a UNETR", "state_dict", ("vit.patch_embedding.cls_token", "decoder5.transp_conv.conv.weight")),
            ("a MONAI DynUNet", "network", ("input_block.conv1.conv.weight", "output_block.conv.conv.weight")),
        )
    ),
    Form(
        "pickled module",
        lambda: torch.nn.Linear(2, 2),
        {REFUSED: "holds a pickled module (expected a state dict, found torch.nn.modules.linear.Linear)"},
        predict="holds a pickled module",
        start="holds a pickled module",
    ),
    Form(
        "NumPy arrays for tensors",
        lambda: {"state_dict": {"a": np.ones(3)}},
        {REFUSED: "holds no tensors (expected tensors, found numpy.ndarray)"},
        predict="holds no tensors",
        start="holds no tensors",
    ),
    Form(
        "large NumPy arrays for tensors",
        lambda: {"state_dict": {"a": np.ones(2**20)}},
        {REFUSED: "its data.pkl is too large (expected at most 4194304 bytes, found "},
        predict="its data.pkl is too large",
        start="its data.pkl is too large",
    ),
]


@pytest.fixture
def one_network(monkeypatch):
    """A network of a size is built once: this file asks for it again and again."""

    @cache
    def built(kind, **size):
        return build_segmentor(kind, **size)

    monkeypatch.setattr(loading, "build_segmentor", built)


@pytest.fixture(scope="module")
def segmentor():
    return build_segmentor("swinunetr", outputs=3, feature_size=12, levels=4, patch_merging="corrected")


def written(folder, content):
    path = str(folder / "mine.pt")
    torch.save(content() if callable(content) else content, path)
    return path


def test_there_are_thirty_forms_of_different_names():
    assert len({form.name for form in FORMS}) == len(FORMS) >= 30


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_inspect_predict_and_initial_weights_report_the_same_for_a_form(tmp_path, one_network, segmentor, form):
    path = written(tmp_path, form.content)
    if REFUSED in form.told:
        with pytest.raises(FreetumorError) as refused:
            inspect_checkpoint(path, form.weights)
        assert form.told[REFUSED] in str(refused.value)
    else:
        facts = inspect_checkpoint(path, form.weights)
        told = {**facts, **facts["networks"][0]}
        assert {key: told[key] for key in form.told} == form.told

    if form.predict:
        with pytest.raises(FreetumorError) as refused:
            load_segmentor(path, "corrected", torch.device("cpu"), form.weights)
        assert form.predict in str(refused.value)
    else:
        loaded = load_segmentor(path, "corrected", torch.device("cpu"), form.weights)
        assert loaded.report.complete

    if isinstance(form.start, str):
        with pytest.raises(FreetumorError) as refused:
            load_matching_weights(segmentor, path, form.weights)
        assert form.start in str(refused.value)
        return
    with torch.no_grad():
        for value in segmentor.state_dict().values():
            value.zero_()
    report = load_matching_weights(segmentor, path, form.weights)
    assert len(report.matched) == form.start
    assert form.note in report.sentence()
    if form.start in (ALL, ENCODER):
        state = segmentor.state_dict()
        assert all(torch.equal(state[key], swinunetr()[key]) for key in report.matched)


def test_a_torchscript_program_is_named_and_not_run(tmp_path):
    path = str(tmp_path / "model.ts")
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(FreetumorError, match="is a TorchScript program") as refused:
        inspect_checkpoint(path)
    assert "torch.save(model.state_dict()" in refused.value.hint
