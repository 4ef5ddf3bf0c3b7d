"""Outputs of the published implementation under weights that anyone can compute, and how to make those weights."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

_REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("FREETUMOR_SHARED", _REPOSITORY.parent / "shared")) / "parity"

if not FOLDER.is_dir():
    # a skipped test says nothing by default; a warning stands in every summary
    warnings.warn(f"the parity fixtures are missing, tests against them are skipped: {FOLDER}", stacklevel=1)
needs_parity = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the parity fixtures are missing: {FOLDER}")


def shared_data(name: str) -> str:
    """Path of a real scan of the reference data; skips the test, with a warning in the summary, where it is missing."""
    path = FOLDER.parent / "data" / name
    if not path.is_file():
        warnings.warn(f"{path} is missing, a test on real data is skipped", stacklevel=2)
        pytest.skip(f"{path} is missing")
    return str(path)


def fixture(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def published_keys(name: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """key -> (shape, dtype) in state-dict order."""
    content = json.loads((FOLDER / f"keys_{name}.json").read_text(encoding="utf-8"))
    return {key: (tuple(shape), dtype) for key, (shape, dtype) in content.items()}


def keys_of(network: nn.Module) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        key: (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for key, value in network.state_dict().items()
    }


def with_formula_weights(network: nn.Module) -> nn.Module:
    state = network.state_dict()
    for place, key in enumerate(sorted(state)):
        if state[key].is_floating_point() and "running_" not in key:
            state[key] = formula_tensor(key, place, tuple(state[key].shape))
    network.load_state_dict(state)
    return network


def formula_tensor(key: str, place: int, shape: tuple[int, ...]) -> Tensor:
    k = np.arange(int(np.prod(shape)), dtype=np.float64)
    x = np.sin(0.61 * (k % 9973) + 1.7 * (place + 1) + 0.001 * np.floor(k / 9973))
    if len(shape) >= 2:
        return _float32(x * np.sqrt(3 / np.prod(shape[1:])), shape)
    return _float32(1 + 0.1 * x if key.endswith(".weight") else 0.1 * x, shape)


def formula_input(side: int, phase: float) -> Tensor:
    i = np.arange(side**3, dtype=np.float64)
    values = 0.5 + 0.5 * np.sin(0.013 * i + phase) * np.cos(0.37 * (i % side) + phase)
    return _float32(values, (1, 1, side, side, side))


def largest_deviation(ours: Tensor | np.ndarray | float, published: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours, dtype=np.float64) - published).max())


def _float32(values: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32).reshape(shape))
