"""nnU-Net's networks (docs/method.md, nnU-Net networks): `resenc` with residual blocks and the plain `unet`.

The modules are those of the package dynamic-network-architectures, under its keys. Each weight has one key: the package
lists a convolution under four.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.convolution import in_channels_last, quick_layers, without_gradients

NNUNET_KINDS = ("resenc", "unet")


class StageLike(Protocol):
    """One resolution, the finest first. `blocks`: residual blocks of a `resenc`, convolutions of a `unet`."""

    @property
    def features(self) -> int: ...
    @property
    def kernel(self) -> Sequence[int]: ...
    @property
    def stride(self) -> Sequence[int]: ...
    @property
    def blocks(self) -> int: ...


@dataclass(frozen=True)
class Stage:
    features: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    blocks: int


class NnUNet(nn.Module):
    """image [B, inputs, X, Y, Z] -> logits [B, outputs, X, Y, Z]; sides divisible by the product of the strides.

    With `deep_supervision`, in training mode: a tuple of logits, of all resolutions but the lowest, finest first.
    `activation_checkpointing` recomputes the activations of each resolution in the backward pass.
    """

    def __init__(self, network: Any, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.encoder: Any = network.encoder
        self.decoder: Any = network.decoder
        self.deep_supervision = False
        self.activation_checkpointing = activation_checkpointing

    def encode(self, image_BCXYZ: Tensor) -> list[Tensor]:
        """Return the features of each resolution, the finest first."""
        if without_gradients(image_BCXYZ):
            image_BCXYZ = in_channels_last(image_BCXYZ)
        stem = getattr(self.encoder, "stem", None)
        features = image_BCXYZ if stem is None else self._part(stem, image_BCXYZ)
        skips = []
        for stage in self.encoder.stages:
            features = self._part(stage, features)
            skips.append(features)
        return skips

    def forward(self, image_BCXYZ: Tensor) -> Tensor | tuple[Tensor, ...]:
        skips = self.encode(image_BCXYZ)
        features = skips[-1]
        outputs: list[Tensor] = []
        parts = list(zip(self.decoder.transpconvs, self.decoder.stages, self.decoder.seg_layers, strict=True))
        for at, (up, stage, head) in enumerate(parts):
            features = self._part(stage, torch.cat([up(features), skips[-2 - at]], 1))
            if at == len(parts) - 1 or (self.deep_supervision and self.training and at > 0):
                outputs.append(head(features).contiguous())
        return tuple(reversed(outputs)) if self.deep_supervision and self.training else outputs[-1]

    def supervise(self, deep: bool) -> None:
        """Set deep supervision. Heads without a loss do not learn: ranks would wait for their gradients."""
        self.deep_supervision = deep
        for at, head in enumerate(self.decoder.seg_layers):
            learns = at == len(self.decoder.seg_layers) - 1 or (deep and at > 0)
            head.requires_grad_(learns)

    def _part(self, part: nn.Module, features_BCXYZ: Tensor) -> Tensor:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(part, features_BCXYZ, use_reentrant=False)
        return part(features_BCXYZ)


def build_nnunet(
    kind: str,
    stages: Sequence[StageLike],
    *,
    inputs: int = 1,
    outputs: int,
    decoder_convolutions: Sequence[int] | None = None,
    activation: str = "LeakyReLU",
    activation_checkpointing: bool = False,
) -> NnUNet:
    """Build a network with nnU-Net's initial weights; `decoder_convolutions` from the lowest resolution up.

    By default a `resenc` has one convolution for each resolution of the decoder, a `unet` two.
    """
    network = package_network(kind, stages, inputs, outputs, decoder_convolutions, activation)
    network.apply(network.initialize)
    return NnUNet(quick_layers(_with_one_key_a_weight(network)), activation_checkpointing)


def package_network(
    kind: str,
    stages: Sequence[StageLike],
    inputs: int,
    outputs: int,
    decoder_convolutions: Sequence[int] | None = None,
    activation: str = "LeakyReLU",
) -> Any:
    """Build the module of dynamic-network-architectures, which lists most weights under several keys."""
    if len(stages) < 2:
        raise ConfigError(
            f"{kind}: too few resolutions (expected at least 2, found {len(stages)})", "increase sampling.patchVoxels"
        )
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

    residual = kind == "resenc"
    # the package declares these as single numbers, and takes one of each resolution
    of_stages: dict[str, Any] = {
        "kernel_sizes": [list(stage.kernel) for stage in stages],
        "strides": [list(stage.stride) for stage in stages],
        blocks_keyword(kind): [stage.blocks for stage in stages],
    }
    return (ResidualEncoderUNet if residual else PlainConvUNet)(
        input_channels=inputs,
        n_stages=len(stages),
        features_per_stage=[stage.features for stage in stages],
        conv_op=nn.Conv3d,
        num_classes=outputs,
        n_conv_per_stage_decoder=list(decoder_convolutions or default_decoder(kind, stages)),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=getattr(nn, activation),
        nonlin_kwargs={"inplace": True},
        **of_stages,
    )


def blocks_keyword(kind: str) -> str:
    """Return the package's keyword for the blocks of each resolution."""
    return "n_blocks_per_stage" if kind == "resenc" else "n_conv_per_stage"


def default_decoder(kind: str, stages: Sequence[StageLike]) -> list[int]:
    """Return the convolutions of each resolution of the decoder that nnU-Net plans."""
    return [1 if kind == "resenc" else 2] * (len(stages) - 1)


def is_alias(key: str) -> bool:
    """Return whether the package lists the weight of this key under another key too."""
    return key.startswith("decoder.encoder.") or ".all_modules." in key


def _with_one_key_a_weight(network: nn.Module) -> nn.Module:
    """Keep the second names of modules as plain attributes, which a state dict does not list."""
    for module in list(network.modules()):
        for name in ("all_modules", "encoder"):
            if name in module._modules and module is not network:
                object.__setattr__(module, name, module._modules.pop(name))
    return network
