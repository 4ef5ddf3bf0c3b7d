"""Patch merging as MONAI before 1.5 computed it; the weights of this bundle were trained with it."""

import torch
from torch import nn

# which of the eight neighbours (offset along the three axes) is concatenated at each place: two come twice
_NEIGHBOURS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))


class LegacyPatchMerging(nn.Module):
    """[B, X, Y, Z, C] -> [B, ceil(X/2), ceil(Y/2), ceil(Z/2), 2C]; for `SwinUNETR(downsample=...)`."""

    def __init__(self, dim, norm_layer=nn.LayerNorm, spatial_dims=3):
        super().__init__()
        self.reduction = nn.Linear(8 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(8 * dim)

    def forward(self, x):
        odd_x, odd_y, odd_z = (side % 2 for side in x.shape[1:4])
        if odd_x or odd_y or odd_z:
            x = nn.functional.pad(x, (0, 0, 0, odd_z, 0, odd_y, 0, odd_x))
        return self.reduction(self.norm(torch.cat([x[:, i::2, j::2, k::2] for i, j, k in _NEIGHBOURS], -1)))
