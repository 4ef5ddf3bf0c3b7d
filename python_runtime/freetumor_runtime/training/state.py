"""Checkpoints of a run: one directory a step, complete or absent, with a manifest of hashes, and a pointer to the last.

<run>/checkpoints/step_00000100/model.pt       weights under the published keys, with our metadata
                                state.pt       optimizers, random states, step
                                manifest.json  sha256 and bytes of both; written last
<run>/checkpoints/latest                       the name of the newest directory
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from freetumor_runtime.errors import CheckpointError, EnvironmentError


def save_checkpoint(
    run_directory: str, step: int, model: Mapping[str, Any], state: Mapping[str, Any], keep: int
) -> str:
    """Writes model.pt and state.pt of `step` (the next to run) aside, then publishes them with one rename."""
    folder = Path(run_directory) / "checkpoints"
    final = folder / f"step_{step:08d}"
    aside = folder / f"{final.name}.tmp.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_unfinished(folder)
        aside.mkdir()
        files = {"model.pt": model, "state.pt": state}
        manifest = {"step": step, "files": {name: _write(aside / name, content) for name, content in files.items()}}
        _write_text(aside / "manifest.json", json.dumps(manifest, indent=2))
        _sync_directory(aside)
        if final.exists():
            shutil.rmtree(final)
        os.rename(aside, final)
        _write_text(folder / "latest.tmp", final.name)
        os.replace(folder / "latest.tmp", folder / "latest")
        _sync_directory(folder)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise _as_environment_error(error, aside) from error
    _prune(folder, keep)
    return str(final)


def load_state(directory: str, map_location: torch.device) -> dict[str, Any]:
    """state.pt of a checkpoint directory whose files match their hashes."""
    verify_checkpoint(directory)
    return torch.load(Path(directory) / "state.pt", map_location=map_location, weights_only=True)


def verify_checkpoint(directory: str) -> None:
    folder = Path(directory)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{directory}: no readable manifest.json", "choose another checkpoint") from error
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _sha256(path) != expected["sha256"]:
            raise CheckpointError(
                f"{path}: the content does not match the hash in manifest.json", "choose another checkpoint"
            )


def random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


def sweep_unfinished(folder: Path) -> None:
    """Removes what a killed save left behind."""
    for litter in folder.glob("*.tmp*"):
        shutil.rmtree(litter, ignore_errors=True) if litter.is_dir() else litter.unlink(missing_ok=True)


def _prune(folder: Path, keep: int) -> None:
    finished = sorted(path for path in folder.glob("step_*") if ".tmp" not in path.name)
    best = (folder / "best").read_text(encoding="utf-8").strip() if (folder / "best").exists() else None
    for old in finished[:-keep]:
        if old.name != best:
            shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    # A file object, not a path: then the cause of a failed write (disk full) is in the error's context.
    with open(path, "wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())
    return {"sha256": _sha256(path), "bytes": path.stat().st_size}


def _write_text(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_environment_error(error: BaseException, path: Path) -> EnvironmentError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    reason = f"{os.strerror(cause.errno)} (errno {cause.errno})" if cause is not None and cause.errno else str(error)
    return EnvironmentError(f"checkpoint {path} cannot be written: {reason}", "free space, then resume the run")
