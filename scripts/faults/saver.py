"""Save checkpoints until it is killed or the disk is full; the half of checkpoints.mjs that needs PyTorch.

saver.py            reads a JSON object a line and answers with one, while its standard input is open
    {"do": "kill", "run", "step", "after"}  a fork saves step, step + 1, ... and is killed after `after` seconds;
                                            with "inPlace": true by writing to the checkpoint's final path
    {"do": "load", "directory"}             loads a checkpoint
    {"do": "fill", "run"}                   saves until a save fails
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python_runtime"))

import torch

from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.training.state import load_checkpoint, save_checkpoint

# 2 MB of weights and 4 MB of moments: the tensors, not the renames, take most of a save
VALUES = 512 << 10


@dataclass(frozen=True)
class MadeBy:
    config: str = "c"
    data: str = "d"
    ranks: int = 1
    threadsPerProcess: int = 1
    device: str = "cpu"
    torch: str = "2"


def main() -> None:
    torch.set_num_threads(1)
    answers = {"kill": kill_inside_a_save, "load": load, "fill": fill}
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answers[asked.pop("do")](**asked)), flush=True)


def kill_inside_a_save(run: str, step: int, after: float, inPlace: bool = False) -> dict:
    """Return the last step that the fork reported as saved, and the files in the folder when it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        save_for_ever(run, step, writing, save_in_place if inPlace else save)
    os.close(writing)
    os.read(reading, 1)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        saved = [int(number) for number in told.read().split()]
    folder = Path(run) / "checkpoints"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.is_dir() else []
    return {"saved": saved[-1] if saved else None, "stage": stage(names)}


def save_for_ever(run: str, step: int, told: int, save: Callable[[str, int], object]) -> None:
    os.write(told, b" ")
    while True:
        # every other step is saved twice: the second takes the place of the first
        for _ in range(1 + step % 2):
            save(run, step)
            os.write(told, f"{step} ".encode())
        step += 1


def save(run: str, step: int) -> str:
    model = {"state_dict": {"w": torch.full((VALUES,), float(step))}}
    state = {"step": step, "moments": torch.full((2, VALUES), float(step))}
    return save_checkpoint(run, step, model, state, asdict(MadeBy()))


def save_in_place(run: str, step: int) -> None:
    """Save as a plain torch.save does; the control of the campaign."""
    save(f"{run}.made", step)
    made = Path(f"{run}.made") / "checkpoints" / f"step_{step:08d}"
    target = Path(run) / "checkpoints" / made.name
    target.mkdir(parents=True, exist_ok=True)
    for file in ("manifest.json", "model.pt", "state.pt"):
        with (made / file).open("rb") as source, (target / file).open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 16)
    (target.parent / "latest").write_text(f"{made.name}\n")
    shutil.rmtree(made)


def stage(names: list[str]) -> str:
    aside = [name.split("/")[-1] for name in names if ".tmp." in name]
    if any(name.endswith(".replaced") for name in names):
        return "between the renames"
    for file in ("manifest.json", "state.pt", "model.pt"):
        if file in aside:
            return f"writing {file}"
    return "directory made" if aside else "moving latest" if "latest.tmp" in names else "between two saves"


def load(directory: str) -> dict:
    try:
        model, state = load_checkpoint(directory, torch.device("cpu"))
    except FreetumorError as error:
        return {"error": str(error)}
    whole = torch.full((VALUES,), float(state["step"]))
    return {"step": state["step"], "whole": bool(torch.equal(model["state_dict"]["w"], whole))}


def fill(run: str) -> dict:
    """Return the last step that was saved, and the error that ended it."""
    step = 0
    while True:
        try:
            save(run, step + 1)
        except FreetumorError as error:
            return {"saved": step, "kind": error.kind, "message": str(error), "hint": error.hint}
        step += 1


if __name__ == "__main__":
    main()
