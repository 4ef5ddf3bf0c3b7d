"""The published way through a volume: all windows in order, several a batch (docs/method.md 6)."""

from collections.abc import Callable, Sequence

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from freetumor_runtime.data.boxes import Box


@torch.no_grad()
def whole_field(
    network: Callable[[Tensor], Tensor], image_XYZ: Tensor, patch: Sequence[int], overlap: float, window_batch: int
) -> Callable[[Box], Tensor]:
    """Compute the averaged output; return a function for [C, X, Y, Z] in a box. Windows of a batch share norms."""
    output_CXYZ = sliding_window_inference(
        image_XYZ[None, None], tuple(patch), window_batch, network, overlap, mode="constant", padding_mode="constant"
    )[0]
    return lambda box: output_CXYZ[(slice(None), *box)]
