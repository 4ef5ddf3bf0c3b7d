"""Whole volumes through a segmentor by sliding windows: MONAI's windows and blending, computed only where they can
matter (docs/method.md 11)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from monai.data.utils import compute_importance_map
from torch import Tensor
from torch.nn.functional import pad

from freetumor_runtime.inference.sliding_field import window_starts

# MONAI's: a Gaussian's sigma in sides of a patch
_SIGMA_SCALE = 0.125
# Logit of background, over 0 of the others, where no window was asked.
_SURELY_BACKGROUND = 30.0
Start = tuple[int, ...]
# Receives the number of windows that were just computed, and of all to compute.
WindowCount = Callable[[int, int], None]


@dataclass(frozen=True)
class Segmented:
    """`logits_CXYZ` float32, averaged over the windows that hold a voxel.

    Of `windows` that cover the volume, `computed` went through the network, `blank` shared the output of one that did,
    and `left_out` were not asked; voxels that only these hold are background.
    """

    logits_CXYZ: Tensor
    windows: int
    computed: int
    blank: int
    left_out: int


@torch.no_grad()
def segment_volume(
    network: Callable[[Tensor], Tensor],
    image_XYZ: Tensor,
    patch: Sequence[int],
    overlap: float,
    blend: str,
    window_batch: int,
    *,
    padding_value: float = 0.0,
    wanted_XYZ: Tensor | None = None,
    min_foreground: float = 0.0,
    on_windows: WindowCount | None = None,
) -> Segmented:
    """Averaged logits of a windowed volume [X, Y, Z] in [0, 1], as MONAI's sliding_window_inference gives them.

    `blend`: `constant` or `gaussian`. A volume smaller than a patch is padded on both sides with `padding_value`.
    Windows that are 0 all over are blank: they share one output, which is the same (to rounding) because no network of
    ours lets windows of a batch matter to each other. Where `wanted_XYZ` (bool) is given, windows without a voxel of it
    are left out: the logits of its voxels do not change, those of others may. `min_foreground` leaves out windows of
    which a smaller share is above 0; it may change the result.
    """
    padded_XYZ, inside = _padded(image_XYZ, patch, padding_value)
    starts = [window_starts(*sizes, overlap) for sizes in zip(padded_XYZ.shape, patch, strict=True)]
    places: list[Start] = list(product(*starts))
    asked, blank = _sorted_windows(places, patch, padded_XYZ, _laid(wanted_XYZ, inside, padded_XYZ), min_foreground)
    blender = _Blender(padded_XYZ.shape, patch, blend)
    if blank:
        # by itself: MONAI's batches would hold it with others
        output_CXYZ = network(padded_XYZ.new_zeros((1, 1, *patch)))[0]
        for start in blank:
            blender.add(start, output_CXYZ)
    for at in range(0, len(asked), window_batch):
        batch = asked[at : at + window_batch]
        windows = torch.stack([padded_XYZ[_window(start, patch)] for start in batch])[:, None]
        for start, output_CXYZ in zip(batch, network(windows), strict=True):
            blender.add(start, output_CXYZ)
        if on_windows is not None:
            on_windows(len(batch), len(asked))
    left_out = len(places) - len(asked) - len(blank)
    logits_CXYZ = blender.average(network, padded_XYZ, left_out > 0)[(slice(None), *inside)]
    return Segmented(logits_CXYZ, len(places), len(asked) + bool(blank), max(0, len(blank) - 1), left_out)


def labels_of(logits_CXYZ: Tensor) -> Tensor:
    """argmax over the classes, uint8; the first of equal ones. By passes: on a CPU twenty times as fast as argmax."""
    best_XYZ = logits_CXYZ[0].clone()
    labels_XYZ = torch.zeros(best_XYZ.shape, dtype=torch.uint8, device=best_XYZ.device)
    # one buffer for all classes: fresh pages would cost more than the comparisons
    is_better = torch.empty(best_XYZ.shape, dtype=torch.bool, device=best_XYZ.device)
    for label in range(1, logits_CXYZ.shape[0]):
        torch.gt(logits_CXYZ[label], best_XYZ, out=is_better)
        # classes go up, so the better one is the larger one
        torch.maximum(labels_XYZ, is_better.view(torch.uint8).mul_(label), out=labels_XYZ)
        torch.maximum(best_XYZ, logits_CXYZ[label], out=best_XYZ)
    return labels_XYZ


class _Blender:
    """Weighted sums of outputs, in float32 whatever type they come in."""

    def __init__(self, shape: Sequence[int], patch: Sequence[int], blend: str) -> None:
        self._shape, self._patch, self._blend = tuple(shape), tuple(patch), blend
        self._total_CXYZ: Tensor | None = None
        self._weights_XYZ: Tensor | None = None
        self._counts_XYZ: Tensor | None = None

    def add(self, start: Start, output_CXYZ: Tensor) -> None:
        if self._total_CXYZ is None:
            self._allocate(output_CXYZ)
        assert self._total_CXYZ is not None and self._counts_XYZ is not None
        output_CXYZ = output_CXYZ.to(self._total_CXYZ.device, torch.float32)
        window = _window(start, self._patch)
        if self._weights_XYZ is None:
            self._total_CXYZ[(slice(None), *window)] += output_CXYZ
            self._counts_XYZ[window] += 1
        else:
            self._total_CXYZ[(slice(None), *window)].addcmul_(output_CXYZ, self._weights_XYZ)
            self._counts_XYZ[window] += self._weights_XYZ

    def average(self, network: Callable[[Tensor], Tensor], padded_XYZ: Tensor, has_gaps: bool) -> Tensor:
        if self._total_CXYZ is None:
            # no window was computed: one window gives the number of outputs
            self._allocate(network(padded_XYZ[_window((0, 0, 0), self._patch)][None, None])[0])
        assert self._total_CXYZ is not None and self._counts_XYZ is not None
        if not has_gaps:
            return self._total_CXYZ.div_(self._counts_XYZ)
        gaps_XYZ = self._counts_XYZ == 0
        self._total_CXYZ.div_(self._counts_XYZ.masked_fill_(gaps_XYZ, 1))
        self._total_CXYZ[0].masked_fill_(gaps_XYZ, _SURELY_BACKGROUND)
        return self._total_CXYZ

    def _allocate(self, output_CXYZ: Tensor) -> None:
        outputs = output_CXYZ.shape[0]
        device = _device_for(output_CXYZ.device, (outputs + 1) * self._shape[0] * self._shape[1] * self._shape[2])
        self._total_CXYZ = torch.zeros((outputs, *self._shape), device=device)
        self._counts_XYZ = torch.zeros(self._shape, device=device)
        if self._blend == "gaussian":
            self._weights_XYZ = compute_importance_map(
                self._patch, mode="gaussian", sigma_scale=_SIGMA_SCALE, device=device, dtype=torch.float32
            )


def _device_for(device: torch.device, values: int) -> torch.device:
    """Return the device for this number of float32: that of the network unless they take half of its free memory."""
    if device.type != "cuda":
        return device
    return device if 4 * values < torch.cuda.mem_get_info(device)[0] // 2 else torch.device("cpu")


def _padded(image_XYZ: Tensor, patch: Sequence[int], value: float) -> tuple[Tensor, tuple[slice, ...]]:
    """Pad the image to at least a patch, half of it before, as MONAI does; return it and the image's place."""
    excess = [max(side - length, 0) for side, length in zip(patch, image_XYZ.shape, strict=True)]
    inside = tuple(slice(one // 2, one // 2 + length) for one, length in zip(excess, image_XYZ.shape, strict=True))
    if not any(excess):
        return image_XYZ, inside
    padding = [part for one in reversed(excess) for part in (one // 2, one - one // 2)]
    return pad(image_XYZ, padding, value=value), inside


def _laid(wanted_XYZ: Tensor | None, inside: tuple[slice, ...], padded_XYZ: Tensor) -> Tensor | None:
    if wanted_XYZ is None or wanted_XYZ.shape == padded_XYZ.shape:
        return wanted_XYZ
    laid_XYZ = torch.zeros(padded_XYZ.shape, dtype=torch.bool, device=wanted_XYZ.device)
    laid_XYZ[inside] = wanted_XYZ
    return laid_XYZ


def _sorted_windows(
    places: Sequence[Start],
    patch: Sequence[int],
    image_XYZ: Tensor,
    wanted_XYZ: Tensor | None,
    min_foreground: float,
) -> tuple[list[Start], list[Start]]:
    """Return the windows to compute, in their order, and the blank ones."""
    foreground_XYZ = image_XYZ != 0
    voxels = patch[0] * patch[1] * patch[2]
    asked, blank = [], []
    for start in places:
        window = _window(start, patch)
        if wanted_XYZ is not None and not bool(wanted_XYZ[window].any()):
            continue
        if min_foreground > 0 and int(foreground_XYZ[window].sum()) < min_foreground * voxels:
            continue
        (asked if bool(foreground_XYZ[window].any()) else blank).append(start)
    return asked, blank


def _window(start: Start, patch: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(at, at + side) for at, side in zip(start, patch, strict=True))
