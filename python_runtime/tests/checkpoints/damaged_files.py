"""Checkpoint files in which one bit changed, and what reading each of them comes to."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from freetumor_runtime.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint
from freetumor_runtime.models.unet3d import UNet3d
from tests.checkpoints.forked_reading import read_in_a_fork

REFUSED, WHOLE, ALTERED = "refused", "read, nothing changed", "read, but altered"


def good_file(folder: Path) -> Path:
    """A generator and plain facts about it, as a training writes them."""
    path = folder / "model.pt"
    torch.manual_seed(0)
    weights = {f"netG.{key}": value for key, value in UNet3d(3, base_channels=2).state_dict().items()}
    metadata = {"version": 1, "kind": "synthesis", "generator": {"channel": "organ"}}
    torch.save({"state_dict": weights, "epoch": 3, "freetumor": metadata}, path)
    return path


def write_manifest(path: Path) -> None:
    """The hash of the good file, recorded beside it as a training does."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("manifest.json").write_text(json.dumps({"files": {path.name: {"sha256": sha256}}}))


def outcomes_of_flips(path: Path, flips: int, seed: int, verify: bool) -> Counter:
    """How often each outcome; whatever is none of the three names what the reading process died of.

    The file is changed in place and put back.
    """
    good = path.read_bytes()
    whole = read_checkpoint(str(path), verify=False)
    expected = {key: value.clone() for key, value in whole.tensors.items()}
    facts = (whole.metadata, whole.training)
    outcomes: Counter = Counter()
    places = np.random.default_rng(seed).integers(0, 8 * len(good), flips)
    for place in places.tolist():
        damaged = bytearray(good)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        reading = read_in_a_fork(str(path), _comparing(expected, facts, verify))
        outcomes[REFUSED if reading.refused else WHOLE if reading.outcome == "read" else reading.outcome] += 1
    path.write_bytes(good)
    return outcomes


def _comparing(expected: dict[str, torch.Tensor], facts: tuple, verify: bool) -> Callable[[str], CheckpointFile]:
    def read(path: str) -> CheckpointFile:
        file = read_checkpoint(path, verify)
        same = file.tensors.keys() == expected.keys() and (file.metadata, file.training) == facts
        if not same or not all(torch.equal(file.tensors[key], value) for key, value in expected.items()):
            raise AlteredError
        return file

    return read


class AlteredError(Exception):
    def __repr__(self) -> str:
        return ALTERED
