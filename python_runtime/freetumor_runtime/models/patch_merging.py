"""SwinUNETR's patch merging in the three orders that weights were trained with (method.md 8, the patch-merging trap).

All orders have the same keys and shapes, so weights of one load into another without error and give wrong outputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from freetumor_runtime.errors import ConfigError

MergingOrder = Literal["legacy", "corrected", "v2"]

MERGING_ORDERS: tuple[str, ...] = get_args(MergingOrder)

# which of the eight neighbours (offset along x, y, z) is concatenated at each place
_OFFSETS: dict[str, tuple[str, ...]] = {
    # MONAI before 1.5: 101 and 010, 001 come twice, 110 and 011 never
    "legacy": ("000", "100", "010", "001", "101", "010", "001", "111"),
    # MONAI 1.5 and newer, `downsample="merging"`
    "corrected": ("000", "100", "010", "001", "110", "101", "011", "111"),
    # `downsample="mergingv2"`
    "v2": ("000", "001", "010", "011", "100", "101", "110", "111"),
}


def patch_merging_of(order: str) -> Callable[..., nn.Module]:
    """Return the argument of `SwinUNETR(downsample=...)` for one of MERGING_ORDERS."""
    if order not in _OFFSETS:
        raise ConfigError(
            f"patch-merging order is not supported (expected {', '.join(MERGING_ORDERS)}, found {order})",
            "set networks.segmentor.patchMerging",
        )
    return partial(PatchMerging, order)


class PatchMerging(nn.Module):
    """[B, X, Y, Z, C] -> [B, ceil(X/2), ceil(Y/2), ceil(Z/2), 2C]; an odd side is padded with 0."""

    def __init__(self, order: str, dim: int, norm_layer: Callable[..., nn.Module], spatial_dims: int) -> None:
        super().__init__()
        if spatial_dims != 3:
            raise ConfigError(
                f"patch merging: wrong number of spatial dimensions (expected 3, found {spatial_dims})",
                "use a 3-D network",
            )
        self.order = order
        self.reduction = nn.Linear(8 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(8 * dim)

    def forward(self, tokens_BXYZC: Tensor) -> Tensor:
        odd_x, odd_y, odd_z = (side % 2 for side in tokens_BXYZC.shape[1:4])
        if odd_x or odd_y or odd_z:
            tokens_BXYZC = functional.pad(tokens_BXYZC, (0, 0, 0, odd_z, 0, odd_y, 0, odd_x))
        neighbours = [tokens_BXYZC[:, int(x) :: 2, int(y) :: 2, int(z) :: 2] for x, y, z in _OFFSETS[self.order]]
        return self.reduction(self.norm(torch.cat(neighbours, -1)))
