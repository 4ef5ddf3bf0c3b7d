"""A network's output over a region, averaged over sliding windows, computed where it is asked for (METHOD 6, 9)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad

from freetumor_runtime.synthesis.render import Box


class WindowField:
    """What MONAI's sliding_window_inference gives with constant blending and one window a batch, box by box.

    Each window goes through the network alone, so that a batch norm of batch statistics does not depend on which
    windows are asked for. Windows are kept, the most recently used ones up to `keep_bytes`, and added in their order:
    what a box holds never depends on what was asked before. The region is padded with 0 where a patch is larger.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        image_XYZ: Tensor,
        patch: Sequence[int],
        overlap: float,
        keep_bytes: int = 0,
    ) -> None:
        self._network = network
        self._patch = tuple(patch)
        # half a patch's excess before the region, as MONAI pads
        excess = [max(side - length, 0) for side, length in zip(patch, image_XYZ.shape, strict=True)]
        self._offset = [one // 2 for one in excess]
        padding = [part for one in reversed(excess) for part in (one // 2, one - one // 2)]
        self._image_XYZ = pad(image_XYZ, padding) if any(excess) else image_XYZ
        self._starts = [
            window_starts(length, side, overlap)
            for length, side in zip(self._image_XYZ.shape, self._patch, strict=True)
        ]
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._keep_bytes = keep_bytes
        self.computed = 0

    @property
    def windows(self) -> int:
        """How many windows cover the whole region."""
        return len(self._starts[0]) * len(self._starts[1]) * len(self._starts[2])

    @torch.no_grad()
    def at(self, box: Box) -> Tensor:
        """The averaged output [C, X, Y, Z] in a box of the region."""
        low = [part.start + offset for part, offset in zip(box, self._offset, strict=True)]
        high = [part.stop + offset for part, offset in zip(box, self._offset, strict=True)]
        reaching = [
            [start for start in starts if start < end and start + side > begin]
            for starts, side, begin, end in zip(self._starts, self._patch, low, high, strict=True)
        ]
        total_CXYZ: Tensor | None = None
        count_XYZ = torch.zeros([end - begin for begin, end in zip(low, high, strict=True)])
        for start in product(*reaching):
            output_CXYZ = self._window(start)
            there, here = [], []
            for first, side, begin, end in zip(start, self._patch, low, high, strict=True):
                from_, to = max(first, begin), min(first + side, end)
                there.append(slice(from_ - begin, to - begin))
                here.append(slice(from_ - first, to - first))
            if total_CXYZ is None:
                total_CXYZ = output_CXYZ.new_zeros((output_CXYZ.shape[0], *count_XYZ.shape))
            total_CXYZ[(slice(None), *there)] += output_CXYZ[(slice(None), *here)]
            count_XYZ[tuple(there)] += 1
        assert total_CXYZ is not None
        return total_CXYZ.div_(count_XYZ.to(total_CXYZ.device))

    def _window(self, start: tuple[int, ...]) -> Tensor:
        kept = self._kept.get(start)
        if kept is not None:
            self._kept.move_to_end(start)
            return kept
        place = tuple(slice(first, first + side) for first, side in zip(start, self._patch, strict=True))
        output_CXYZ = self._network(self._image_XYZ[place][None, None])[0].to(torch.float32)
        self.computed += 1
        size = output_CXYZ.numel() * output_CXYZ.element_size()
        if size <= self._keep_bytes:
            while self._kept and (len(self._kept) + 1) * size > self._keep_bytes:
                self._kept.popitem(last=False)
            self._kept[start] = output_CXYZ
        return output_CXYZ


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """First voxels of the windows along an axis, MONAI's: evenly spaced, the last one moved back inside."""
    step = side if length == side else max(1, int(side * (1 - overlap)))
    count = max(1, -(-(length - side) // step) + 1)
    return [min(at * step, length - side) for at in range(count)]
