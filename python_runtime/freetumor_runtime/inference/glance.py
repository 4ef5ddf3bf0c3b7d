"""Choose the sliding windows in which a segmentor can find something, by a cheap first look.

docs/predict-and-evaluate.md#fewer-windows describes the rule.

Either the segmentor itself looks at windows side by side, or a network of a coarser grid does. The windows of the
segmentor are also windows of the full pass where its overlap is 1/2 or 3/4, and the outputs that it needs are kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from freetumor_runtime.inference.sliding_windows import Start, WindowCount, plan_windows, window_at

# Probability of the wanted outputs together from which a voxel is a finding: far below the 1/2 that decides, since a
# single window is less sure than the mean of many.
_LEAST_PROBABILITY = 0.05
# Probability of all organs and tumors together from which a voxel belongs to an organ, and the least volume of one: an
# unsure network finds specks anywhere.
_ORGAN_PROBABILITY = 0.5
_LEAST_ORGAN_ML = 10.0
# Also looked at around findings, along each axis of the prepared grid.
_MARGIN_VOXELS = 6
# Findings of the prepared grid itself are stored by cells of this side.
_CELL_VOXELS = 4
# Outputs that are kept for the full pass; others are computed again.
_KEPT_BYTES = 256 << 20


@dataclass(frozen=True)
class Findings:
    """`found_XYZ`: bool, on the grid of the glance, where voxel v of the prepared grid is `first + scale * v`."""

    found_XYZ: np.ndarray
    first: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)

    def with_margin(self) -> np.ndarray:
        """Return the findings and all voxels that are near them, on the grid of the glance."""
        sides = [2 * math.ceil(_MARGIN_VOXELS * scale) + 1 for scale in self.scale]
        return ndimage.maximum_filter(self.found_XYZ.view(np.uint8), sides, mode="constant").view(bool)

    def places(self, axis: int, inside: slice) -> np.ndarray:
        """Return the nearest of the voxels `inside` a prepared grid to each voxel of the glance along an axis."""
        places = (np.arange(self.found_XYZ.shape[axis]) - self.first[axis]) / self.scale[axis]
        return np.rint(places).astype(int).clip(0, inside.stop - inside.start - 1) + inside.start


@dataclass(frozen=True)
class Glance:
    """`known`: outputs of windows that the full pass needs, too. `computed` windows."""

    findings: Findings
    known: dict[Start, Tensor]
    computed: int


@torch.no_grad()
def glance(
    network: Callable[[Tensor], Tensor],
    image_XYZ: Tensor,
    patch: Sequence[int],
    outputs: Sequence[int],
    *,
    organs: Sequence[int] = (),
    whole_organs: bool = False,
    voxel_ml: float = 0.0,
    padding_value: float = 0.0,
    within_XYZ: Tensor | None = None,
    affines: tuple[np.ndarray, np.ndarray] | None = None,
    on_windows: WindowCount | None = None,
) -> Glance:
    """Return where `outputs` may be found in an image in [0, 1], and within `within_XYZ` (bool) if it is given.

    `organs`: outputs of organs with their tumors. If given, a finding lies in a connected organ of at least 10 ml, or
    touches it; with `whole_organs`, all voxels of these organs are findings. `voxel_ml`: volume of a voxel.
    `affines`: those of the image and of the prepared grid, if it is another image; then no output is kept.
    """
    plan = plan_windows(image_XYZ, patch, 0, padding_value=padding_value, wanted_XYZ=within_XYZ)
    found_XYZ = torch.zeros(plan.padded_XYZ.shape, dtype=torch.bool)
    organ_XYZ = torch.zeros(plan.padded_XYZ.shape if organs else (0, 0, 0), dtype=torch.bool)
    known: dict[Start, Tensor] = {}
    room = _KEPT_BYTES if affines is None else 0
    for start in plan.asked:
        window = window_at(start, plan.patch)
        output_CXYZ = network(plan.padded_XYZ[window][None, None])[0]
        probability_CXYZ = output_CXYZ.float().softmax(0)
        found_XYZ[window] |= (probability_CXYZ[list(outputs)].sum(0) >= _LEAST_PROBABILITY).cpu()
        if organs:
            organ_XYZ[window] |= (probability_CXYZ[list(organs)].sum(0) >= _ORGAN_PROBABILITY).cpu()
        if bool((organ_XYZ if whole_organs else found_XYZ)[window].any()) and output_CXYZ.nbytes <= room:
            room -= output_CXYZ.nbytes
            known[start] = output_CXYZ.clone()
        if on_windows is not None:
            on_windows(1, plan.counts.windows)
    found = found_XYZ[plan.inside].numpy()
    if organs:
        large = _large(organ_XYZ[plan.inside].numpy(), _LEAST_ORGAN_ML / voxel_ml)
        if whole_organs:
            found = large
        else:
            found[~_with_rim(large)] = False
    if within_XYZ is not None:
        found[~within_XYZ.cpu().numpy()] = False
    return Glance(_placed(found, affines), known, len(plan.asked))


def _large(organ: np.ndarray, least_voxels: float) -> np.ndarray:
    """Return the components (6 neighbours) of at least this size."""
    pieces = np.zeros(organ.shape, np.int32)
    ndimage.label(organ, output=pieces)
    large = np.bincount(pieces.ravel()) >= least_voxels
    large[0] = False
    return large[pieces]


def _with_rim(organ: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(organ.view(np.uint8), 3, mode="constant").view(bool)


def _placed(found_XYZ: np.ndarray, affines: tuple[np.ndarray, np.ndarray] | None) -> Findings:
    """Both grids are RAS grids of one scan, so their axes are parallel."""
    if affines is None:
        return _pooled(found_XYZ)
    between = np.linalg.inv(affines[0]) @ affines[1]
    return Findings(found_XYZ, tuple(between[:3, 3].tolist()), tuple(np.diag(between)[:3].tolist()))


def _pooled(found_XYZ: np.ndarray) -> Findings:
    """Return findings on a grid of cells, which is fine enough to choose windows and takes a 64th of the memory."""
    side = _CELL_VOXELS
    padded = np.pad(found_XYZ, [(0, -length % side) for length in found_XYZ.shape])
    x, y, z = (length // side for length in padded.shape)
    cells_XYZ = padded.reshape(x, side, y, side, z, side).max((1, 3, 5))
    return Findings(cells_XYZ, ((1 - side) / 2 / side,) * 3, (1 / side,) * 3)
