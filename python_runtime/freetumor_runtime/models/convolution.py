"""3-D convolutions that take oneDNN on a CPU, whatever the size of their input.

On one thread PyTorch leaves small inputs (batch x channels x two sides up to 20480) to a way of its own, which takes
four times as long: all levels of a window of 40^3 that goes through a narrow network by itself. Only where no gradient
is wanted: with one, the way back is most of the time and gains nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv3d(features_BCXYZ: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0) -> Tensor:
    """As torch's; equal to rounding."""
    if _takes_onednn(features_BCXYZ):
        return torch.mkldnn_convolution(features_BCXYZ, weight, bias, (padding,) * 3, (stride,) * 3, (1,) * 3, 1)
    return functional.conv3d(features_BCXYZ, weight, bias, stride, padding)


class Conv3d(nn.Conv3d):
    """nn.Conv3d with one stride and padding for all axes, zeros beyond the edge, no dilation and no groups."""

    def forward(self, features_BCXYZ: Tensor) -> Tensor:
        stride, padding = self.stride[0], self.padding[0]
        assert isinstance(padding, int)
        return conv3d(features_BCXYZ, self.weight, self.bias, stride, padding)


def _takes_onednn(features: Tensor) -> bool:
    return (
        features.device.type == "cpu"
        and features.dtype is torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
    )
