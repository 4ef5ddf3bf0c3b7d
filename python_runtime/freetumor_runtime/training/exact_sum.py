"""Sums of float32 tensors that are the same in every bit, in whatever order and on however many ranks they are made."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from freetumor_runtime.training.ranks import Ranks

# Multiples of 2^-34 that add up to less than 2^19, and multiples of 2^-80 below 2^-35 of up to 256 values, need no more
# than the 53 bits of a float64: no addition rounds, so that the order of additions cannot matter.
_COARSE, _FINE = 2.0**34, 2.0**80
BYTES_PER_VALUE = 16


class ExactSum:
    """Adds tensors of the given shapes; `mean` is rounded once, at its end.

    Each value is split, exactly, into two parts on fixed grids; what is smaller than 2^-81 is left out. What is no
    finite number stays none. Beyond 256 terms or a sum of 2^19 it is an ordinary float64 sum.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self._shapes = [tensor.shape for tensor in like]
        self._sizes = [tensor.numel() for tensor in like]
        device = like[0].device if like else torch.device("cpu")
        self._parts = torch.zeros(2, sum(self._sizes), dtype=torch.float64, device=device)

    def clear(self) -> None:
        self._parts.zero_()

    def add(self, terms: Sequence[Tensor | None], factor: float = 1.0) -> None:
        """`factor`, a power of two, multiplies each; None adds nothing."""
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
        """The sum over all ranks by `count`, float32, in the shapes given at the start."""
        if ranks.size > 1:
            dist.all_reduce(self._parts, dist.ReduceOp.SUM, group=group)
        means = (self._parts[0] + self._parts[1]).div_(count).to(torch.float32)
        return [one.reshape(shape) for one, shape in zip(means.split(self._sizes), self._shapes, strict=True)]
