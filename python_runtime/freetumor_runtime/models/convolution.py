"""3-D convolutions that use oneDNN on a CPU for inputs of any size.

On one thread PyTorch computes small inputs (batch x channels x two sides up to 20480) with its own kernel, which takes
four times as long. All levels of one 40^3 window in a narrow network are that small. oneDNN is used only without
gradients: with them the backward pass takes most of the time and does not become faster.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv3d(features_BCXYZ: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0) -> Tensor:
    """Compute functional.conv3d; equal up to rounding."""
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
