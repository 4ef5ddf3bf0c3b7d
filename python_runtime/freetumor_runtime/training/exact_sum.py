"""Add float32 tensors so that the sum is bit-identical in any order and on any number of ranks."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from freetumor_runtime.training.ranks import Ranks

# Two kinds of sums fit into the 53 bits of a float64 without rounding: multiples of 2^-34 with a sum below 2^19, and
# up to 256 multiples of 2^-80 below 2^-35. No addition rounds, so the order of additions has no effect.
_COARSE, _FINE = 2.0**34, 2.0**80
BYTES_PER_VALUE = 16


class ExactSum:
    """Adds tensors of the given shapes; only the result of `mean` is rounded.

    Each value is split exactly into two parts on fixed grids; parts below 2^-81 are dropped. Values that are not finite
    stay so. Beyond 256 terms or a sum of 2^19 it is an ordinary float64 sum.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self._shapes = [tensor.shape for tensor in like]
        self._sizes = [tensor.numel() for tensor in like]
        device = like[0].device if like else torch.device("cpu")
        self._parts = torch.zeros(2, sum(self._sizes), dtype=torch.float64, device=device)

    def clear(self) -> None:
        self._parts.zero_()

    def add(self, terms: Sequence[Tensor | None], factor: float = 1.0) -> None:
        """Add terms, each times `factor` (a power of two); None adds nothing."""
        for coarse, fine, term in zip(*(part.split(self._sizes) for part in self._parts), terms, strict=True):
            if term is None:
                continue
            value = term.detach().to(torch.float64).reshape(-1)
            if factor != 1.0:
                value = value * factor
            on_grid = (value * _COARSE).round_().div_(_COARSE)
            coarse += on_grid
            fine += (value - on_grid).mul_(_FINE).round_().div_(_FINE)

    def mean(self, count: int, ranks: Ranks, group: dist.ProcessGroup | None = None) -> list[Tensor]:
        """Return the sum over all ranks divided by `count`, float32, in the shapes given at the start."""
        if ranks.size > 1:
            dist.all_reduce(self._parts, dist.ReduceOp.SUM, group=group)
        means = (self._parts[0] + self._parts[1]).div_(count).to(torch.float32)
        return [one.reshape(shape) for one, shape in zip(means.split(self._sizes), self._shapes, strict=True)]
