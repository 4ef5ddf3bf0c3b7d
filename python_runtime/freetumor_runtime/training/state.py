"""Write checkpoints of a run: one directory for each step, complete or absent, and a pointer to the newest.

<run>/checkpoints/step_00000100/model.pt       weights under the published keys, with metadata
                                state.pt       other state that a resume needs: optimizers, scaler, random states, rates
                                manifest.json  SHA-256 and bytes of both, and the conditions of the run; written last
<run>/checkpoints/latest                       the name of the newest directory

src/training/checkpoints.ts removes partially written checkpoints, chooses the one to resume from, and prunes old ones.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freetumor_runtime.config.training import OptimizerSpec, TrainingSpec
from freetumor_runtime.errors import CheckpointError, EnvironmentError, Superseded
from freetumor_runtime.foreign_text import read_json
from freetumor_runtime.training.ranks import Ranks

# Settings that change how an optimizer computes, but not its result. Current ones override those of a file.
_WAYS = ("fused", "foreach")
_FILES = ("model.pt", "state.pt")


def checkpoint_due(spec: TrainingSpec, step: int) -> bool:
    """Return whether the run saves before step `step`: every `everySteps` steps, and at the end."""
    every = spec.checkpoint.everySteps
    return step == spec.steps or (every is not None and step % every == 0)


@dataclass(frozen=True)
class Owner:
    """A start of a run, as recorded in `owner.json` of the run (src/training/owner.ts)."""

    number: int
    run: str


def owner_of(spec: TrainingSpec) -> Owner:
    return Owner(spec.ownerNumber, spec.runId)


def save_checkpoint(
    run_directory: str,
    step: int,
    model: Mapping[str, Any],
    state: Mapping[str, Any],
    made_by: Mapping[str, Any],
    owner: Owner | None = None,
) -> str:
    """Write model.pt and state.pt of `step` (the next to run) to a temporary folder, then publish it with one rename.

    Raises EnvironmentError with path and errno if the files cannot be written; earlier checkpoints are unchanged.
    Raises Superseded, and publishes nothing, if another start than `owner` has taken over the run.
    """
    folder = Path(run_directory) / "checkpoints"
    final = folder / f"step_{step:08d}"
    aside = folder / f"{final.name}.tmp.{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        files = {"model.pt": _for_any_machine(model), "state.pt": state}
        written = {name: _write(aside / name, content) for name, content in files.items()}
        manifest = {"step": step, "madeBy": dict(made_by), "files": written}
        _write_text(aside / "manifest.json", json.dumps(manifest, indent=2))
        _sync_directory(aside)
        _refuse_superseded(Path(run_directory), owner)
        _publish(aside, final)
        _write_text(folder / "latest.tmp", final.name)
        os.replace(folder / "latest.tmp", folder / "latest")
        _sync_directory(folder)
    except Superseded:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    except (OSError, RuntimeError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        # a new owner removes unfinished checkpoints; then that is the cause
        _refuse_superseded(Path(run_directory), owner)
        with suppress(OSError):
            (folder / "latest.tmp").unlink()
        raise _as_environment_error(error, final) from error
    return str(final)


def load_checkpoint(directory: str, map_location: torch.device) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the contents of model.pt and state.pt. Raise CheckpointError if a hash differs from the manifest."""
    _verify(Path(directory))
    model, state = (torch.load(Path(directory) / name, map_location=map_location, weights_only=True) for name in _FILES)
    return model, state


def restore_network(directory: str, name: str, network: nn.Module, saved: Mapping[str, Any]) -> None:
    """Load the weights of a network. Raise CheckpointError if they do not fit the configured network."""
    try:
        network.load_state_dict(saved)
    except RuntimeError as error:
        raise _of_another(directory, name, str(error).splitlines()[-1].strip()) from error


def restore_optimizer(
    directory: str, name: str, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], spec: OptimizerSpec
) -> None:
    """Load the saved moments, with the configured rates. Raise CheckpointError for another kind of optimizer."""
    kind, ways = _kind_of(optimizer), {key: optimizer.param_groups[0].get(key) for key in _WAYS}
    try:
        optimizer.load_state_dict(dict(saved))
    except ValueError as error:
        raise _of_another(directory, name, str(error)) from error
    if _kind_of(optimizer) != kind:
        raise _of_another(directory, name, "its settings are those of another kind of optimizer")
    for group in optimizer.param_groups:
        group.update(ways, weight_decay=spec.weightDecay)


def rate_to_go_on_with(state: Mapping[str, Any], spec: OptimizerSpec) -> float:
    """Return the learning rate of a resumed run: the saved one, unless the configured rate has changed."""
    return state["rate"] if state["configuredRate"] == spec.learningRate else spec.learningRate


def made_under(spec: TrainingSpec, ranks: Ranks) -> dict[str, Any]:
    """Return the conditions that a resume compares with its own (`MadeBy` of src/training/checkpoints.ts)."""
    return {
        "config": spec.fingerprint.config,
        "data": spec.fingerprint.data,
        "ranks": ranks.size,
        "threadsPerProcess": spec.threadsPerProcess,
        "device": str(ranks.device),
        "torch": version("torch"),
    }


def random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available():
        # a run may resume with fewer devices than before
        for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
            torch.cuda.set_rng_state(one.cpu(), device)


def _refuse_superseded(run: Path, owner: Owner | None) -> None:
    try:
        found = json.loads((run / "owner.json").read_text(encoding="utf-8"))
        current = Owner(int(found["number"]), str(found["run"]))
    except (OSError, ValueError, KeyError, TypeError):
        return  # it names no other start
    if owner is not None and current != owner:
        raise Superseded(
            f"{run}: start {current.number} of the run has taken it over from start {owner.number}",
            "this process saves nothing more; the other process continues the training",
        )


def _publish(aside: Path, final: Path) -> None:
    """Publish a folder with one rename. A checkpoint of the same step is renamed first, so a kill loses neither."""
    replaced = final.with_name(f"{final.name}.replaced")
    if final.exists():
        os.rename(final, replaced)
    os.rename(aside, final)
    _sync_directory(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _kind_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the settings of an optimizer that a resumed run cannot change."""
    changing = ("params", "lr", "initial_lr", "weight_decay", *_WAYS)
    return {key: value for key, value in optimizer.param_groups[0].items() if key not in changing}


def _of_another(directory: str, name: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{directory}: its {name} does not fit the configuration ({reason})",
        "undo the change of networks or training.optimizer, or start a new run from its model.pt "
        "(networks.segmentor.initialWeights)",
    )


def _verify(folder: Path) -> None:
    try:
        files = read_json(folder / "manifest.json")["files"]
        hashes = {name: files[name]["sha256"] for name in _FILES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: no readable manifest.json", "choose another checkpoint") from error
    for name, sha256 in hashes.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != sha256:
            raise CheckpointError(
                f"{path}: the content does not match the hash in manifest.json", "choose another checkpoint"
            )


def _for_any_machine(model: Mapping[str, Any]) -> dict[str, Any]:
    """Move the weights to the CPU, so that the file can be read on machines without this device."""
    return {**model, "state_dict": {name: weight.cpu() for name, weight in model["state_dict"].items()}}


def _write(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    # With a file object instead of a path, the error's context has the cause of a failed write (disk full).
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
    return EnvironmentError(
        f"checkpoint {path} cannot be written: {reason}",
        f"free space in {path.parent} (earlier checkpoints are intact), then resume the run with --resume",
    )
