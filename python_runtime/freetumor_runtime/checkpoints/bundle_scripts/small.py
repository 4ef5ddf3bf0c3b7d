"""The small segmentor of freetumor: a U-Net that works at half resolution. Needs PyTorch only."""

import torch
from torch import nn


class SmallSegmentor(nn.Module):
    """image [B, 1, X, Y, Z] -> logits [B, outputs, X, Y, Z]; sides divisible by 2^levels."""

    def __init__(self, outputs, base_channels, levels):
        super().__init__()
        widths = [base_channels * 2**level for level in range(levels)]
        finer = list(zip(widths[-2::-1], widths[:0:-1], strict=True))
        self.stem = nn.Conv3d(1, base_channels, 2, 2)
        self.down = nn.ModuleList(
            _convolutions(a, b) for a, b in zip([base_channels, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.MaxPool3d(2)
        self.up = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, 2) for fine, coarse in finer)
        self.merge = nn.ModuleList(_convolutions(2 * fine, fine) for fine, _ in finer)
        self.head = nn.ConvTranspose3d(base_channels, outputs, 2, 2)

    def forward(self, image):
        features, skips = self.stem(image), []
        for level, convolutions in enumerate(self.down):
            features = convolutions(features if level == 0 else self.pool(features))
            skips.append(features)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            features = merge(torch.cat([up(features), skip], 1))
        return self.head(features)


def _convolutions(inputs, outputs):
    layers = []
    for before in (inputs, outputs):
        layers += [nn.Conv3d(before, outputs, 3, padding=1, bias=False), nn.InstanceNorm3d(outputs, affine=True)]
        layers.append(nn.LeakyReLU(0.01))
    return nn.Sequential(*layers)
