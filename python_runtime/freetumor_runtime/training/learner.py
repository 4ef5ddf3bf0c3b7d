"""Train a network: combine the gradients of a step, and apply the optimizer.

By default a rank splits its crops into `accumulation` parts, and DDP computes the mean over the ranks. In the
reproducible mode each item is a part (its batch norm sees nothing else), and gradients are added exactly, so that the
step is bit-identical on any number of ranks.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.training.exact_sum import ExactSum
from freetumor_runtime.training.optimization import build_optimizer, set_learning_rate
from freetumor_runtime.training.ranks import Ranks, without_sync
from freetumor_runtime.training.state import restore_network, restore_optimizer
from freetumor_runtime.training.step_profile import stage


class Learner:
    """Call `restore` in a resumed run, then `share`; for each step call `begin`, the parts, and `step`."""

    def __init__(self, network: nn.Module, spec: TrainingSpec, ranks: Ranks) -> None:
        self.network = network
        # the network to use in the forward pass of a part
        self.shared = network
        self.optimizer = build_optimizer(spec.optimizer, network.parameters())
        self._spec, self._ranks = spec, ranks
        self._parts = parts_of_step(spec, ranks)
        self._scaler = torch.amp.GradScaler(ranks.device.type, enabled=spec.precision == "fp16")
        self._learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._sum = ExactSum(self._learned) if spec.reproducible else None

    def state(self, suffix: str = "") -> dict[str, Any]:
        return {f"optimizer{suffix}": self.optimizer.state_dict(), f"scaler{suffix}": self._scaler.state_dict()}

    def restore(
        self, directory: str, name: str, weights: Mapping[str, Any], state: Mapping[str, Any], suffix: str = ""
    ) -> None:
        restore_network(directory, name, self.network, weights)
        optimizer = f"optimizer{suffix}"
        restore_optimizer(directory, optimizer, self.optimizer, state[optimizer], self._spec.optimizer)
        if state.get(f"scaler{suffix}"):
            self._scaler.load_state_dict(state[f"scaler{suffix}"])

    def share(self) -> nn.Module:
        """Connect the ranks: from here on `shared` computes mean gradients over them."""
        if self._sum is None:
            self.shared = self._ranks.share(self.network)
        return self.shared

    def teach(self, wanted: bool) -> None:
        """Set whether a backward pass reaches the weights; frozen weights stay frozen."""
        for parameter in self._learned:
            parameter.requires_grad_(wanted)

    def begin(self, learning_rate: float) -> None:
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.zero_grad(set_to_none=True)
        if self._sum is not None:
            self._sum.clear()

    def part(self, at: int) -> AbstractContextManager:
        """Return the context for forward and backward of part `at`: only the last one communicates with other ranks."""
        return nullcontext() if at == self._parts - 1 else without_sync([self.shared])

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, the mean over the part."""
        self.backward_from(loss, None)

    def backward_from(self, tensor: Tensor, gradient: Tensor | None) -> None:
        """Add gradients from an inner tensor, whose `gradient` is that of scaled(loss)."""
        if gradient is None:
            tensor = self.scaled(tensor)
        with stage("backward"):
            tensor.backward(gradient)
            if self._sum is not None:
                self._sum.add([parameter.grad for parameter in self._learned], 1 / self._scaler.get_scale())
                self.optimizer.zero_grad(set_to_none=True)

    def scaled(self, loss: Tensor) -> Tensor:
        return self._scaler.scale(loss if self._sum is not None else loss / self._parts)

    def step(self) -> None:
        with stage("optimizer"):
            self._apply()

    def _apply(self) -> None:
        if self._sum is not None:
            scale = self._scaler.get_scale()
            means = self._sum.mean(self._spec.itemsPerStep, self._ranks)
            for parameter, mean in zip(self._learned, means, strict=True):
                parameter.grad = mean if scale == 1 else mean * scale
        self._scaler.unscale_(self.optimizer)
        if self._spec.optimizer.gradientClip is not None:
            nn.utils.clip_grad_norm_(self._learned, self._spec.optimizer.gradientClip)
        self._scaler.step(self.optimizer)
        self._scaler.update()


def parts_of_step(spec: TrainingSpec, ranks: Ranks) -> int:
    """Return the number of parts of a step on each rank; in the reproducible mode each item is a part."""
    return spec.itemsPerStep // ranks.size if spec.reproducible else spec.accumulation


def mean_losses(parts: Sequence[Tensor], spec: TrainingSpec, ranks: Ranks) -> list[float]:
    """Return the mean losses over all parts of all ranks. `parts`: one tensor [losses] for each part of this rank."""
    # one copy, for which a GPU finishes the step
    on_cpu = torch.stack(list(parts)).detach().to("cpu", torch.float64).unbind()
    if spec.reproducible:
        total = ExactSum(on_cpu[:1])
        for part in on_cpu:
            total.add([part])
        return total.mean(spec.itemsPerStep, ranks, ranks.control_group)[0].tolist()
    # a mean of means, as without parts
    return (ranks.sum(sum((part / len(on_cpu) for part in on_cpu), torch.zeros_like(on_cpu[0]))) / ranks.size).tolist()


def mixed_precision(spec: TrainingSpec, ranks: Ranks) -> AbstractContextManager:
    """Return the autocast context for the forward passes of networks; painting and losses are outside of it."""
    dtype = torch.float16 if spec.precision == "fp16" else torch.bfloat16
    return torch.autocast(ranks.device.type, dtype, enabled=spec.precision != "fp32")
