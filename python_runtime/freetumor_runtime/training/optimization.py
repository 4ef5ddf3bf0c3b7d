"""Build optimizers, learning-rate schedules and the segmentation loss (docs/method.md 7, 10)."""

import inspect
import math
from collections.abc import Iterable, Sequence
from types import FunctionType, MethodType

import torch
from torch import Tensor, _compile, nn
from torch.nn.functional import interpolate

from freetumor_runtime.config.training import OptimizerSpec
from freetumor_runtime.training.dice_cross_entropy import dice_cross_entropy


def build_optimizer(spec: OptimizerSpec, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build adam with betas (0, 0.999), adamw with amsgrad, or sgd with Nesterov momentum 0.99; fused: one pass."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    rates = {"lr": spec.learningRate, "weight_decay": spec.weightDecay, "fused": True}
    if spec.kind == "adam":
        return _uncompiled(torch.optim.Adam, trainable, betas=(0.0, 0.999), **rates)
    if spec.kind == "sgd":
        return _uncompiled(torch.optim.SGD, trainable, momentum=0.99, nesterov=True, **rates)
    return _uncompiled(torch.optim.AdamW, trainable, amsgrad=True, **rates)


def _uncompiled(kind: type[torch.optim.Optimizer], parameters: list[nn.Parameter], **settings) -> torch.optim.Optimizer:
    """Build an optimizer that works without PyTorch's compiler, whose import takes longer than that of PyTorch.

    PyTorch's optimizers import it in each step and at the first call of some methods, only to exclude themselves from
    compilation. Only networks are compiled here (start.lay_out). The excluded form of a method is an attribute of it.
    """
    for method in vars(torch.optim.Optimizer).values():
        if isinstance(method, FunctionType) and method.__code__.co_filename == _compile.__file__:
            original = inspect.unwrap(method)
            original.__dict__.setdefault("__dynamo_disable", original)
    optimizer = kind(parameters, **settings)
    # without the wrappers: hooks, which nothing here registers, and breaks in compiled graphs
    optimizer.step = torch.no_grad()(MethodType(inspect.unwrap(kind.step), optimizer))
    return optimizer


def scheduled_learning_rate(spec: OptimizerSpec, base: float, step: int, steps: int) -> float:
    """Return the rate of step t from 0 of T steps with W warm-up steps.

    constant: base. warmupCosine: base t/(W-1) for t < W, then base (1 + cos(pi (t-W)/(T-W)))/2. poly, of nnU-Net: the
    same warm-up, then base (1 - (t-W)/(T-W))^0.9; nnU-Net itself has no warm-up and keeps the rate for an epoch.
    """
    if spec.schedule == "constant":
        return base
    warmup = spec.warmupSteps
    if step < warmup:
        return base * step / max(1, warmup - 1)
    if spec.schedule == "poly":
        return base * (1 - (step - warmup) / max(1, steps - warmup)) ** 0.9
    return base * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def deep_supervision_weights(resolutions: int) -> list[float]:
    """Return the weights of the losses by resolution, the finest first: 1, 1/2, 1/4, ... with sum 1."""
    return [2.0**-at / (2 - 2.0 ** (1 - resolutions)) for at in range(resolutions)]


class SegmentationLoss(nn.Module):
    """DiceCE: (dice, cross_entropy) of logits [B, C, X, Y, Z] and ids int64 [B, X, Y, Z], without ignored voxels.

    Dice: mean over samples and classes >= 1 of 1 - (2 sum(pt) + 1e-5) / (sum p + sum t + 1e-5).
    Cross-entropy over all classes, weighted by output (published: all 1).
    """

    weights: Tensor

    def __init__(self, cross_entropy_weights: Iterable[float]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(list(cross_entropy_weights)), persistent=False)

    def forward(self, logits: Tensor | tuple[Tensor, ...], label_BXYZ: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two losses; of several resolutions their weighted sums, with labels of the nearest voxels."""
        if isinstance(logits, Tensor):
            return dice_cross_entropy(logits.float(), label_BXYZ, self.weights)
        weights = deep_supervision_weights(len(logits))
        each = [
            dice_cross_entropy(one.float(), nearest_labels(label_BXYZ, one.shape[2:]), self.weights) for one in logits
        ]
        dice, entropy = (
            sum(
                (weight * loss for weight, loss in zip(weights, losses, strict=True)),
                label_BXYZ.new_zeros((), dtype=torch.float32),
            )
            for losses in zip(*each, strict=True)
        )
        return dice, entropy


def nearest_labels(label_BXYZ: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the labels of the voxels whose centres are nearest to those of a grid of `shape`."""
    if tuple(label_BXYZ.shape[1:]) == tuple(shape):
        return label_BXYZ
    # float64 holds every id exactly
    return interpolate(label_BXYZ[:, None].double(), tuple(shape), mode="nearest-exact")[:, 0].long()
