"""Paint a smaller copy of a real tumor of the same scan (docs/method.md, shrunk real tumors).

The difference of the source to the organ around it is smoothed, resampled and added to the host, so the host keeps its
noise. Arrays are [X, Y, Z] of one subvolume on the prepared grid; images are windowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from freetumor_runtime.data.boxes import Box, as_box, grown, within
from freetumor_runtime.data.components import components
from freetumor_runtime.data.variant_source import ShrunkSource
from freetumor_runtime.synthesis.measures import organ_around
from freetumor_runtime.synthesis.painting import PlacedTumor
from freetumor_runtime.synthesis.render import is_organ

_TRUNCATE = 4.0
# the ring around a source ends within it
_MARGIN = 6
_ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class ShrunkPainter:
    """Copies real tumors of `image_XYZ`, float32, the host before painting; `label_XYZ` uint8, ids of the region."""

    image_XYZ: Tensor
    label_XYZ: Tensor
    # (tumor id, voxel) -> first voxel of the box, and the difference in it: 0 outside the tumor
    _differences: dict[tuple[int, ...], tuple[tuple[int, ...], np.ndarray]] = field(default_factory=dict, repr=False)

    def paint(self, painted_XYZ: Tensor, placed: PlacedTumor, source: ShrunkSource) -> None:
        """Add the copy to an image in place, on voxels of the organ; all others keep their bits."""
        start, difference_XYZ = self._difference(placed, source.voxel)
        change_XYZ = shrunk_difference(difference_XYZ, start, source, placed.tumor.edge_sigma, placed.box)
        change = torch.from_numpy(change_XYZ).to(painted_XYZ.device)
        painted_XYZ[placed.box].add_(change * is_organ(placed.roles_XYZ))

    def _difference(self, placed: PlacedTumor, voxel: Sequence[int]) -> tuple[tuple[int, ...], np.ndarray]:
        organ = placed.organ
        key = organ.tumorLabel, *voxel
        if key not in self._differences:
            numbers_XYZ = components((self.label_XYZ == organ.tumorLabel).cpu().numpy(), _ALL_NEIGHBOURS)
            number = int(numbers_XYZ[tuple(voxel)])
            inside = as_box(ndimage.find_objects(numbers_XYZ, number)[number - 1])
            box = grown(inside, _MARGIN, numbers_XYZ.shape)
            mask_XYZ = numbers_XYZ[box] == number
            organ_XYZ = (self.label_XYZ[box] == organ.label).cpu().numpy()
            level = self._organ_level(organ.label, box, organ_around(mask_XYZ, organ_XYZ))
            difference_XYZ = np.where(mask_XYZ, self.image_XYZ[box].cpu().numpy() - level, np.float32(0))
            start = tuple(side.start for side in inside)
            self._differences[key] = start, difference_XYZ[within(inside, box)]
        return self._differences[key]

    def _organ_level(self, label: int, box: Box, ring_XYZ: np.ndarray) -> np.float32:
        """Return the median of the organ around a tumor, which vessels do not shift; without any, of the organ."""
        if ring_XYZ.any():
            return np.median(self.image_XYZ[box].cpu().numpy()[ring_XYZ])
        return np.median(self.image_XYZ[self.label_XYZ == label].cpu().numpy())


def shrunk_difference(
    difference_XYZ: np.ndarray, start: Sequence[int], source: ShrunkSource, sigma: float, box: Box
) -> np.ndarray:
    """Return the difference of a copy in a box of its volume, float32.

    `difference_XYZ` is that of the source, whose first voxel is `start`; outside it is 0. Voxel `source.centre` of the
    copy takes the value at `source.centroid`, smoothed by a Gaussian of `sigma` voxels of the COPY and interpolated
    linearly. On an anisotropic grid, `sigma` is as many voxels along each axis, so as many mm as each spacing has.
    """
    source_sigma = sigma / source.factor
    margin = int(_TRUNCATE * source_sigma + 0.5) + 1
    smooth_XYZ = ndimage.gaussian_filter(
        np.pad(difference_XYZ, margin).astype(np.float64), source_sigma, mode="constant", truncate=_TRUNCATE
    )
    along = [
        (np.arange(side.start, side.stop) - centre) / source.factor + centroid - first + margin
        for side, centre, centroid, first in zip(box, source.centre, source.centroid, start, strict=True)
    ]
    places = np.stack(np.meshgrid(*along, indexing="ij"))
    return ndimage.map_coordinates(smooth_XYZ, places, order=1, mode="constant").astype(np.float32)
