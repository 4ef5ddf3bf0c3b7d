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

from freetumor_runtime.config.common import Organ
from freetumor_runtime.data.boxes import Box, as_box, grown, within
from freetumor_runtime.data.components import components
from freetumor_runtime.data.surroundings import organ_around
from freetumor_runtime.data.variant_source import ShrunkSource
from freetumor_runtime.synthesis.painting import PlacedTumor
from freetumor_runtime.synthesis.render import ORGAN, SYNTHETIC, is_organ

_TRUNCATE = 4.0
# the organ around a source lies within it
_MARGIN = 6
_ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)
# Deviations of the host beyond it are structures, not noise: it keeps 99.7 % of normal noise.
_NOISE_SIGMAS = 3
# of a normal distribution, its standard deviation divided by its median absolute deviation
_SIGMA_OF_MAD = 1.4826


@dataclass(frozen=True)
class SourceTumor:
    """A source in its bounding box, whose first voxel is `start`: its voxels, and their difference to the organ."""

    start: tuple[int, ...]
    mask_XYZ: np.ndarray
    difference_XYZ: np.ndarray


@dataclass(frozen=True)
class ShrunkPainter:
    """Copies real tumors of `image_XYZ`, float32, the host before painting; `label_XYZ` uint8, ids of the region."""

    image_XYZ: Tensor
    label_XYZ: Tensor
    # (tumor id, voxel) -> source
    _tumors: dict[tuple[int, ...], SourceTumor] = field(default_factory=dict, repr=False)

    def paint(self, painted_XYZ: Tensor, placed: PlacedTumor, source: ShrunkSource) -> None:
        """Add the copy to an image in place, on voxels of the organ; all others keep their bits."""
        tumor = self._tumor(placed.organ, source.voxel)
        weight_XYZ, change_XYZ = (
            shrunk(array_XYZ, tumor.start, source, placed.tumor.edge_sigma, placed.box)
            for array_XYZ in (tumor.mask_XYZ, tumor.difference_XYZ)
        )
        host_XYZ = self.image_XYZ[placed.box].cpu().numpy()
        change_XYZ += weight_XYZ * without_structures(host_XYZ, placed.roles_XYZ.cpu().numpy())
        change = torch.from_numpy(change_XYZ.astype(np.float32)).to(painted_XYZ.device)
        painted_XYZ[placed.box].add_(change * is_organ(placed.roles_XYZ))

    def _tumor(self, organ: Organ, voxel: Sequence[int]) -> SourceTumor:
        key = organ.tumorLabel, *voxel
        if key not in self._tumors:
            numbers_XYZ = components((self.label_XYZ == organ.tumorLabel).cpu().numpy(), _ALL_NEIGHBOURS)
            number = int(numbers_XYZ[tuple(voxel)])
            inside = as_box(ndimage.find_objects(numbers_XYZ, number)[number - 1])
            box = grown(inside, _MARGIN, numbers_XYZ.shape)
            mask_XYZ = numbers_XYZ[box] == number
            level = self._organ_level(organ.label, box, mask_XYZ)
            part = within(inside, box)
            difference_XYZ = self.image_XYZ[inside].cpu().numpy() - level
            mask_XYZ = mask_XYZ[part]
            start = tuple(side.start for side in inside)
            self._tumors[key] = SourceTumor(start, mask_XYZ, np.where(mask_XYZ, difference_XYZ, 0))
        return self._tumors[key]

    def _organ_level(self, label: int, box: Box, mask_XYZ: np.ndarray) -> float:
        """Return the median of the organ around a tumor, which vessels do not shift; without any, of the organ."""
        ring_XYZ = organ_around(mask_XYZ, (self.label_XYZ[box] == label).cpu().numpy())
        if ring_XYZ.any():
            return float(np.median(self.image_XYZ[box].cpu().numpy()[ring_XYZ]))
        return float(np.median(self.image_XYZ[self.label_XYZ == label].cpu().numpy()))


def shrunk(array_XYZ: np.ndarray, start: Sequence[int], source: ShrunkSource, sigma: float, box: Box) -> np.ndarray:
    """Return an array of a source, shrunk, in a box of its volume, float64.

    The first voxel of the array is `start` of the volume; outside it is 0. Voxel `source.centre` takes the value at
    `source.centroid`, smoothed by a Gaussian of `sigma` voxels of the COPY along each axis, which suppresses what its
    grid cannot hold, and interpolated linearly.
    """
    source_sigma = sigma / source.factor
    margin = int(_TRUNCATE * source_sigma + 0.5) + 1
    padded_XYZ = np.pad(array_XYZ.astype(np.float64), margin)
    smooth_XYZ = ndimage.gaussian_filter(padded_XYZ, source_sigma, mode="constant", truncate=_TRUNCATE)
    along = [
        (np.arange(side.start, side.stop) - centre) / source.factor + centroid - first + margin
        for side, centre, centroid, first in zip(box, source.centre, source.centroid, start, strict=True)
    ]
    places = np.stack(np.meshgrid(*along, indexing="ij"))
    return ndimage.map_coordinates(smooth_XYZ, places, order=1, mode="constant")


def without_structures(host_XYZ: np.ndarray, roles_XYZ: np.ndarray) -> np.ndarray:
    """Return what takes vessels and other structures out of a host: 0 where it deviates from the organ as noise does.

    A tumor displaces a vessel. If its difference were added to the vessel, a lung nodule would be as dense as bone.
    """
    ring_XYZ = organ_around(roles_XYZ == SYNTHETIC, roles_XYZ == ORGAN)
    if not ring_XYZ.any():
        return np.zeros_like(host_XYZ)
    level = np.median(host_XYZ[ring_XYZ])
    noise = _SIGMA_OF_MAD * np.median(np.abs(host_XYZ[ring_XYZ] - level))
    most = _NOISE_SIGMAS * noise
    return np.clip(host_XYZ, level - most, level + most) - host_XYZ
