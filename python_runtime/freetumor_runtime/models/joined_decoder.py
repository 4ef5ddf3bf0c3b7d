"""Join upsampling and convolution in the decoder of a SwinUNETR: same keys and values, less time and memory."""

from functools import partial
from typing import Any

from monai.networks.blocks import UnetrUpBlock
from torch import Tensor, nn

from freetumor_runtime.models.joined_convolution import pays, upsample_and_convolve


class JoinedUpBlock(UnetrUpBlock):
    """MONAI's block without upsampled and concatenated features in memory, where this saves time."""

    def forward(self, inp: Tensor, skip: Tensor) -> Tensor:
        if not pays(inp):
            return super().forward(inp, skip)
        # modules do not declare the types of their parts
        block: Any = self.conv_block
        up: Any = self.transp_conv.conv
        joined = partial(upsample_and_convolve, inp, skip, up_weight=up.weight, up_bias=up.bias)
        first, residual = block.conv1.conv, block.conv3.conv
        features = block.lrelu(block.norm1(joined(weight=first.weight, bias=first.bias)))
        features = block.norm2(block.conv2(features))
        features += block.norm3(joined(weight=residual.weight, bias=residual.bias))
        return block.lrelu(features)


def join_upsampling(network: nn.Module) -> nn.Module:
    """Replace the blocks of a network in place and return it: modules keep their weights and names."""
    for module in network.modules():
        if type(module) is UnetrUpBlock:
            module.__class__ = JoinedUpBlock
    return network
