"""What a process imports is what its start takes: seconds for PyTorch and for MONAI each."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import freetumor_runtime


def imported(modules: list[str]) -> set[str]:
    # without Python's teardown, which takes as long as a third of the import
    code = f"import os, sys, {', '.join(modules)}; print(*sys.modules, flush=True); os._exit(0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("job", ["prepare", "evaluate"])
def test_a_pool_of_processes_starts_without_pytorch(job):
    found = imported(["freetumor_runtime.wiring", f"freetumor_runtime.jobs.{job}"])
    assert f"freetumor_runtime.jobs.{job}" in found
    assert not found & {"torch", "monai", "zarr"}


def test_measuring_and_drawing_need_no_pytorch():
    modules = ["case_metrics", "mask_pair", "mask_pictures"]
    found = imported([f"freetumor_runtime.evaluation.{name}" for name in modules])
    assert not found & {"torch", "monai"}


def test_checkpoint_inspection_and_synthesis_import_only_what_they_need():
    found = imported(["freetumor_runtime.checkpoints.inspection", "freetumor_runtime.jobs.synthesize"])
    assert "torch" in found and not found & {"monai", "pydicom", "scipy.spatial", "torch._dynamo"}


@pytest.mark.parametrize("job", ["predict", "serve"])
def test_a_prediction_and_a_warm_runtime_start_without_monai(job):
    found = imported([f"freetumor_runtime.jobs.{job}"])
    assert "torch" in found and "monai" not in found


def test_ranks_are_deterministic_without_the_compiler_and_compiled_networks_too():
    code = """
import sys
from types import SimpleNamespace
import torch
from freetumor_runtime.training.ranks import join_ranks
from freetumor_runtime.training.start import lay_out

join_ranks("cpu", 1, 0)
print("torch._inductor" in sys.modules, torch.get_deterministic_debug_mode())
lay_out(torch.nn.Identity(), SimpleNamespace(memoryFormat="contiguous", compile=True))
from torch._inductor import config
print(config.deterministic, torch.get_deterministic_debug_mode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == ["False 2", "True 2"]


def test_optimizers_work_without_the_compiler():
    code = """
import sys
import torch
from freetumor_runtime.config.training import OptimizerSpec
from freetumor_runtime.training.optimization import build_optimizer

for kind in ("adam", "adamw", "sgd"):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = build_optimizer(OptimizerSpec(kind, 0.1, 0.01, "constant", 0, None), [weight])
    optimizer.zero_grad()
    weight.sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert not torch.equal(weight, torch.ones(3))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == ["False"]


@pytest.mark.parametrize("first", ["freetumor_runtime.data.nifti", "pydicom, freetumor_runtime.data.nifti"])
def test_scans_are_read_without_pydicom_which_remains_importable(first):
    code = f"import sys, {first}; print('pydicom.dataset' in sys.modules); import pydicom; print(pydicom.Dataset())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[0] == str(first.startswith("pydicom"))


PREPARE_A_SCAN = """
import numpy as np
from freetumor_runtime.data.prepared_case import resample_and_crop

rng = np.random.default_rng(0)
hu, label = rng.integers(0, 200, (24, 20, 16)).astype(np.int16), np.ones((24, 20, 16), np.uint8)
affine = np.diag([-3.0, 3.0, 3.0, 1.0])
image, label, grid, start = resample_and_crop(hu, label, affine, (1.5, 1.5, 1.5), -175.0)
assert image.shape == (47, 39, 31), image.shape
"""

PREDICT_AND_PAINT = """
import torch
from freetumor_runtime.data.volumes import prepared_image
from freetumor_runtime.data.way_back import nearest_on_scan, scan_grids
from freetumor_runtime.inference.sliding_field import SlidingField
from freetumor_runtime.inference.sliding_windows import labels_of, segment_volume
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d

prepared = prepared_image(hu, affine, (1.5, 1.5, 1.5), -175)
segmentor = build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="corrected").eval()
patch = (16, 16, 16)
with torch.no_grad():
    windowed = prepared.image_hu.clamp(0, 1)
    found = segment_volume(segmentor, windowed, patch, 0.25, "gaussian", 2)
    mask = nearest_on_scan(labels_of(found.logits_CXYZ).numpy(), prepared.grids, patch)
    whole = tuple(slice(0, side) for side in windowed.shape)
    field = SlidingField(UNet3d(3, 4), windowed, patch, 0.25, keep=True).at(whole)
assert mask.shape == hu.shape and field.shape == (3, *windowed.shape)
assert scan_grids(hu.shape, affine, image.shape, grid, start, (1.5, 1.5, 1.5)).resampled_shape == (47, 39, 31)
"""


def test_a_straight_scan_is_prepared_without_pytorch_and_predicted_and_painted_without_monai():
    code = f"{PREPARE_A_SCAN}\nimport sys\nassert 'torch' not in sys.modules\n{PREDICT_AND_PAINT}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert "torch" in found and "monai" not in found


@pytest.mark.parametrize("job", ["train_segmentation", "train_synthesis"])
def test_a_training_reaches_its_first_step_without_monai_and_tensorboard(job):
    modules = ["feeds", "bridge.feed", "training.board", "training.nodes", f"jobs.{job}"]
    found = imported([f"freetumor_runtime.{name}" for name in modules])
    assert "torch" in found
    assert not {name.split(".")[0] for name in found} & {"monai", "tensorboard", "tensorflow"}


def test_no_modules_import_each_other_in_a_circle():
    package = Path(freetumor_runtime.__file__).parent
    modules = {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in package.rglob("*.py")}
    graph = {}
    for name, path in modules.items():
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        wanted = {node.module for node in imports} | {
            f"{node.module}.{one.name}" for node in imports for one in node.names
        }
        graph[name] = wanted & modules.keys()
    # raises CycleError that names the modules of a circle
    assert set(TopologicalSorter(graph).static_order()) == modules.keys()
