"""Inspect, convert, export and probe checkpoint files in sandboxed processes with bounded memory and time.

TypeScript calls inspect_all, convert, export and probe; they import no large library and open no file. The process
that they start, `python -m freetumor_runtime.checkpoints.sandbox`, reads requests from stdin, imports the libraries
once, forks a sandboxed process for each request, and writes the answers to stdout.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any

from freetumor_runtime.errors import CheckpointError, FreetumorError

PR_SET_PDEATHSIG = 1
_MIB = 2**20
# sandboxed processes that run at once
_AT_ONCE = 4
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Limits:
    # in addition to the memory of the process after its imports
    memory_bytes: int
    cpu_seconds: int
    wall_seconds: int
    # largest file it may write
    written_bytes: int


_INSPECTION = "freetumor_runtime.checkpoints.inspection", "inspect_checkpoint"


def inspect(path: str, weights: str | None = None) -> dict[str, Any]:
    """Inspect a checkpoint file: see inspection.inspect_checkpoint."""
    return in_child(*_INSPECTION, [path, weights], _limits_of_inspection(path))


def inspect_all(files: Sequence[tuple[str, str | None]]) -> list[dict[str, Any]]:
    """Return `{"value": ...}` or `{"error": {kind, message, hint}}` of each (path, set of weights), in parallel."""
    return _in_children(*_INSPECTION, [([*file], _limits_of_inspection(file[0])) for file in files])


def _limits_of_inspection(path: str) -> Limits:
    size = _bytes_of(path)
    seconds = _seconds_for(size)
    return Limits(memory_bytes=size + 512 * _MIB, cpu_seconds=seconds, wall_seconds=2 * seconds, written_bytes=0)


def convert(path: str, to: str, out: str, merging: str | None, weights: str | None = None) -> dict[str, Any]:
    """Convert a checkpoint file: see conversion.convert_checkpoint."""
    size = _bytes_of(path)
    seconds = _seconds_for(size)
    return in_child(
        "freetumor_runtime.checkpoints.conversion",
        "convert_checkpoint",
        [path, to, out, merging, weights],
        Limits(4 * size + 512 * _MIB, cpu_seconds=seconds, wall_seconds=4 * seconds, written_bytes=2 * size + _MIB),
    )


def export(
    path: str,
    to: str,
    out: str,
    about: dict[str, Any],
    merging: str | None,
    weights: str | None = None,
    preparation: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Export a checkpoint file: see export.export_model. A format that computes a window has no limit on memory."""
    size = _bytes_of(path)
    seconds = _seconds_for(size)
    limits = Limits(4 * size + 512 * _MIB, seconds, 4 * seconds, written_bytes=2 * size + _MIB)
    if to not in ("nnunet", "safetensors"):
        hours = 3600 * 4
        limits = Limits(-1, cpu_seconds=16 * hours, wall_seconds=hours, written_bytes=4 * size + 256 * _MIB)
    return in_child(
        "freetumor_runtime.checkpoints.export",
        "export_model",
        [path, to, out, about, merging, weights, preparation],
        limits,
    )


def probe(path: str, image: str, labels: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run inference.probe.probe_merging with generous limits on time and none on memory: it computes a segmentation."""
    hours = 3600 * 12
    return in_child(
        "freetumor_runtime.inference.probe",
        "probe_merging",
        [path, image, labels, settings],
        Limits(memory_bytes=-1, cpu_seconds=16 * hours, wall_seconds=hours, written_bytes=0),
    )


def in_child(module: str, function: str, arguments: list[Any], limits: Limits) -> Any:
    """Return `module.function(*arguments)`, computed in a sandboxed process; arguments and result are plain values.

    Raises the FreetumorError that the function raised, and CheckpointError if the process was killed: the first
    argument names the file.
    """
    (answer,) = _in_children(module, function, [(arguments, limits)])
    if "error" in answer:
        # the base class last: a subclass without a kind of its own may take other arguments
        kinds = {kind.kind: kind for kind in (*FreetumorError.__subclasses__(), FreetumorError)}
        raised = answer["error"]
        raise kinds.get(raised["kind"], FreetumorError)(raised["message"], raised["hint"])
    return answer["value"]


def _in_children(module: str, function: str, calls: Sequence[tuple[list[Any], Limits]]) -> list[dict[str, Any]]:
    """Return for each call `{"value": ...}` or `{"error": {kind, message, hint}}`, each from its own process."""
    wanted = [{"arguments": arguments, "limits": asdict(limits)} for arguments, limits in calls]
    request = json.dumps({"module": module, "function": function, "calls": wanted})
    # safe path: otherwise `-m` imports modules of the working directory, which may be the folder of a hostile file
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONSAFEPATH": "1"}
    if any(limits.memory_bytes >= 0 for _, limits in calls):
        # libraries reserve memory for each of their threads: on many cores this exceeds the limit
        environment |= dict.fromkeys(_THREADS, "1")
    done = subprocess.run(
        [sys.executable, "-m", "freetumor_runtime.checkpoints.sandbox"],
        input=request.encode(),
        capture_output=True,
        env=environment,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise _broken(module, done.returncode, words[-1]) from error


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    _die_with_parent()
    request = json.loads(sys.stdin.buffer.read())
    # collections during imports find nothing, and take 8 % of the time
    gc.disable()
    function = getattr(importlib.import_module(request["module"]), request["function"])
    gc.freeze()
    gc.enable()
    tempfile.gettempdir()  # it writes a file, which a limited process may not
    calls = [(call["arguments"], Limits(**call["limits"])) for call in request["calls"]]
    found = _forked(request["module"], function, calls)
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(found, out, allow_nan=False)
    # no teardown by Python: PyTorch's takes as long as a third of its import
    os._exit(0)


@dataclass
class _Child:
    at: int
    process: int
    ends_at: float
    answer: bytearray


def _forked(
    module: str, function: Callable[..., Any], calls: Sequence[tuple[list[Any], Limits]]
) -> list[dict[str, Any]]:
    """Return the answer of each call, computed in a fork of this process, which has a single thread."""
    found: dict[int, dict[str, Any]] = {}
    waiting = list(range(len(calls)))
    with DefaultSelector() as running:
        while waiting or running.get_map():
            while waiting and len(running.get_map()) < _AT_ONCE:
                at = waiting.pop(0)
                readable, child = _fork(at, function, *calls[at])
                running.register(readable, EVENT_READ, child)
            first_end = min(key.data.ends_at for key in running.get_map().values())
            ready = {key.fd for key, _ in running.select(max(0.0, first_end - monotonic()))}
            for key in list(running.get_map().values()):
                child = key.data
                late = key.fd not in ready
                if late and monotonic() < child.ends_at:
                    continue
                if late:
                    os.kill(child.process, signal.SIGKILL)
                elif part := os.read(key.fd, 1 << 16):
                    child.answer += part
                    continue
                running.unregister(key.fd)
                os.close(key.fd)
                status = os.waitstatus_to_exitcode(os.waitpid(child.process, 0)[1])
                arguments, limits = calls[child.at]
                found[child.at] = _ended(module, arguments, limits, child.answer, None if late else status)
    return [found[at] for at in range(len(calls))]


def _fork(at: int, function: Callable[..., Any], arguments: list[Any], limits: Limits) -> tuple[int, _Child]:
    readable, writable = os.pipe()
    process = os.fork()
    if process > 0:
        os.close(writable)
        return readable, _Child(at, process, monotonic() + limits.wall_seconds, bytearray())
    try:
        os.close(readable)
        _die_with_parent()
        answer = json.dumps(_answer(function, arguments, limits), allow_nan=False)
        with os.fdopen(writable, "w", encoding="utf-8") as out:
            out.write(answer)
    finally:
        # no handler of the parent runs here
        os._exit(0)


def _answer(function: Callable[..., Any], arguments: list[Any], limits: Limits) -> dict[str, Any]:
    _limit(limits)
    try:
        return {"value": function(*arguments)}
    except FreetumorError as error:
        return _error(error)
    except (MemoryError, RecursionError) as error:
        message = f"{arguments[0]}: reading it takes more than its size allows ({type(error).__name__})"
        return _error(CheckpointError(message, "the file may be hostile"))
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def _ended(
    module: str, arguments: list[Any], limits: Limits, text: bytes | bytearray, status: int | None
) -> dict[str, Any]:
    """Return the answer of an ended process, or why it has none; `status` is None for a process that was late."""
    if status is None:
        return _error(_not_read(arguments[0], f"was not done within {limits.wall_seconds} s"))
    if status < 0:
        return _error(_not_read(arguments[0], f"ended with {signal.Signals(-status).name}"))
    try:
        answer = json.loads(text)
    except ValueError:
        return _error(_broken(module, status, "no output"))
    return _error(_broken(module, 1, answer["failed"])) if "failed" in answer else answer


def _error(error: FreetumorError) -> dict[str, Any]:
    return {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}


def _broken(module: str, code: int, words: str) -> FreetumorError:
    return FreetumorError(f"{module} ended with code {code}: {words[:500]}", "run `freetumor setup` again")


@contextmanager
def importing() -> Iterator[None]:
    """Raise the memory limit by the size of the imports in this block: installed libraries may have any size."""
    if sys.platform != "linux":
        yield
        return
    most, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = _own_size()
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    try:
        yield
    finally:
        if most != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_AS, (most + _own_size() - before, hard))


def _limit(limits: Limits) -> None:
    """Set the limits of this process: the system kills it after its seconds, and refuses memory beyond the limit."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + limits.cpu_seconds
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.written_bytes, limits.written_bytes))
    if limits.memory_bytes >= 0 and sys.platform == "linux":  # elsewhere the size of a process cannot be limited
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = _own_size() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _own_size() -> int:
    """Return the address space of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _bytes_of(path: str) -> int:
    """Return the size of a file, or of the weights in a model folder; 0 if there is none, which the reader reports."""
    try:
        folds = list(Path(path).glob("fold_*/*.pth"))
        return sum(fold.stat().st_size for fold in folds) if folds else os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _seconds_for(size: int) -> int:
    """Return 60 s plus the time to hash the file on a slow disk (20 MiB/s)."""
    return 60 + size // (20 * _MIB)


def _not_read(path: str, how: str) -> CheckpointError:
    return CheckpointError(f"{path}: the process that read it {how}", "the file is damaged or hostile; get it again")


if __name__ == "__main__":
    main()
