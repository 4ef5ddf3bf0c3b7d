"""The segmentors: SwinUNETR as published, nnU-Net's, and a small one for runs without a GPU (docs/method.md 8)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.convolution import quick_layers
from freetumor_runtime.models.nnunet import NNUNET_KINDS, StageLike, build_nnunet
from freetumor_runtime.models.patch_merging import PatchMerging, patch_merging_of

SEGMENTOR_KINDS = ("swinunetr", "resenc", "unet", "small")

# outputs -> which of them are tumors: liver, pancreas, kidney tumor of the generalist; (organ, tumor); (lesion)
TUMOR_OUTPUTS = {7: (2, 4, 6), 3: (2,), 2: (1,)}


def build_segmentor(
    kind: str,
    *,
    outputs: int,
    feature_size: int,
    levels: int,
    patch_merging: str,
    activation_checkpointing: bool = False,
    stages: Sequence[StageLike] = (),
) -> nn.Module:
    """Build a segmentor with random weights: [B, 1, X, Y, Z] -> logits [B, outputs, X, Y, Z].

    `swinunetr`: MONAI SwinUNETR with `use_v2`; the published `feature_size` is 48; sides must be divisible by 32;
    `levels` is not used. `small`: `feature_size` is the number of base channels; `patch_merging` is not used.
    `resenc`, `unet`: only `stages` is used.
    Raises ConfigError for an unsupported kind or order.
    """
    if kind == "swinunetr":
        # the import takes seconds, which refused files and small networks do not need
        from freetumor_runtime.models.residual_blocks import quick_blocks
        from freetumor_runtime.models.swin import SwinSegmentor
        from freetumor_runtime.models.window_attention import attend_blockwise

        network = SwinSegmentor(
            in_channels=1,
            out_channels=outputs,
            feature_size=feature_size,
            use_v2=True,
            use_checkpoint=activation_checkpointing,
            # MONAI declares a module here, but takes a class or function that creates one
            downsample=patch_merging_of(patch_merging),  # pyright: ignore[reportArgumentType]
        )
        return quick_layers(attend_blockwise(quick_blocks(network)))
    if kind in NNUNET_KINDS:
        return build_nnunet(kind, stages, outputs=outputs, activation_checkpointing=activation_checkpointing)
    if kind == "small":
        from freetumor_runtime.models.small import SmallSegmentor

        return SmallSegmentor(outputs, feature_size, levels, activation_checkpointing)
    raise ConfigError(
        f"segmentor kind is not supported (expected {', '.join(SEGMENTOR_KINDS)}, found {kind})",
        "set networks.segmentor.kind",
    )


def deepest_features(segmentor: nn.Module, image_B1XYZ: Tensor) -> Tensor:
    """Return the features of the lowest resolution, which the encoder ends with: [B, features, x, y, z].

    The segmentor is one of build_segmentor; the sides of the image are those that it segments.
    """
    # modules do not declare the types of their parts
    network: Any = segmentor
    if hasattr(network, "swinViT"):
        return network.encoder10(network.swinViT(image_B1XYZ, network.normalize)[-1])
    return network.encode(image_B1XYZ)[-1]


def tumor_outputs(outputs: int) -> tuple[int, ...]:
    """Return the tumor outputs of a segmentor: of 7 outputs 2, 4, 6; of 3 output 2; of 2 output 1."""
    if outputs not in TUMOR_OUTPUTS:
        raise ConfigError(
            f"a segmentor does not state its tumor outputs (number of outputs: {outputs})",
            f"use one of {', '.join(map(str, TUMOR_OUTPUTS))} outputs",
        )
    return TUMOR_OUTPUTS[outputs]


def merging_order_of(segmentor: nn.Module) -> str | None:
    """Return the patch-merging order of a network; None for a network without patch merging."""
    orders = {module.order for module in segmentor.modules() if isinstance(module, PatchMerging)}
    return orders.pop() if orders else None


def freeze(network: nn.Module) -> nn.Module:
    """Set evaluation mode and disable weight gradients; gradients still reach the input."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    return network.eval()
