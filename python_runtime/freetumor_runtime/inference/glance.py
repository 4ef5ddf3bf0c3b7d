"""Choose the voxels where a segmentor can find something: by windows side by side, before all overlapping ones.

The windows of the glance have the size and resolution of the training, so the network sees what it learned. They are
also windows of the full pass where its overlap is 1/2 or 3/4, and the outputs that it needs again are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from freetumor_runtime.inference.sliding_windows import Start, WindowCount, plan_windows, window_at

# Probability of the wanted outputs together from which a voxel is looked at with all windows: far below the 1/2 that
# decides, since a single window is less sure than the mean of many.
_LEAST_PROBABILITY = 0.05
# Also looked at around such voxels, along each axis.
_MARGIN_VOXELS = 12
# Outputs that are kept for the full pass; others are computed again.
_KEPT_BYTES = 256 << 20


@dataclass(frozen=True)
class Glance:
    """`wanted_XYZ`: bool [X, Y, Z]. `known`: outputs of windows that the full pass needs. `computed` windows."""

    wanted_XYZ: Tensor
    known: dict[Start, Tensor]
    computed: int


@torch.no_grad()
def glance(
    network: Callable[[Tensor], Tensor],
    image_XYZ: Tensor,
    patch: Sequence[int],
    outputs: Sequence[int],
    *,
    padding_value: float = 0.0,
    within_XYZ: Tensor | None = None,
    on_windows: WindowCount | None = None,
) -> Glance:
    """Return where `outputs` may be found in an image in [0, 1], and within `within_XYZ` (bool) if it is given."""
    plan = plan_windows(image_XYZ, patch, 0, padding_value=padding_value, wanted_XYZ=within_XYZ)
    found_XYZ = torch.zeros(plan.padded_XYZ.shape, dtype=torch.bool)
    known: dict[Start, Tensor] = {}
    room = _KEPT_BYTES
    for start in plan.asked:
        window = window_at(start, plan.patch)
        output_CXYZ = network(plan.padded_XYZ[window][None, None])[0]
        likely_XYZ = output_CXYZ.float().softmax(0)[list(outputs)].sum(0) >= _LEAST_PROBABILITY
        if bool(likely_XYZ.any()):
            found_XYZ[window] |= likely_XYZ.cpu()
            if (room := room - output_CXYZ.nbytes) >= 0:
                known[start] = output_CXYZ.clone()
        if on_windows is not None:
            on_windows(1, plan.counts.windows)
    side = 2 * _MARGIN_VOXELS + 1
    grown = ndimage.maximum_filter(found_XYZ[plan.inside].numpy().view(np.uint8), side, mode="constant")
    wanted_XYZ = torch.from_numpy(grown.view(bool))
    return Glance(wanted_XYZ if within_XYZ is None else wanted_XYZ & within_XYZ.cpu(), known, len(plan.asked))
