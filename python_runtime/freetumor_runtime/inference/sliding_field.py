"""A network's output over a volume, averaged over sliding windows, computed where it is asked for (method.md 6, 9)."""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad

from freetumor_runtime.data.boxes import Box


class SlidingField:
    """What MONAI's sliding_window_inference gives with constant blending, box by box.

    A voxel is the average over all windows that hold it, added in their order: what a box holds never depends on what
    was asked before. With `batch` 1 each window goes through the network alone, so a batch norm of batch statistics
    does not depend on it either. `finish` makes of the averaged output [C, ...] what is wanted voxel by voxel, [K, ...]
    of any type; with `keep` it is kept for the whole volume, and no voxel is asked for more than about twice.
    `boxes` is the number of boxes that will be asked for: if they may need all windows, the volume is computed at once.
    The volume is padded with 0 where a patch is larger.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        image_XYZ: Tensor,
        patch: Sequence[int],
        overlap: float,
        *,
        batch: int = 1,
        keep: bool = False,
        boxes: int = 1,
        finish: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._network = network
        self._patch = tuple(patch)
        # half a patch's excess before the volume, as MONAI pads
        excess = [max(side - length, 0) for side, length in zip(patch, image_XYZ.shape, strict=True)]
        self._offset = [one // 2 for one in excess]
        padding = [part for one in reversed(excess) for part in (one // 2, one - one // 2)]
        self._image_XYZ = pad(image_XYZ, padding) if any(excess) else image_XYZ
        self._starts = [
            window_starts(length, side, overlap)
            for length, side in zip(self._image_XYZ.shape, self._patch, strict=True)
        ]
        self._batch = batch
        self._finish = finish
        self._boxes_left = boxes
        self._kept_KXYZ: Tensor | None = None
        self._known_XYZ = torch.zeros(self._image_XYZ.shape, dtype=torch.bool) if keep else None
        # windows that went through the network
        self.computed = 0

    @property
    def windows(self) -> int:
        """Return the number of windows that cover the whole volume."""
        return len(self._starts[0]) * len(self._starts[1]) * len(self._starts[2])

    @torch.no_grad()
    def at(self, box: Box) -> Tensor:
        """Return the finished output [K, X, Y, Z] in a box of the volume."""
        inside = tuple(
            slice(part.start + offset, part.stop + offset) for part, offset in zip(box, self._offset, strict=True)
        )
        if self._known_XYZ is None:
            averaged_CXYZ = self._averaged(inside)
            return averaged_CXYZ if self._finish is None else self._finish(averaged_CXYZ)
        if not bool(self._known_XYZ[inside].all()):
            self._learn(self._worthwhile(inside))
        self._boxes_left -= 1
        assert self._kept_KXYZ is not None
        return self._kept_KXYZ[(slice(None), *inside)]

    def _learn(self, box: Sequence[slice]) -> None:
        if self._finish is None:
            # added up where it is kept: what was known of the box comes out the same again
            self._averaged(box, in_place=True)
        else:
            finished_KXYZ = self._finish(self._averaged(box))
            self._keep_like(finished_KXYZ)[(slice(None), *box)] = finished_KXYZ
        assert self._known_XYZ is not None
        self._known_XYZ[tuple(box)] = True

    def _keep_like(self, output_KXYZ: Tensor) -> Tensor:
        if self._kept_KXYZ is None:
            shape = (output_KXYZ.shape[0], *self._image_XYZ.shape)
            self._kept_KXYZ = torch.empty(shape, dtype=output_KXYZ.dtype, device=output_KXYZ.device)
        return self._kept_KXYZ

    def _worthwhile(self, box: Sequence[slice]) -> list[slice]:
        """Return the box that the windows of a box complete; the whole volume if this and later boxes cost as much."""
        reaching = [self._reaching(axis, part) for axis, part in enumerate(box)]
        count = len(reaching[0]) * len(reaching[1]) * len(reaching[2])
        if self.computed + count * max(1, self._boxes_left) >= self.windows:
            return [slice(0, length) for length in self._image_XYZ.shape]
        settled = []
        for axis, indices in enumerate(reaching):
            starts, side = self._starts[axis], self._patch[axis]
            first = 0 if indices[0] == 0 else starts[indices[0] - 1] + side
            last = self._image_XYZ.shape[axis] if indices[-1] == len(starts) - 1 else starts[indices[-1] + 1]
            settled.append(slice(min(first, box[axis].start), max(last, box[axis].stop)))
        return settled

    def _reaching(self, axis: int, part: slice) -> list[int]:
        side = self._patch[axis]
        return [at for at, start in enumerate(self._starts[axis]) if start < part.stop and start + side > part.start]

    def _averaged(self, box: Sequence[slice], in_place: bool = False) -> Tensor:
        places = [[self._starts[axis][at] for at in self._reaching(axis, part)] for axis, part in enumerate(box)]
        order = list(product(*places))
        total_CXYZ: Tensor | None = None
        for at in range(0, len(order), self._batch):
            starts = order[at : at + self._batch]
            output_BCXYZ = self._network(torch.stack([self._window(start) for start in starts])[:, None])
            self.computed += len(starts)
            if total_CXYZ is None:
                total_CXYZ = self._zeros(output_BCXYZ[0], box, in_place)
            for start, output_CXYZ in zip(starts, output_BCXYZ, strict=True):
                there, here = self._overlap(start, box)
                total_CXYZ[(slice(None), *there)] += output_CXYZ[(slice(None), *here)]
        assert total_CXYZ is not None
        return self._divide(total_CXYZ, box, places)

    def _zeros(self, output_CXYZ: Tensor, box: Sequence[slice], in_place: bool) -> Tensor:
        if in_place:
            return self._keep_like(output_CXYZ.float())[(slice(None), *box)].zero_()
        sides = [part.stop - part.start for part in box]
        return output_CXYZ.new_zeros((output_CXYZ.shape[0], *sides), dtype=torch.float32)

    def _window(self, start: Sequence[int]) -> Tensor:
        return self._image_XYZ[tuple(slice(at, at + side) for at, side in zip(start, self._patch, strict=True))]

    def _overlap(self, start: Sequence[int], box: Sequence[slice]) -> tuple[list[slice], list[slice]]:
        there, here = [], []
        for first, side, part in zip(start, self._patch, box, strict=True):
            from_, to = max(first, part.start), min(first + side, part.stop)
            there.append(slice(from_ - part.start, to - part.start))
            here.append(slice(from_ - first, to - first))
        return there, here

    def _divide(self, total_CXYZ: Tensor, box: Sequence[slice], places: Sequence[Sequence[int]]) -> Tensor:
        """Divide by the number of windows that hold each voxel of the box: a product over the axes."""
        along = []
        for part, starts, side in zip(box, places, self._patch, strict=True):
            voxels = torch.arange(part.start, part.stop)
            holding = [(voxels >= start) & (voxels < start + side) for start in starts]
            along.append(torch.stack(holding).sum(0).to(torch.float32).to(total_CXYZ.device))
        # slice by slice: the counts of a whole volume are as large as one of its channels
        for x, count in enumerate(along[0]):
            total_CXYZ[:, x].div_(count * along[1][:, None] * along[2])
        return total_CXYZ


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """First voxels of the windows along an axis, MONAI's: evenly spaced, the last one moved back inside."""
    step = side if length == side else max(1, int(side * (1 - overlap)))
    count = max(1, -(-(length - side) // step) + 1)
    return [min(at * step, length - side) for at in range(count)]
