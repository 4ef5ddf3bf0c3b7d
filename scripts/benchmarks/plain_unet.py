"""The U-Net of method.md 8 in plain PyTorch, for reference sides; only the names of the weights are freetumor's."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """Layer after layer."""

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__()
        self.down_tr64 = Down(1, width, 2 * width)
        self.down_tr128 = Down(2 * width, 2 * width, 4 * width)
        self.down_tr256 = Down(4 * width, 4 * width, 8 * width)
        self.down_tr512 = Down(8 * width, 8 * width, 16 * width)
        self.up_tr256 = Up(16 * width, 8 * width)
        self.up_tr128 = Up(8 * width, 4 * width)
        self.up_tr64 = Up(4 * width, 2 * width)
        self.out_tr = nn.Module()
        self.out_tr.final_conv = nn.Conv3d(2 * width, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.down_tr64.ops(image)
        second = self.down_tr128.ops(functional.max_pool3d(first, 2))
        third = self.down_tr256.ops(functional.max_pool3d(second, 2))
        features = self.down_tr512.ops(functional.max_pool3d(third, 2))
        for level, skip in ((self.up_tr256, third), (self.up_tr128, second), (self.up_tr64, first)):
            features = level.ops(torch.cat([level.up_conv(features), skip], 1))
        return self.out_tr.final_conv(features)


class Down(nn.Module):
    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.ops = nn.Sequential(Convolution(inputs, middle), Convolution(middle, outputs))


class Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up_conv = nn.ConvTranspose3d(inputs, inputs, 2, stride=2)
        self.ops = nn.Sequential(Convolution(inputs + outputs, outputs), Convolution(outputs, outputs))


class Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.bn1 = nn.BatchNorm3d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.bn1(self.conv1(features)))
