import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from freetumor_runtime.checkpoints import sandbox as guarded
from freetumor_runtime.checkpoints.sandbox import Limits, in_child
from freetumor_runtime.errors import CheckpointError, FreetumorError, UsageError
from freetumor_runtime.models.segmentor import build_segmentor
from tests.checkpoints.test_inspection import small_checkpoint

ENOUGH = Limits(memory_bytes=512 * 2**20, cpu_seconds=60, wall_seconds=120, written_bytes=0)


def test_a_file_is_inspected_in_another_process(tmp_path):
    path = str(tmp_path / "model.pt")
    small_checkpoint(path)
    told = guarded.inspect(path)
    assert (told["kind"], told["epoch"]) == ("segmentor", 7)


def test_the_errors_of_the_child_are_those_of_the_caller(tmp_path):
    with pytest.raises(CheckpointError, match=r"no\.pt: file not found") as caught:
        guarded.inspect(str(tmp_path / "no.pt"))
    assert caught.value.hint == "correct the path"
    path = str(tmp_path / "model.pt")
    small_checkpoint(path)
    with pytest.raises(UsageError, match="safetensors or pt"):
        guarded.convert(path, "onnx", str(tmp_path / "x.onnx"), None)


def test_a_conversion_may_write_its_file(tmp_path):
    path, out = str(tmp_path / "model.pt"), str(tmp_path / "model.safetensors")
    small_checkpoint(path)
    assert guarded.convert(path, "safetensors", out, None)["path"] == out
    assert Path(out).is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the size of a process")
def test_memory_beyond_the_limit_is_an_error_that_names_the_file():
    with pytest.raises(CheckpointError, match="takes more than its size allows"):
        in_child("builtins", "bytearray", [2**30], ENOUGH)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_a_child_with_bounded_memory_computes_on_one_thread_as_each_takes_memory_of_its_own(monkeypatch, name):
    monkeypatch.setenv(name, "5")
    assert in_child("os", "getenv", [name], ENOUGH) == "1"
    unbounded = Limits(memory_bytes=-1, cpu_seconds=60, wall_seconds=120, written_bytes=0)
    assert in_child("os", "getenv", [name], unbounded) == "5"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the size of a process")
def test_what_libraries_take_is_not_counted_and_what_the_file_takes_is(tmp_path):
    """MONAI and all that it finds installed is imported for a SwinUNETR, beyond these 64 MiB."""
    path = tmp_path / "model.pt"
    network = build_segmentor("swinunetr", outputs=3, feature_size=12, levels=0, patch_merging="corrected")
    torch.save({"state_dict": network.state_dict()}, path)
    limits = replace(ENOUGH, memory_bytes=path.stat().st_size + 64 * 2**20)
    told = in_child("freetumor_runtime.checkpoints.inspection", "inspect_checkpoint", [str(path)], limits)
    assert told["networks"][0]["architecture"] == "swinunetr"
    with pytest.raises(CheckpointError, match="takes more than its size allows"):
        in_child("tests.checkpoints.test_sandbox", "much_after_an_import", [2**30], ENOUGH)


def much_after_an_import(size: int) -> int:
    with guarded.importing():
        import monai.networks.nets  # noqa: F401
    return len(bytearray(size))


def test_a_child_that_never_ends_is_ended():
    short = Limits(memory_bytes=2**29, cpu_seconds=60, wall_seconds=1, written_bytes=0)
    with pytest.raises(CheckpointError, match="was not done within 1 s"):
        in_child("time", "sleep", [600], short)


def test_a_child_that_computes_too_long_is_ended():
    short = Limits(memory_bytes=2**29, cpu_seconds=1, wall_seconds=100, written_bytes=0)
    with pytest.raises(CheckpointError, match="ended with SIGXCPU"):
        in_child("math", "factorial", [10_000_000], short)


def test_a_killed_child_is_an_error_and_does_not_end_the_caller():
    with pytest.raises(CheckpointError, match="ended with SIGABRT"):
        in_child("signal", "raise_signal", [6], ENOUGH)
    with pytest.raises(FreetumorError, match="ended with code 3"):
        in_child("os", "_exit", [3], ENOUGH)


def test_a_child_may_write_no_file(tmp_path):
    path = tmp_path / "written"
    program = f"open({str(path)!r}, 'w').write('x' * 10000)"
    with pytest.raises(FreetumorError, match="File too large"):
        in_child("builtins", "exec", [program], ENOUGH)
    assert path.stat().st_size == 0


def test_a_child_ends_with_its_caller(tmp_path):
    """A caller is killed while its child sleeps; what the child holds open is closed."""
    read, write = os.pipe()
    asleep = f"import os, time; os.write({write}, b'up'); time.sleep(600)"
    program = (
        # the child of the child would not inherit the pipe otherwise
        f"import subprocess; run = subprocess.run; subprocess.run = lambda *a, **k: run(*a, **k, pass_fds=({write},))\n"
        "from freetumor_runtime.checkpoints.sandbox import Limits, in_child\n"
        f"in_child('builtins', 'exec', [{asleep!r}], Limits(2**29, 60, 600, 0))"
    )
    started = subprocess.Popen([sys.executable, "-c", program], pass_fds=(write,))
    os.close(write)
    assert os.read(read, 2) == b"up"
    started.kill()
    started.wait()
    assert os.read(read, 1) == b""
    os.close(read)


def test_the_module_that_typescript_calls_imports_nothing_heavy():
    program = "import sys; import freetumor_runtime.checkpoints.sandbox; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_a_word_of_a_library_on_stdout_is_no_answer(tmp_path):
    assert in_child("builtins", "print", ["noise"], ENOUGH) is None
