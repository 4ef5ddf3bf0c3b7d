"""Inside a step, a GPU waits only for the reads that are listed here.

Without a GPU, a stand-in finds the operations for which a GPU would wait. On a GPU, PyTorch's own detector runs.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from freetumor_runtime.jobs import train_segmentation, train_synthesis
from freetumor_runtime.synthesis import crop_painting
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.step_meter import StepMeter
from tests.training.toy_training import STEPS, toy_spec, trained, write_cases

RUNTIME = Path(__file__).resolve().parents[2]
# the losses of a step, at its end: one copy for all parts
LOSSES = {"learner.mean_losses: copy to host": 1}
# the measures of all painted tumors in one copy; the toy training paints rejected tumors again once a step
MEASURES, ATTEMPTS = "crop_painting.measures_of: copy to host", 2
# `synthesis.measures` needs arrays on the host: images and roles of all painted crops
MORE_MEASURES = "crop_painting._more_measures: copy to host"
# by run: function and operation -> times in a step
INTENDED = {
    "baseline": LOSSES,
    "baseline in parts, clipped": LOSSES,
    "segmentation": {**LOSSES, MEASURES: ATTEMPTS},
    "segmentation with more measures": {**LOSSES, MEASURES: ATTEMPTS, MORE_MEASURES: 2 * ATTEMPTS},
    "synthesis": {**LOSSES, MEASURES: 1},
    "synthesis in parts": {**LOSSES, MEASURES: 1},
}


def in_process_of_its_own(*command: str) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command], cwd=RUNTIME, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return in_process_of_its_own("tests/training/waiting_steps.py", str(tmp_path_factory.mktemp("waits") / "toy"))


@pytest.mark.parametrize("run", INTENDED)
def test_a_step_waits_only_for_intended_reads(report, run):
    assert report["runs"][run]["waits"] == {what: times * report["steps"] for what, times in INTENDED[run].items()}


@pytest.mark.parametrize("run", INTENDED)
def test_a_run_on_the_stand_in_has_the_losses_of_the_cpu(report, run):
    on_cpu, on_device = (
        torch.tensor([[float.fromhex(value) for value in one.values()] for one in losses.values()])
        for losses in report["runs"][run]["losses"]
    )
    # painting on a device uses float64, and networks the layers of a GPU
    torch.testing.assert_close(on_device[0], on_cpu[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(on_device, on_cpu, rtol=0.02, atol=1e-3)


def test_networks_and_the_loss_never_wait(report):
    assert report["networks"] == dict.fromkeys(("small", "resenc", "unet", "swinunetr", "generator"), {})


WAITS = """
import json
import torch
from tests.stand_in_gpu import DEVICE, Waits

host = torch.arange(4.0)
found = {}
with Waits() as waits:
    array = host.to(DEVICE, non_blocking=True)
    for name, operation in {
        "asynchronous copy to device": lambda: host.to(DEVICE, non_blocking=True),
        "arithmetic": lambda: (array * 2).sum() + 1,
        "where": lambda: torch.where(array > 1, array, 0),
        "item": lambda: array.sum().item(),
        "float": lambda: float(array[0]),
        "bool": lambda: bool(array.any()),
        "tolist": lambda: array.tolist(),
        "cpu": lambda: array.cpu(),
        "copy to device": lambda: host.to(DEVICE),
        "copy into a host tensor": lambda: torch.empty(4).copy_(array),
        "copy into a device tensor": lambda: torch.empty(4, device=DEVICE).copy_(host),
        "nonzero": lambda: array.nonzero(),
        "where without values": lambda: torch.where(array > 1),
        "mask as index": lambda: array[array > 1],
        "values at a mask": lambda: array.clone().index_put_((array > 1,), array[:2]),
        "masked_select": lambda: array.masked_select(array > 1),
        "unique": lambda: array.unique(),
        "repeat_interleave": lambda: torch.repeat_interleave(array.long()),
        "repeat_interleave of a known size": lambda: torch.repeat_interleave(array.long(), output_size=6),
        "equal": lambda: torch.equal(array, array * 2),
    }.items():
        waits.found.clear()
        operation()
        found[name] = sum(waits.found.values())
    refused = []
    for operation in (lambda: array[[0, 2]], lambda: array + host, lambda: array.numpy()):
        try:
            operation()
        except (RuntimeError, TypeError):
            refused.append(True)
print(json.dumps({"found": found, "refused": len(refused)}))
"""
FREE = ("asynchronous copy to device", "arithmetic", "where", "repeat_interleave of a known size")


def test_the_stand_in_finds_every_kind_of_wait():
    told = in_process_of_its_own("-c", WAITS)
    assert {name for name, waits in told["found"].items() if waits == 0} == set(FREE)
    # an index of numbers, both devices in one operation, and NumPy
    assert told["refused"] == 3


@pytest.mark.parametrize("job", ["baseline", "segmentation", "synthesis"])
def test_pytorch_finds_no_other_wait_on_a_gpu(tmp_path, monkeypatch, job):
    if not torch.cuda.is_available():
        warnings.warn("no CUDA device here: PyTorch's detector of waits does not run", stacklevel=1)
        pytest.skip("no CUDA device")
    folder, gpu = tmp_path / "toy", Ranks(0, 1, torch.device("cuda", 0), None)
    write_cases(folder)
    quiet = {"validation.everySteps": None, "checkpoint.everySteps": None, "device": "cuda"}
    judge = trained(toy_spec(folder / "judge", "baseline", folder, changes=quiet), gpu, STEPS)["checkpoint"]

    def allowed(read):
        def without_detector(*arguments):
            before = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("default")
            try:
                return read(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode(before)

        return without_detector

    for module, name in (
        (crop_painting, "measures_of"),
        (train_synthesis, "measures_of"),
        (train_synthesis, "mean_losses"),
        (train_segmentation, "mean_losses"),
    ):
        monkeypatch.setattr(module, name, allowed(getattr(module, name)))
    begin, done = StepMeter.begin, StepMeter.done
    watched = []

    def begin_watched(meter):
        begin(meter)
        torch.cuda.set_sync_debug_mode("error")

    def done_watched(meter, *arguments):
        watched.append(torch.cuda.get_sync_debug_mode())
        torch.cuda.set_sync_debug_mode("default")
        return done(meter, *arguments)

    monkeypatch.setattr(StepMeter, "begin", begin_watched)
    monkeypatch.setattr(StepMeter, "done", done_watched)
    try:
        trained(toy_spec(folder / job, job, folder, judge, quiet), gpu, STEPS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # 2 is "error"
    assert watched == [2] * STEPS
