"""Measure the cost of the reproducible mode on this machine: a few steps of the networks on noise, in both modes.

    freetumor plan --config FILE      where runtime.reproducible is true

The default mode computes the crops of a rank together, the reproducible mode item by item with exact sums. Crops are at
most 64 voxels wide and items at most two, so that published sizes take one or two minutes; ranks do not communicate.
"""

import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from freetumor_runtime.config.parsing import parse
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.training.exact_sum import BYTES_PER_VALUE
from freetumor_runtime.training.learner import Learner, mixed_precision, parts_of_step
from freetumor_runtime.training.ranks import Ranks, join_ranks
from freetumor_runtime.training.start import (
    build_gan,
    build_trained_segmentor,
    count_parameters,
    refuse_no_compiler,
    sum_of_outputs,
)

_WIDEST, _MOST_ITEMS, _MOST_CROPS = 64, 2, 2
_ROUNDS = 2
_MODES = {"default": False, "reproducible": True}


def measure(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of a step by mode, and the bytes of its sums. `raw`: the specification of a training."""
    spec = parse(TrainingSpec, raw, "plan")
    spec = replace(
        spec,
        patchVoxels=tuple(min(side, _WIDEST) for side in spec.patchVoxels),
        itemsPerStep=min(spec.itemsPerStep // spec.processesPerNode, _MOST_ITEMS),
        cropsPerVolume=min(spec.cropsPerVolume, _MOST_CROPS),
        accumulation=1,
    )
    ranks = join_ranks(spec.device, spec.threadsPerProcess, spec.seed)
    refuse_no_compiler(spec)
    networks = _networks(spec, ranks)
    seconds: dict[str, list[float]] = {mode: [] for mode in _MODES}
    for round_ in range(1 + _ROUNDS):
        for mode, exact in _MODES.items():
            way = replace(spec, reproducible=exact)
            taken = sum(_timed_step(way, ranks, Learner(network, way, ranks)) for network in networks)
            if round_ > 0:  # the first round is slower
                seconds[mode].append(taken)
    values = sum(count_parameters(network) for network in networks)
    return {
        "seconds": {mode: statistics.median(taken) for mode, taken in seconds.items()},
        "patchVoxels": list(spec.patchVoxels),
        "items": spec.itemsPerStep,
        "cropsPerVolume": spec.cropsPerVolume,
        "device": str(ranks.device),
        "sumBytes": values * BYTES_PER_VALUE,
    }


def _networks(spec: TrainingSpec, ranks: Ranks) -> list[nn.Module]:
    if spec.job == "synthesis":
        return list(build_gan(spec, ranks.device)[:2])
    return [build_trained_segmentor(spec, ranks.device)[0]]


def _timed_step(spec: TrainingSpec, ranks: Ranks, learner: Learner) -> float:
    shape = (spec.itemsPerStep * spec.cropsPerVolume, 1, *spec.patchVoxels)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(ranks.device)
    # on a CPU the processor time: the wall time would include other work of the machine
    clock = time.perf_counter if ranks.device.type == "cuda" else time.process_time
    started = clock()
    learner.begin(0.0)
    for at, part in enumerate(image.chunk(parts_of_step(spec, ranks))):
        with learner.part(at):
            with mixed_precision(spec, ranks):
                outputs = learner.shared(part)
            learner.backward(sum_of_outputs(outputs) / part.numel())
    learner.step()
    if ranks.device.type == "cuda":
        torch.cuda.synchronize(ranks.device)
    return clock() - started
