"""Networks of other projects, recognised by the names of their tensors."""

import re
from collections.abc import Iterable

# the first line whose patterns all match a tensor name; names have no prefixes (weight_sets)
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("an nnU-Net", (r"encoder\.stages\.\d+\..*", r"decoder\.seg_layers\.\d+\..*")),
    ("an nnU-Net of version 1 or an STU-Net", (r"conv_blocks_context\.\d+\..*", r"seg_outputs\.\d+\..*")),
    ("a UNETR", (r"vit\.patch_embedding\..*", r"decoder5\..*")),
    ("a MONAI SegResNet", (r"convInit\.conv\.weight", r"up_layers\..*")),
    ("a MONAI SegResNetDS", (r"encoder\.conv_init\.weight", r"up_layers\..*")),
    ("a MONAI DynUNet", (r"input_block\.conv1\..*", r"output_block\..*")),
    ("a MONAI UNet", (r"0\.(conv|residual)\..*", r"1\.submodule\..*")),
    ("a MONAI BasicUNet", (r"conv_0\.conv_0\..*", r"upcat_1\..*")),
    ("a MONAI VNet", (r"in_tr\.conv_block\..*", r"out_tr\.conv2\..*")),
    ("a MedNeXt", (r"(enc_block_0|enc_stages)\.\d+\..*", r"out_0\..*")),
    ("a Segment Anything model", (r"image_encoder\..*", r"mask_decoder\..*")),
    ("a ResNet", (r"conv1\.weight", r"layer4\.\d+\..*")),
    ("a vision transformer", (r"(.*\.)?blocks\.\d+\.attn\.qkv\.weight",)),
)


def family_of(names: Iterable[str]) -> str | None:
    """Return the family of networks with such tensors, with its article; None if no family is recognised."""
    names = list(names)
    for family, patterns in _FAMILIES:
        if all(any(re.fullmatch(pattern, name) for name in names) for pattern in patterns):
            return family
    return None
