"""ONNX, TorchScript and MONAI bundles: logits of the checkpoint, and the mask of `predict` without freetumor."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import nibabel
import numpy as np
import pytest
import torch

from freetumor_runtime.checkpoints.checkpoint_file import write_checkpoint
from freetumor_runtime.checkpoints.export import export_model
from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.checkpoints.portable import PortableSegmentor
from freetumor_runtime.checkpoints.traced_export import export_onnx
from freetumor_runtime.config.cases import PredictCase, PredictMember
from freetumor_runtime.config.common import SlidingWindowsSpec
from freetumor_runtime.errors import CheckpointError, EnvironmentError, UsageError
from freetumor_runtime.models.nnunet import Stage
from freetumor_runtime.models.patch_merging import MERGING_ORDERS
from freetumor_runtime.models.segmentor import build_segmentor
from tests.checkpoints.test_nnunet_export import write_turned_scan
from tests.jobs.test_predict_by_nnunet import run, spec_of

KINDS = ("small", "resenc", "unet")
LABELS = ["background", "liver", "liver tumor"]
ABOUT = {"licences": [{"network": "segmentor", "file": "a.pt", "sha256": "0" * 64, "licence": "CC-BY-4.0"}]}
WINDOW, SPACING, PATCH = (-160.0, 240.0), (1.5, 1.4, 3.0), (16, 16, 8)
HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime are missing: freetumor setup --extra export")
# the mandatory keys of MONAI's schema of metadata.json
SCHEMA_KEYS = (
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
    *("task", "description", "authors", "copyright", "network_data_format"),
)


def stages_of(kind):
    first = {"features": 4, "kernel": [3, 3, 1], "stride": [1, 1, 1], "blocks": 1 if kind == "resenc" else 2}
    second = {"features": 8, "kernel": [3, 3, 3], "stride": [2, 2, 1], "blocks": 2}
    return [first, second, {**second, "stride": [2, 2, 2]}] if kind in ("resenc", "unet") else []


def write_ours(path, network_kind, patch=PATCH, order=None, **changes):
    """Write a model.pt of a training, with random weights that make large logits."""
    torch.manual_seed(3)
    stages = stages_of(network_kind)
    facts = {
        "kind": network_kind,
        "featureSize": 12 if network_kind == "swinunetr" else 4,
        "levels": 2,
        "stages": stages,
        "outputs": 3,
    }
    network = build_segmentor(
        network_kind,
        outputs=3,
        feature_size=facts["featureSize"],
        levels=2,
        patch_merging=order or "corrected",
        stages=[Stage(**{key: tuple(v) if isinstance(v, list) else v for key, v in one.items()}) for one in stages],
    )
    metadata = {
        "version": 1,
        "kind": "segmentor",
        "region": "abdomen",
        "windowHu": list(WINDOW),
        "spacingMm": list(SPACING),
        "patchVoxels": list(patch),
        "labelNames": LABELS,
        "windows": {"overlap": 0.5, "blend": "gaussian"},
        "segmentor": {**facts, "patchMerging": order, "mergingAssumed": False, "tumorOutputs": [2]},
        **changes,
    }
    metadata = {key: value for key, value in metadata.items() if value is not None}
    write_checkpoint(str(path), {"state_dict": network.state_dict(), "freetumor": metadata})
    return path


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    return write_ours(tmp_path_factory.mktemp(request.param) / "model.pt", request.param)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A scan with axes in another order and direction than RAS, smaller than a patch along none."""
    return write_turned_scan(tmp_path_factory.mktemp("scans") / "case.nii.gz", (26, 24, 19), [1.2, 1.3, 2.0])


def exported(checkpoint, to, out):
    out.mkdir()
    return export_model(str(checkpoint), to, str(out), ABOUT, None)


def mask_of_predict(checkpoint, scan, out):
    out.mkdir()
    spec = spec_of(
        out,
        out,
        members=(PredictMember(str(checkpoint), None, None),),
        windowHu=WINDOW,
        spacingMm=SPACING,
        patchVoxels=PATCH,
        windows=SlidingWindowsSpec(0.5, "gaussian", 1),
        mirrorAxes=(),
        cases=(PredictCase("case", str(scan), None, None, "case"),),
    )
    return run(spec)[1]


def assert_same_mask(path, expected, scan):
    found = nibabel.load(path)
    mask = np.asarray(found.dataobj)
    assert mask.dtype == np.uint8 and len(np.unique(expected)) == 3
    np.testing.assert_allclose(found.affine, nibabel.load(scan).affine, atol=1e-5)
    # logits differ by rounding: a tie may fall to either side
    assert mask.shape == expected.shape and np.mean(mask != expected) < 1e-4


@needs_onnx
def test_the_onnx_program_of_the_documentation_gives_the_mask_of_predict(checkpoint, scan, tmp_path):
    written = exported(checkpoint, "onnx", tmp_path / "model")
    assert written["deviation"] < 1e-4
    page = (Path(__file__).parents[3] / "docs/export.md").read_text(encoding="utf-8")
    (tmp_path / "program.py").write_text(re.findall(r"```python\n(.*?)```", page, re.S)[0])
    command = [sys.executable, "program.py", "model", str(scan), "mask.nii.gz"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert_same_mask(tmp_path / "mask.nii.gz", mask_of_predict(checkpoint, scan, tmp_path / "ours"), scan)


@needs_onnx
def test_an_onnx_file_states_its_opset_its_fixed_patch_and_its_use(checkpoint, tmp_path):
    import onnx

    exported(checkpoint, "onnx", tmp_path / "model")
    graph = onnx.load(tmp_path / "model/model.onnx")
    stated = json.loads((tmp_path / "model/model.json").read_text())
    assert graph.opset_import[0].version == stated["network"]["opset"] == 17
    sides = [one.dim_value for one in graph.graph.input[0].type.tensor_type.shape.dim]
    assert sides == stated["input"]["shape"] == [1, 1, *PATCH]
    assert [label["name"] for label in stated["labels"] if label["tumor"]] == ["liver tumor"]
    assert stated["preprocessing"]["windowHu"] == list(WINDOW) and stated["origin"] == ABOUT
    assert json.loads(graph.metadata_props[0].value)["origin"] == ABOUT


def test_without_the_package_onnx_the_error_names_the_command_that_installs_it(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EnvironmentError, match="onnx is not installed") as caught:
        exported(checkpoint, "onnx", tmp_path / "model")
    assert "setup --extra export" in caught.value.hint


def test_torchscript_gives_the_logits_of_the_checkpoint_and_holds_its_description(checkpoint, tmp_path):
    exported(checkpoint, "torchscript", tmp_path / "model")
    extra = {"model.json": ""}
    traced = torch.jit.load(tmp_path / "model/model.ts", _extra_files=extra)
    image = torch.rand(1, 1, *PATCH)
    network = load_segmentor(str(checkpoint), None, torch.device("cpu")).network
    with torch.no_grad():
        torch.testing.assert_close(traced(image), network(image), atol=1e-5, rtol=1e-5)
    assert json.loads(extra["model.json"])["labels"][2] == {"output": 2, "id": 2, "name": "liver tumor", "tumor": True}


def test_a_bundle_runs_by_monai_alone_and_gives_the_mask_of_predict(checkpoint, scan, tmp_path):
    exported(checkpoint, "monai-bundle", tmp_path / "bundle")
    settings = {"dataset_dir": str(scan.parent), "output_dir": str(tmp_path / "masks")}
    verify = "verify_net_in_out('network_def', 'configs/metadata.json', 'configs/inference.json')"
    code = f"from monai.bundle import *; run(config_file='configs/inference.json', **{settings}); {verify}"
    # safe path off: the bundle's scripts are imported from the working directory
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "bundle", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same_mask(tmp_path / "masks/case.nii.gz", mask_of_predict(checkpoint, scan, tmp_path / "ours"), scan)
    scripts = "".join(one.read_text() for one in (tmp_path / "bundle/scripts").glob("*.py"))
    assert "import torch" in scripts and "import freetumor" not in scripts and "from freetumor" not in scripts


def test_the_weights_of_a_bundle_come_back_with_all_that_predict_needs(checkpoint, tmp_path):
    exported(checkpoint, "monai-bundle", tmp_path / "bundle")
    ours, theirs = (
        load_segmentor(str(path), None, torch.device("cpu"))
        for path in (checkpoint, tmp_path / "bundle/models/model.pt")
    )
    keys = ("windowHu", "spacingMm", "patchVoxels", "labelNames", "windows", "region", "segmentor")
    assert {key: ours.metadata[key] for key in keys} == {key: theirs.metadata[key] for key in keys}
    assert theirs.metadata["licences"] == ABOUT["licences"]
    saved = ours.network.state_dict()
    assert all(torch.equal(value, saved[key]) for key, value in theirs.network.state_dict().items())


def test_the_metadata_of_a_bundle_has_the_keys_of_the_specification_and_its_licence(checkpoint, tmp_path):
    exported(checkpoint, "monai-bundle", tmp_path / "bundle")
    metadata = json.loads((tmp_path / "bundle/configs/metadata.json").read_text())
    tensor_keys = ["type", "format", "num_channels", "spatial_shape", "dtype", "is_patch_data", "channel_def"]
    tensor = {"type": "object", "required": [*tensor_keys, "value_range"]}
    formats = {"inputs": {"required": ["image"], "properties": {"image": tensor}}}
    formats["outputs"] = {"required": ["pred"], "properties": {"pred": tensor}}
    jsonschema.validate(
        metadata,
        {"required": list(SCHEMA_KEYS), "properties": {"network_data_format": {"properties": formats}}},
    )
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["2"] == "liver tumor"
    assert "CC-BY-4.0" in (tmp_path / "bundle/docs/license.txt").read_text()


@pytest.mark.parametrize("order", MERGING_ORDERS)
def test_a_bundle_computes_a_swinunetr_in_its_patch_merging_order(order, tmp_path):
    ours = write_ours(tmp_path / "model.pt", "swinunetr", (64, 32, 32), order)
    written = exported(ours, "monai-bundle", tmp_path / "bundle")
    assert written["deviation"] < 1e-4
    # only the old order needs code
    assert ("scripts/patch_merging.py" in written["files"]) == (order == "legacy")


@needs_onnx
def test_a_swinunetr_of_the_old_order_is_written_as_onnx(tmp_path):
    ours = write_ours(tmp_path / "model.pt", "swinunetr", (64, 32, 32), "legacy")
    assert exported(ours, "onnx", tmp_path / "model")["deviation"] < 1e-4
    assert json.loads((tmp_path / "model/model.json").read_text())["network"]["patchMerging"] == "legacy"


@needs_onnx
def test_onnx_keeps_the_digits_of_an_instance_norm_over_a_large_patch(tmp_path):
    facts = {"kind": "small", "outputs": 1, "tumorOutputs": []}
    norm = torch.nn.InstanceNorm3d(1).eval()
    model = PortableSegmentor("m", norm, facts, WINDOW, SPACING, (96, 96, 96), 0.5, "gaussian", ("a",), None, {})
    # onnxruntime's own InstanceNormalization deviates by 2e-5
    assert export_onnx(model, tmp_path, {}) < 5e-6


@pytest.mark.parametrize("to", ["onnx", "torchscript", "monai-bundle"])
def test_other_networks_are_refused_by_name(to, tmp_path):
    path = write_ours(tmp_path / "model.pt", "small", kind="synthesis")
    with pytest.raises(CheckpointError, match=r"expected a segmentor, found a synthesis checkpoint"):
        exported(path, to, tmp_path / "out")
    (tmp_path / "nnunet").mkdir()
    for name in ("plans.json", "dataset.json"):
        (tmp_path / "nnunet" / name).write_text("{}")
    with pytest.raises(CheckpointError, match="found an nnU-Net model folder"):
        exported(tmp_path / "nnunet", to, tmp_path / "other")


def test_a_file_without_a_preparation_takes_that_of_the_region_or_is_refused(tmp_path):
    path = write_ours(tmp_path / "model.pt", "small", windowHu=None, labelNames=None, windows=None)
    with pytest.raises(UsageError, match="does not state its windowHu") as caught:
        exported(path, "torchscript", tmp_path / "out")
    assert "--region" in caught.value.hint
    (tmp_path / "model").mkdir()
    region = {"windowHu": [-175, 250], "spacingMm": [9, 9, 9], "patchVoxels": [96, 96, 96], "labelNames": ["a"] * 7}
    export_model(str(path), "torchscript", str(tmp_path / "model"), {}, None, None, region)
    stated = json.loads((tmp_path / "model/model.json").read_text())
    assert stated["preprocessing"]["windowHu"] == [-175, 250]
    # what the file states takes precedence
    assert (stated["preprocessing"]["spacingMm"], stated["input"]["shape"]) == (list(SPACING), [1, 1, *PATCH])
    assert [label["name"] for label in stated["labels"]] == ["background", "organ", "tumor"]
    assert (stated["slidingWindows"]["overlap"], stated["slidingWindows"]["blend"]) == (0.75, "constant")
