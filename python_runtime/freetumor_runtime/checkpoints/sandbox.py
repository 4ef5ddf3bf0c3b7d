"""Inspect, convert, export and probe checkpoint files in sandboxed processes with bounded memory and time.

TypeScript calls inspect_all, convert, export and probe; they import no large library and open no file. The sandboxed
process is `python -m freetumor_runtime.checkpoints.sandbox`: it reads a request from stdin and writes the answer to
stdout.
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freetumor_runtime.errors import CheckpointError, FreetumorError

PR_SET_PDEATHSIG = 1
_MIB = 2**20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Limits:
    # in addition to the memory of the process after its imports
    memory_bytes: int
    cpu_seconds: int
    wall_seconds: int
    # largest file it may write
    written_bytes: int


def inspect(path: str, weights: str | None = None) -> dict[str, Any]:
    """Inspect a checkpoint file: see inspection.inspect_checkpoint."""
    size = _bytes_of(path)
    seconds = _seconds_for(size)
    return in_child(
        "freetumor_runtime.checkpoints.inspection",
        "inspect_checkpoint",
        [path, weights],
        Limits(memory_bytes=size + 512 * _MIB, cpu_seconds=seconds, wall_seconds=2 * seconds, written_bytes=0),
    )


def inspect_all(files: list[tuple[str, str | None]]) -> list[dict[str, Any]]:
    """Return `{"value": ...}` or `{"error": {kind, message, hint}}` of each (path, set of weights), in parallel."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(_answer, files))


def _answer(file: tuple[str, str | None]) -> dict[str, Any]:
    try:
        return {"value": inspect(*file)}
    except FreetumorError as error:
        return {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}


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
    request = json.dumps({"module": module, "function": function, "arguments": arguments, "limits": asdict(limits)})
    # safe path: otherwise `-m` imports modules of the working directory, which may be the folder of a hostile file
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONSAFEPATH": "1"}
    if limits.memory_bytes >= 0:
        # libraries reserve memory for each of their threads: on many cores this exceeds the limit
        environment |= dict.fromkeys(_THREADS, "1")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "freetumor_runtime.checkpoints.sandbox"],
            input=request.encode(),
            capture_output=True,
            timeout=limits.wall_seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _not_read(arguments[0], f"was not done within {limits.wall_seconds} s") from error
    if done.returncode < 0:
        raise _not_read(arguments[0], f"ended with {signal.Signals(-done.returncode).name}")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise FreetumorError(
            f"{module} ended with code {done.returncode}: {words[-1][:500]}", "run `freetumor setup` again"
        ) from error
    if "error" in answer:
        kinds = {kind.kind: kind for kind in FreetumorError.__subclasses__()}
        raised = answer["error"]
        raise kinds.get(raised["kind"], FreetumorError)(raised["message"], raised["hint"])
    return answer["value"]


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # output of libraries must not mix with the answer
    _die_with_parent()
    request = json.loads(sys.stdin.buffer.read())
    function = getattr(importlib.import_module(request["module"]), request["function"])
    tempfile.gettempdir()  # it writes a file, which the limited process may not
    _limit(Limits(**request["limits"]))
    try:
        answer: dict[str, Any] = {"value": function(*request["arguments"])}
    except FreetumorError as error:
        answer = {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}
    except (MemoryError, RecursionError) as error:
        message = f"{request['arguments'][0]}: reading it takes more than its size allows ({type(error).__name__})"
        answer = {"error": {"kind": CheckpointError.kind, "message": message, "hint": "the file may be hostile"}}
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out, allow_nan=False)


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
