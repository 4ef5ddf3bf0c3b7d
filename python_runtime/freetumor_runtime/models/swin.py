"""MONAI's SwinUNETR without the check that splits its compiled graph in two, and with less memory on a CPU."""

from collections.abc import Sequence
from typing import Any

from monai.networks.nets.swin_unetr import SwinUNETR
from torch import Tensor

from freetumor_runtime.models.convolution import in_channels_last, without_gradients


class SwinSegmentor(SwinUNETR):
    """Same keys and values as MONAI's network; torch.compile captures it as one graph."""

    def forward(self, x_in: Tensor) -> Tensor:
        if not (without_gradients(x_in) and self.swinViT.use_v2):
            return super().forward(x_in)
        self._check_input_size(x_in.shape[2:])
        image = in_channels_last(x_in)
        # modules do not declare the types of their parts
        network: Any = self
        encoder: Any = self.swinViT
        features = encoder.pos_drop(encoder.patch_embed(image))
        skips = []
        # no features are in memory after their last use
        for convolutions, layer, skip_of in (
            (encoder.layers1c[0], encoder.layers1[0], network.encoder2),
            (encoder.layers2c[0], encoder.layers2[0], network.encoder3),
            (encoder.layers3c[0], encoder.layers3[0], network.encoder4),
            (encoder.layers4c[0], encoder.layers4[0], in_channels_last),
        ):
            skips.append(skip_of(encoder.proj_out(features, self.normalize)))
            features = layer(convolutions(features))
        features = network.encoder10(encoder.proj_out(features, self.normalize))
        for decoder in (network.decoder5, network.decoder4, network.decoder3, network.decoder2):
            features = decoder(features, skips.pop())
        return network.out(network.decoder1(features, network.encoder1(image))).contiguous()

    def _check_input_size(self, spatial_shape: Sequence[int]) -> None:
        # MONAI checks by NumPy, where a graph ends
        multiple = self.patch_size**5
        if any(side % multiple for side in spatial_shape):
            raise ValueError(f"SwinUNETR: wrong sides (expected multiples of {multiple}, found {tuple(spatial_shape)})")
