"""The segmentors: SwinUNETR as published, and a small network for runs without a GPU (docs/method.md 8)."""

from torch import nn

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.patch_merging import PatchMerging, patch_merging_of

SEGMENTOR_KINDS = ("swinunetr", "small")

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
) -> nn.Module:
    """A segmentor with fresh weights: [B, 1, X, Y, Z] -> logits [B, outputs, X, Y, Z].

    `swinunetr`: MONAI SwinUNETR with `use_v2`; `feature_size` 48 is the published one; sides divisible by 32; does not
    use `levels`. `small`: `feature_size` is its base channels; does not use `patch_merging`.
    Raises ConfigError for an unknown kind or order.
    """
    if kind == "swinunetr":
        # its import takes seconds, which a refused file and a small network need not wait for
        from monai.networks.nets import SwinUNETR

        from freetumor_runtime.models.joined_decoder import join_upsampling
        from freetumor_runtime.models.window_attention import attend_blockwise

        network = SwinUNETR(
            in_channels=1,
            out_channels=outputs,
            feature_size=feature_size,
            use_v2=True,
            use_checkpoint=activation_checkpointing,
            # a class or a function that makes a module, though it is declared to be a module
            downsample=patch_merging_of(patch_merging),  # pyright: ignore[reportArgumentType]
        )
        return attend_blockwise(join_upsampling(network))
    if kind == "small":
        from freetumor_runtime.models.small import SmallSegmentor

        return SmallSegmentor(outputs, feature_size, levels, activation_checkpointing)
    raise ConfigError(f"segmentor kind must be one of {', '.join(SEGMENTOR_KINDS)}, got {kind!r}")


def tumor_outputs(outputs: int) -> tuple[int, ...]:
    """Which outputs of a segmentor are tumors: of 7 outputs 2, 4, 6; of 3 output 2; of 2 output 1."""
    if outputs not in TUMOR_OUTPUTS:
        raise ConfigError(
            f"a segmentor of {outputs} outputs does not say which are tumors",
            f"use one of {', '.join(map(str, TUMOR_OUTPUTS))} outputs",
        )
    return TUMOR_OUTPUTS[outputs]


def merging_order_of(segmentor: nn.Module) -> str | None:
    """The patch-merging order a network was built with; None for a network without patch merging."""
    orders = {module.order for module in segmentor.modules() if isinstance(module, PatchMerging)}
    return orders.pop() if orders else None


def freeze(network: nn.Module) -> nn.Module:
    """Evaluation mode without weight gradients; gradients still pass through to the input."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    return network.eval()
