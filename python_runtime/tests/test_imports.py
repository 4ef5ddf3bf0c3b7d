"""What a process imports is what its start takes: seconds for PyTorch and for MONAI each."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import freetumor_runtime


def imported(modules: list[str]) -> set[str]:
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
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


def test_checkpoint_inspection_and_synthesis_do_not_import_monai():
    found = imported(["freetumor_runtime.checkpoints.inspection", "freetumor_runtime.jobs.synthesize"])
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
