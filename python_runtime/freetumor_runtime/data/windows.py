"""Whole volumes through a segmentor by sliding windows (METHOD 11)."""

from collections.abc import Callable, Sequence

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor


@torch.no_grad()
def segment_volume(
    network: Callable[[Tensor], Tensor],
    image_XYZ: Tensor,
    patch: Sequence[int],
    overlap: float,
    blend: str,
    window_batch: int,
) -> Tensor:
    """Averaged logits [C, X, Y, Z] of a windowed volume [X, Y, Z]; padded with 0 where it is smaller than a patch."""
    logits_BCXYZ = sliding_window_inference(
        image_XYZ[None, None],
        roi_size=tuple(patch),
        sw_batch_size=window_batch,
        predictor=network,
        overlap=overlap,
        mode=blend,
        padding_mode="constant",
        cval=0.0,
    )
    return logits_BCXYZ[0]
