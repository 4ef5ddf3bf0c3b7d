"""A segmentor for runs without a GPU: a U-Net that works at half resolution."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.convolution import (
    Conv3d,
    InstanceNorm3d,
    MaxPool3d,
    Upsampling3d,
    in_channels_last,
    is_quick,
    upsample,
    without_gradients,
)
from freetumor_runtime.models.joined_convolution import pays, upsample_and_convolve


class SmallSegmentor(nn.Module):
    """image [B, 1, X, Y, Z] -> logits [B, outputs, X, Y, Z]; sides divisible by 2^levels.

    A 2^3 patch stem halves the resolution (an eighth of the work). `levels` levels of two 3^3 convolutions follow. A
    transposed convolution restores the resolution of the logits. Instance norm: other crops of a batch have no effect.
    On a CPU each upsampling is joined with the convolution after it, which is equal up to rounding.
    `activation_checkpointing` recomputes the activations of each level in the backward pass instead of keeping them.
    """

    def __init__(
        self, out_channels: int, base_channels: int = 16, levels: int = 3, activation_checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.activation_checkpointing = activation_checkpointing
        if levels < 1 or base_channels < 1:
            raise ConfigError(
                "small segmentor: wrong levels or base channels "
                f"(expected at least 1, found {levels} and {base_channels})",
                "set networks.segmentor.levels and featureSize",
            )
        widths = [base_channels * 2**level for level in range(levels)]
        self.stem = Conv3d(1, base_channels, kernel_size=2, stride=2)
        self.down = nn.ModuleList(
            _two_convolutions(before, after) for before, after in zip([base_channels, *widths], widths, strict=False)
        )
        self.pool = MaxPool3d(2)
        self.up = nn.ModuleList(
            Upsampling3d(coarse, fine, kernel_size=2, stride=2)
            for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.merge = nn.ModuleList(_two_convolutions(2 * fine, fine) for fine in widths[-2::-1])
        self.head = Upsampling3d(base_channels, out_channels, kernel_size=2, stride=2)

    def encode(self, image_B1XYZ: Tensor) -> list[Tensor]:
        """Return the features of each level, the finest first."""
        # an export replaces these layers by PyTorch's, and keeps their layout
        is_ours = isinstance(self.stem, Conv3d)
        features = self.stem(
            in_channels_last(image_B1XYZ) if is_ours and without_gradients(image_B1XYZ) else image_B1XYZ
        )
        if is_ours and is_quick(features):
            features = features.contiguous(memory_format=torch.channels_last_3d)
        skips = []
        for level, convolutions in enumerate(self.down):
            features = self._level(convolutions, features if level == 0 else self.pool(features))
            skips.append(features)
        return skips

    def forward(self, image_B1XYZ: Tensor) -> Tensor:
        skips = self.encode(image_B1XYZ)
        features = skips[-1]
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            # an export replaces these layers by PyTorch's, and keeps them separate
            if isinstance(up, Upsampling3d) and is_quick(features) and pays(features):
                features = self._level(partial(_joined, up, merge), features, skip)
            else:
                features = self._level(merge, torch.cat([up(features), skip], 1))
        if isinstance(self.head, Upsampling3d) and without_gradients(features):
            assert self.head.bias is not None
            return upsample(features, self.head.weight, self.head.bias)
        # with gradients a transposed convolution in channels-last and a copy of its logits would take as long
        return self.head(features.contiguous() if is_quick(features) else features)

    def _level(self, convolutions: Callable[..., Tensor], *features_BCXYZ: Tensor) -> Tensor:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(convolutions, *features_BCXYZ, use_reentrant=False)
        return convolutions(*features_BCXYZ)


def _joined(up: Upsampling3d, merge: nn.Module, coarse_BCXYZ: Tensor, skip_BCXYZ: Tensor) -> Tensor:
    """Compute merge(cat([up(coarse), skip])); equal up to rounding."""
    first, *others = merge.children()
    assert isinstance(first, Conv3d)
    features = upsample_and_convolve(
        coarse_BCXYZ, skip_BCXYZ, up_weight=up.weight, up_bias=up.bias, weight=first.weight, bias=None
    )
    for layer in others:
        features = layer(features)
    return features


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [
            Conv3d(before, outputs, kernel_size=3, padding=1, bias=False),
            InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        ]
    return nn.Sequential(*layers)
