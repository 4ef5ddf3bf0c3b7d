"""MONAI's residual blocks of a SwinUNETR under the same keys, with less time and memory: equal up to rounding.

Upsampling and convolution of the decoder are joined. Without gradients, features are overwritten after their last use.
"""

from functools import partial
from typing import Any

from monai.networks.blocks import UnetrUpBlock
from monai.networks.blocks.dynunet_block import UnetResBlock
from torch import Tensor, nn

from freetumor_runtime.models.convolution import conv3d_in_place, without_gradients
from freetumor_runtime.models.joined_convolution import pays, upsample_and_convolve, upsample_and_project_in_place


class ResidualBlock(UnetResBlock):
    """MONAI's block whose second convolution overwrites its input."""

    def forward(self, inp: Tensor) -> Tensor:
        if not without_gradients(inp):
            return super().forward(inp)
        features = _two_convolutions(self, self.conv1(inp))
        features += self.norm3(self.conv3(inp)) if self.downsample else inp
        return self.lrelu(features)


class JoinedUpBlock(UnetrUpBlock):
    """MONAI's block without upsampled and concatenated features in memory, where this saves time.

    Without gradients it overwrites the skip, which nothing else reads later.
    """

    def forward(self, inp: Tensor, skip: Tensor) -> Tensor:
        if not pays(inp):
            return super().forward(inp, skip)
        # modules do not declare the types of their parts
        block: Any = self.conv_block
        up: Any = self.transp_conv.conv
        first, residual = block.conv1.conv, block.conv3.conv
        joined = partial(upsample_and_convolve, inp, skip, up_weight=up.weight, up_bias=up.bias)
        features = joined(weight=first.weight, bias=first.bias)
        quick = without_gradients(inp)
        if quick:
            features = _two_convolutions(block, features)
        else:
            features = block.norm2(block.conv2(block.lrelu(block.norm1(features))))
        if quick and up.bias is None and residual.bias is None:
            projected = upsample_and_project_in_place(inp, skip, up_weight=up.weight, weight=residual.weight)
        else:
            projected = joined(weight=residual.weight, bias=residual.bias)
        features += block.norm3(projected)
        return block.lrelu(features)


def quick_blocks(network: nn.Module) -> nn.Module:
    """Replace the blocks of a network in place and return it: modules keep their weights and names."""
    for module in network.modules():
        if type(module) is UnetrUpBlock:
            module.__class__ = JoinedUpBlock
        elif type(module) is UnetResBlock:
            module.__class__ = ResidualBlock
    return network


def _two_convolutions(block: Any, features: Tensor) -> Tensor:
    """Return what follows the first convolution of a block, up to the residual, without gradients."""
    second = block.conv2.conv
    return block.norm2(conv3d_in_place(block.lrelu(block.norm1(features)), second.weight, second.bias))
