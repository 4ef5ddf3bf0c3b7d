"""The small segmentor and its loss in plain PyTorch, for reference sides; only the names of the weights are freetumor's.

PyTorch's own layers, and gradients by autograd.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class SmallUNet(nn.Module):
    """image [B, 1, X, Y, Z] -> logits [B, outputs, X, Y, Z]: a U-Net at half resolution."""

    def __init__(self, outputs: int, width: int, levels: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.stem = nn.Conv3d(1, width, 2, stride=2)
        self.down = nn.ModuleList(two(before, after) for before, after in zip([width, *widths], widths, strict=False))
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(coarse, fine, 2, stride=2)
            for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.merge = nn.ModuleList(two(2 * fine, fine) for fine in widths[-2::-1])
        self.head = nn.ConvTranspose3d(width, outputs, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        features, skips = self.stem(image), []
        for level, convolutions in enumerate(self.down):
            features = convolutions(features if level == 0 else functional.max_pool3d(features, 2))
            skips.append(features)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            features = merge(torch.cat([up(features), skip], 1))
        return self.head(features)


def two(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [
            nn.Conv3d(before, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        ]
    return nn.Sequential(*layers)


def dice_and_cross_entropy(logits: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the sum of both losses (docs/method.md 10) of logits [B, C, X, Y, Z] and ids int64 [B, X, Y, Z]."""
    entropy = functional.cross_entropy(logits, labels, torch.tensor(weights))
    probability = logits.softmax(1)[:, 1:].flatten(2)
    truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:].flatten(2).float()
    overlap = (probability * truth).sum(2)
    dice = 1 - (2 * overlap + 1e-5) / (probability.sum(2) + truth.sum(2) + 1e-5)
    return dice.mean() + entropy
