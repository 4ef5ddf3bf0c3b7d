"""The same work on a CUDA device as on the CPU. Where there is none, these are skipped with that reason.

A GPU may make convolutions of 32 bits in TF32 (PyTorch's default, and the product's): comparisons are made without.
"""

import dataclasses
import warnings

import pytest
import torch

from freetumor_runtime.data.call_source import SegmentCall
from freetumor_runtime.jobs.predict import predict
from freetumor_runtime.jobs.serve import serve
from freetumor_runtime.training.ranks import Ranks
from tests.jobs import test_predict, test_serve
from tests.training.toy_training import STEPS, STOP_AT, toy_spec, trained, write_cases

CPU = Ranks(0, 1, torch.device("cpu"), None)
GPU = Ranks(0, 1, torch.device("cuda", 0), None)
JOBS = ("baseline", "synthesis")
serve_spec, predict_folder = test_serve.spec, test_predict.folder


@pytest.fixture(autouse=True)
def _on_a_gpu(monkeypatch):
    if not torch.cuda.is_available():
        warnings.warn("no CUDA device here: nothing of a GPU is tested", stacklevel=1)
        pytest.skip("no CUDA device")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_cases(folder)
    trained(toy_spec(folder / "judge", "baseline", folder), CPU, STEPS)
    return folder


def run(folder, job, name, ranks=GPU, until=STEPS, **changes):
    judge = str(folder / "judge/checkpoints" / f"step_{STEPS:08d}")
    spec = toy_spec(folder / job / name, job, folder, judge, {"device": ranks.device.type, **changes})
    return trained(spec, ranks, until)


def losses_of(told):
    return torch.tensor([[float.fromhex(value) for value in one.values()] for one in told["losses"].values()])


@pytest.mark.parametrize("job", JOBS)
def test_a_training_has_the_losses_of_the_cpu(folder, job):
    on_cpu, on_gpu = (losses_of(run(folder, job, f"plain-{ranks.device.type}", ranks)) for ranks in (CPU, GPU))
    torch.testing.assert_close(on_gpu[0], on_cpu[0], rtol=1e-5, atol=1e-6)
    # sums in another order, carried on by optimizer steps, and by the batch norm of a generator of two channels
    torch.testing.assert_close(on_gpu, on_cpu, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("job", JOBS)
def test_a_resumed_run_equals_an_uninterrupted_run(folder, job):
    whole, before = run(folder, job, "whole"), run(folder, job, "parts", until=STOP_AT)
    after = run(folder, job, "rest", resumeFrom=before["checkpoint"])
    assert before["losses"] | after["losses"] == whole["losses"]
    assert after["weights"] == whole["weights"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("job", JOBS)
def test_16_bits_have_the_losses_of_32_to_their_precision(folder, job, precision):
    full = losses_of(run(folder, job, f"fp32-for-{precision}"))
    half = losses_of(run(folder, job, precision, precision=precision))
    torch.testing.assert_close(half[0], full[0], rtol=0.02, atol=0.01)
    assert half.isfinite().all()


@pytest.mark.parametrize("job", JOBS)
def test_the_reproducible_mode_goes_item_by_item(folder, job):
    exact = [run(folder, job, f"exact-{turn}", reproducible=True) for turn in (0, 1)]
    assert exact[0]["losses"] == exact[1]["losses"] and exact[0]["weights"] == exact[1]["weights"]


def test_a_compiled_training_has_the_losses_of_the_plain_one(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    plain, compiled = run(folder, "baseline", "not-compiled"), run(folder, "baseline", "compiled", compile=True)
    torch.testing.assert_close(losses_of(compiled)[0], losses_of(plain)[0], rtol=1e-4, atol=1e-5)
    torch.compiler.reset()


def test_a_warm_runtime_answers_as_on_the_cpu(serve_spec):
    image_hu = test_serve.volume((24, 24, 24))
    answers = []
    for ranks in (CPU, GPU):
        spec = dataclasses.replace(serve_spec, device=ranks.device.type)
        source = test_serve.Calls([SegmentCall(1, image_hu, None, True), test_serve.painting(2, image_hu)])
        list(serve(spec, ranks, source))
        answers.append(source.answers)
    on_cpu, on_gpu = answers
    torch.testing.assert_close(on_gpu[1].tensors["logits"], on_cpu[1].tensors["logits"], rtol=1e-4, atol=1e-5)
    # rounded HU: a difference of the last bit may fall on the other side
    changed = on_gpu[2].tensors["image"].int() - on_cpu[2].tensors["image"].int()
    assert changed.abs().max() <= 1
    assert torch.equal(on_gpu[2].tensors["label"], on_cpu[2].tensors["label"])
    assert on_gpu[2].measures[0].synthetic_voxels == on_cpu[2].measures[0].synthetic_voxels


def test_a_prediction_has_the_mask_of_the_cpu(predict_folder, tmp_path, monkeypatch):
    masks = []
    for ranks in (CPU, GPU):
        out = tmp_path / ranks.device.type
        out.mkdir()
        spec = test_predict.spec_of(predict_folder, out, device=ranks.device.type)
        listed = test_predict.Listed(spec)
        assert [event.outcome for event in predict(spec, ranks, listed)] == ["completed"]
        masks.append(torch.from_numpy(test_predict.load_nifti(f"{out}/scan.nii.gz")[0].astype("int16")))
    # where two outputs are equal to rounding
    assert (masks[0] != masks[1]).float().mean() < 1e-3
