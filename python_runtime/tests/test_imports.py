"""What a process imports is what its start takes: seconds for PyTorch and for MONAI each."""

import subprocess
import sys

import pytest


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


def test_looking_into_checkpoints_and_synthesizing_need_no_monai():
    found = imported(["freetumor_runtime.checkpoints.inspection", "freetumor_runtime.jobs.synthesize"])
    assert "torch" in found and "monai" not in found
