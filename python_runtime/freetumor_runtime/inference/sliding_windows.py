"""Whole volumes through a segmentor by sliding windows: MONAI's windows and blending, computed only where they can
matter (docs/method.md 11). Sums of outputs are kept for the planes that windows still reach, not for the volume."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import torch
from torch import Tensor
from torch.nn.functional import pad

from freetumor_runtime.inference.sliding_field import window_starts

# MONAI's: a Gaussian's sigma in sides of a patch, and the least weight
_SIGMA_SCALE = 0.125
_LEAST_WEIGHT = 1e-3
# Logit of background, over 0 of the others, where no window was asked.
_SURELY_BACKGROUND = 30.0
Start = tuple[int, ...]
# The first plane along X, and the averaged outputs [C, planes, Y, Z] of it and the next ones; valid until the next are
# asked for, and the receiver may change them.
Planes = tuple[int, Tensor]
# Receives the number of windows that were just computed, and of all to compute.
WindowCount = Callable[[int, int], None]


@dataclass(frozen=True)
class WindowCounts:
    """Of `windows` that cover the volume, `computed` went through the network, `blank` shared the output of one that
    did, and `left_out` were not asked; voxels that only these hold are background.
    """

    windows: int
    computed: int
    blank: int
    left_out: int


@dataclass(frozen=True)
class Segmented(WindowCounts):
    """`logits_CXYZ` float32, averaged over the windows that hold a voxel."""

    logits_CXYZ: Tensor


@dataclass(frozen=True)
class WindowPlan:
    """The windows of a volume, in their order: `asked` go through the network, `blank` are 0 all over.

    `inside` is the place of the image [X, Y, Z] in `padded_XYZ`. `windows` cover it.
    """

    padded_XYZ: Tensor
    inside: tuple[slice, ...]
    patch: tuple[int, ...]
    asked: tuple[Start, ...]
    blank: tuple[Start, ...]
    windows: int

    @property
    def counts(self) -> WindowCounts:
        asked, blank = len(self.asked), len(self.blank)
        return WindowCounts(self.windows, asked + bool(blank), max(0, blank - 1), self.windows - asked - blank)


def plan_windows(
    image_XYZ: Tensor,
    patch: Sequence[int],
    overlap: float,
    *,
    padding_value: float = 0.0,
    wanted_XYZ: Tensor | None = None,
    min_foreground: float = 0.0,
) -> WindowPlan:
    """Place the windows of an image in [0, 1] as MONAI's sliding_window_inference does, and choose those to compute.

    A volume smaller than a patch is padded on both sides with `padding_value`. Windows that are 0 all over are blank:
    they share one output, which is the same (to rounding) because no network of ours lets windows of a batch matter to
    each other. Where `wanted_XYZ` (bool) is given, windows without a voxel of it are left out: the logits of its voxels
    do not change, those of others may. `min_foreground` leaves out windows of which a smaller share is above 0; it may
    change the result.
    """
    padded_XYZ, inside = _padded(image_XYZ, patch, padding_value)
    starts = [window_starts(*sizes, overlap) for sizes in zip(padded_XYZ.shape, patch, strict=True)]
    places: list[Start] = list(product(*starts))
    asked, blank = _sorted_windows(places, patch, padded_XYZ, _laid(wanted_XYZ, inside, padded_XYZ), min_foreground)
    return WindowPlan(padded_XYZ, inside, tuple(patch), tuple(asked), tuple(blank), len(places))


@torch.no_grad()
def averaged_planes(
    network: Callable[[Tensor], Tensor],
    plan: WindowPlan,
    blend: str,
    window_batch: int,
    *,
    known: Mapping[Start, Tensor] | None = None,
    on_windows: WindowCount | None = None,
) -> Iterator[Planes]:
    """Yield the averaged logits of the image, plane by plane along X as they are complete, in order and without a gap.

    `blend`: `constant` or `gaussian`. `known`: outputs [C, X, Y, Z] of windows that need not be computed again.
    """
    known = dict(known or {})
    to_compute = sum(start not in known for start in plan.asked)
    first = plan.asked[0] if plan.asked else None
    if first is not None and first[0] > 0 and first not in known:
        # planes before the first window need the number of outputs
        known[first] = network(_stacked(plan, [first]))[0]
        if on_windows is not None:
            on_windows(1, to_compute)
    kinds = sorted([*((start, False) for start in plan.asked), *((start, True) for start in plan.blank)])
    blender = _Blender(network, plan, blend, None if first is None else known.get(first))
    of_blank: Tensor | None = None
    for x, layer in groupby(kinds, lambda kind: kind[0][0]):
        yield from blender.finish(x)
        asked: list[Start] = []
        for start, is_blank in layer:
            if is_blank:
                # by itself: MONAI's batches would hold it with others
                of_blank = network(plan.padded_XYZ.new_zeros((1, 1, *plan.patch)))[0] if of_blank is None else of_blank
                blender.add(start, of_blank)
            else:
                asked.append(start)
        for at in range(0, len(asked), window_batch):
            batch = asked[at : at + window_batch]
            new = [start for start in batch if start not in known]
            outputs = iter(network(_stacked(plan, new))) if new else iter(())
            # in the order of the windows, known or not: the same sums
            for start in batch:
                blender.add(start, known[start] if start in known else next(outputs))
            if on_windows is not None and new:
                on_windows(len(new), to_compute)
    yield from blender.finish(plan.padded_XYZ.shape[0])


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
    """Return the averaged logits of a whole volume; see `plan_windows` and `averaged_planes`."""
    plan = plan_windows(
        image_XYZ,
        patch,
        overlap,
        padding_value=padding_value,
        wanted_XYZ=wanted_XYZ,
        min_foreground=min_foreground,
    )
    logits_CXYZ: Tensor | None = None
    for x, values_CXYZ in averaged_planes(network, plan, blend, window_batch, on_windows=on_windows):
        if logits_CXYZ is None:
            logits_CXYZ = values_CXYZ.new_empty((values_CXYZ.shape[0], *image_XYZ.shape))
        logits_CXYZ[:, x : x + values_CXYZ.shape[1]] = values_CXYZ
    assert logits_CXYZ is not None
    return Segmented(**vars(plan.counts), logits_CXYZ=logits_CXYZ)


def gaussian_weights(patch: Sequence[int], device: torch.device) -> Tensor:
    """Return the weights of a window's voxels, float32 [X, Y, Z], bit-identical to MONAI's compute_importance_map."""
    # its import takes seconds
    weights = torch.ones((), device=device)
    for side in patch:
        offsets = torch.arange(-(side - 1) / 2.0, (side - 1) / 2.0 + 1, dtype=torch.float32, device=device)
        sigma = side * _SIGMA_SCALE
        weights = weights[..., None] * torch.exp(offsets**2 / (-2 * sigma**2))
    return weights.clamp_(min=max(float(weights.min()), _LEAST_WEIGHT))


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


def _stacked(plan: WindowPlan, starts: Sequence[Start]) -> Tensor:
    return torch.stack([plan.padded_XYZ[window_at(start, plan.patch)] for start in starts])[:, None]


class _Blender:
    """Weighted sums of outputs, in float32 whatever type they come in, of the planes that windows reach now."""

    def __init__(
        self, network: Callable[[Tensor], Tensor], plan: WindowPlan, blend: str, sample_CXYZ: Tensor | None
    ) -> None:
        self._network, self._plan, self._blend, self._sample_CXYZ = network, plan, blend, sample_CXYZ
        # first plane that the sums hold
        self._first = 0
        self._total_CXYZ: Tensor | None = None
        self._weights_XYZ: Tensor | None = None
        self._counts_XYZ: Tensor | None = None

    def add(self, start: Start, output_CXYZ: Tensor) -> None:
        total_CXYZ, counts_XYZ = self._sums(output_CXYZ)
        output_CXYZ = output_CXYZ.to(total_CXYZ.device, torch.float32)
        window = window_at((start[0] - self._first, *start[1:]), self._plan.patch)
        if self._weights_XYZ is None:
            total_CXYZ[(slice(None), *window)] += output_CXYZ
            counts_XYZ[window] += 1
        else:
            total_CXYZ[(slice(None), *window)].addcmul_(output_CXYZ, self._weights_XYZ)
            counts_XYZ[window] += self._weights_XYZ

    def finish(self, stop: int) -> Iterator[Planes]:
        """Yield the averages of the planes before `stop`, which no later window reaches."""
        while self._first < stop:
            total_CXYZ, counts_XYZ = self._sums(None)
            count = min(stop - self._first, len(counts_XYZ))
            yield from self._inside(_averaged(total_CXYZ[:, :count], counts_XYZ[:count]))
            # planes one by one: the ranges overlap
            for sums in (total_CXYZ.unbind(1), counts_XYZ.unbind(0)):
                for to, plane in enumerate(sums[count:]):
                    sums[to].copy_(plane)
                for plane in sums[len(sums) - count :]:
                    plane.zero_()
            self._first += count

    def _inside(self, values_CXYZ: Tensor) -> Iterator[Planes]:
        """Yield the part of padded planes that is of the image."""
        along_x, along_y, along_z = self._plan.inside
        first, stop = max(self._first, along_x.start), min(self._first + values_CXYZ.shape[1], along_x.stop)
        if first < stop:
            planes = slice(first - self._first, stop - self._first)
            yield first - along_x.start, values_CXYZ[:, planes, along_y, along_z]

    def _sums(self, output_CXYZ: Tensor | None) -> tuple[Tensor, Tensor]:
        if self._total_CXYZ is None or self._counts_XYZ is None:
            if output_CXYZ is None:
                output_CXYZ = self._sample()
            shape = (self._plan.patch[0], *self._plan.padded_XYZ.shape[1:])
            outputs = output_CXYZ.shape[0]
            device = _device_for(output_CXYZ.device, (outputs + 1) * shape[0] * shape[1] * shape[2])
            self._total_CXYZ = torch.zeros((outputs, *shape), device=device)
            self._counts_XYZ = torch.zeros(shape, device=device)
            if self._blend == "gaussian":
                self._weights_XYZ = gaussian_weights(self._plan.patch, device)
        return self._total_CXYZ, self._counts_XYZ

    def _sample(self) -> Tensor:
        """Return the output of a window, for the number of outputs."""
        if self._sample_CXYZ is not None:
            return self._sample_CXYZ
        # no window is asked
        window = window_at((0, 0, 0), self._plan.patch)
        return self._network(self._plan.padded_XYZ[window][None, None])[0]


def _averaged(total_CXYZ: Tensor, counts_XYZ: Tensor) -> Tensor:
    """Divide sums in place; background where no window was computed."""
    gaps_XYZ = counts_XYZ == 0
    if not bool(gaps_XYZ.any()):
        return total_CXYZ.div_(counts_XYZ)
    total_CXYZ.div_(counts_XYZ.masked_fill_(gaps_XYZ, 1))
    # sums of gaps are 0
    total_CXYZ[0].masked_fill_(gaps_XYZ, _SURELY_BACKGROUND)
    return total_CXYZ


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
        window = window_at(start, patch)
        if wanted_XYZ is not None and not _any(wanted_XYZ[window]):
            continue
        if min_foreground > 0 and int(foreground_XYZ[window].sum()) < min_foreground * voxels:
            continue
        (asked if _any(foreground_XYZ[window]) else blank).append(start)
    return asked, blank


def _any(mask_XYZ: Tensor) -> bool:
    # a few voxels decide most windows
    return bool(mask_XYZ[::8, ::8, ::8].any()) or bool(mask_XYZ.any())


def window_at(start: Start, patch: Sequence[int]) -> tuple[slice, ...]:
    """Return the place of a window."""
    return tuple(slice(at, at + side) for at, side in zip(start, patch, strict=True))
