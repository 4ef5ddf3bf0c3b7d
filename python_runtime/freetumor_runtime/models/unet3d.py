"""The 3-D U-Net of generator and discriminator, under the published state-dict keys (docs/method.md 8)."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from freetumor_runtime.errors import DataError
from freetumor_runtime.models.convolution import Conv3d
from freetumor_runtime.models.joined_convolution import pays, upsample_and_convolve

SIDE_MULTIPLE = 8
# Narrower U-Nets are faster in channels-last on a CPU. Forward and backward of [2, 1, 40, 40, 40] on one core take
# 0.19 s instead of 0.28 s with 4 base channels, 0.92 s instead of 1.11 s with 12; from 16 on there is no difference.
_NARROW = 16


class UNet3d(nn.Module):
    """Four levels, three poolings; `base_channels` 32 is the published width (19.07 M parameters).

    Input [B, 1, X, Y, Z], sides divisible by 8; output [B, outputs, X, Y, Z], raw (no activation). The output of a
    sample depends on the other samples of its batch: the norm uses the statistics of the batch, also in evaluation.
    `activation_checkpointing` recomputes the activations of each level in the backward pass instead of keeping them.
    """

    def __init__(self, outputs: int, base_channels: int = 32, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.activation_checkpointing = activation_checkpointing
        self.outputs = outputs
        self.base_channels = base_channels
        width = base_channels
        # The attribute names are the keys of published checkpoints of any width.
        self.down_tr64 = DownLevel(1, width, 2 * width)
        self.down_tr128 = DownLevel(2 * width, 2 * width, 4 * width)
        self.down_tr256 = DownLevel(4 * width, 4 * width, 8 * width)
        self.down_tr512 = DownLevel(8 * width, 8 * width, 16 * width)
        self.up_tr256 = UpLevel(16 * width, 8 * width)
        self.up_tr128 = UpLevel(8 * width, 4 * width)
        self.up_tr64 = UpLevel(4 * width, 2 * width)
        self.out_tr = Head(2 * width, outputs)

    def forward(self, image_B1XYZ: Tensor) -> Tensor:
        if any(side % SIDE_MULTIPLE for side in image_B1XYZ.shape[2:]):
            raise DataError(
                f"3-D U-Net: wrong sides (expected multiples of {SIDE_MULTIPLE}, found {tuple(image_B1XYZ.shape[2:])})",
                "choose another patch size",
            )
        skip64 = self._level(self.down_tr64, image_B1XYZ)
        skip128 = self._level(self.down_tr128, functional.max_pool3d(skip64, 2))
        skip256 = self._level(self.down_tr256, functional.max_pool3d(skip128, 2))
        bottom = self._level(self.down_tr512, functional.max_pool3d(skip256, 2))
        up = self._level(self.up_tr256, bottom, skip256)
        up = self._level(self.up_tr128, up, skip128)
        up = self._level(self.up_tr64, up, skip64)
        return self.out_tr(up)

    def _level(self, level: nn.Module, *features_BCXYZ: Tensor) -> Tensor:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(level, *features_BCXYZ, use_reentrant=False)
        return level(*features_BCXYZ)

    def in_faster_layout(self) -> "UNet3d":
        """Set the memory format that is fastest on the current device, and return this network."""
        narrow = self.base_channels < _NARROW and self.out_tr.final_conv.weight.device.type == "cpu"
        # torch does not declare this keyword
        return self.to(memory_format=torch.channels_last_3d) if narrow else self  # pyright: ignore[reportCallIssue]


class DownLevel(nn.Module):
    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.ops = nn.Sequential(ConvNormRelu(inputs, middle), ConvNormRelu(middle, outputs))

    def forward(self, features_BCXYZ: Tensor) -> Tensor:
        return self.ops(features_BCXYZ)


class UpLevel(nn.Module):
    """Doubles the sides, keeping the channels, then joins the skip of `outputs` channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up_conv = nn.ConvTranspose3d(inputs, inputs, kernel_size=2, stride=2)
        self.ops = nn.Sequential(ConvNormRelu(inputs + outputs, outputs), ConvNormRelu(outputs, outputs))

    def forward(self, features_BCXYZ: Tensor, skip_BCXYZ: Tensor) -> Tensor:
        if not pays(features_BCXYZ):
            return self.ops(torch.cat([self.up_conv(features_BCXYZ), skip_BCXYZ], 1))
        first, second = cast(Iterable[ConvNormRelu], self.ops)
        joined_BCXYZ = upsample_and_convolve(
            features_BCXYZ,
            skip_BCXYZ,
            up_weight=self.up_conv.weight,
            up_bias=self.up_conv.bias,
            weight=first.conv1.weight,
            bias=first.conv1.bias,
        )
        return second(first.after_convolution(joined_BCXYZ))


class Head(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.final_conv = Conv3d(inputs, outputs, kernel_size=1)

    def forward(self, features_BCXYZ: Tensor) -> Tensor:
        return self.final_conv(features_BCXYZ)


class ConvNormRelu(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv3d(inputs, outputs, kernel_size=3, padding=1)
        self.bn1 = BatchStatisticsNorm(outputs)

    def forward(self, features_BCXYZ: Tensor) -> Tensor:
        return self.after_convolution(self.conv1(features_BCXYZ))

    def after_convolution(self, features_BCXYZ: Tensor) -> Tensor:
        return functional.relu(self.bn1(features_BCXYZ), inplace=True)


class BatchStatisticsNorm(nn.Module):
    """Batch norm that always uses the statistics of its input.

    The published network never reads its running averages, but overwrites them in every forward pass. Here they keep
    their loaded values, so that using and saving a generator does not change the content of a checkpoint.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.int64))

    def forward(self, features_BCXYZ: Tensor) -> Tensor:
        return functional.batch_norm(features_BCXYZ, None, None, self.weight, self.bias, training=True, eps=self.eps)
