"""From the planned crops of a step to tensors: window, place the shapes, augment, mix (docs/method.md 4, 10)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freetumor_runtime.data.boxes import Box, as_box


@dataclass(frozen=True)
class Augmentation:
    flip: tuple[bool, bool, bool]
    quarter_turns: int
    intensity_scale: float
    intensity_shift: float


@dataclass(frozen=True)
class PlannedTumor:
    """A planned tumor: `box` is its shape, uint8 [x, y, z], laid at `box_origin` of the un-augmented crop."""

    organ: str
    size: str
    box: Tensor
    box_origin: tuple[int, int, int]
    edge_sigma: float
    texture_index: int
    texture_start: tuple[int, int, int]
    handcrafted_difference: float
    draw: int


@dataclass(frozen=True)
class PlannedCrop:
    """One crop as it was sent: `image_hu` int16 [X, Y, Z], `label` uint8 [X, Y, Z] with ids of the region."""

    item: int
    crop: int
    case_id: str
    image_hu: Tensor
    label: Tensor
    augmentation: Augmentation
    tumors: tuple[PlannedTumor, ...]
    mixing: tuple[int, int, int] | None
    no_room: bool


def window_intensity(image_hu: Tensor, window_hu: Sequence[float]) -> Tensor:
    """HU of any shape and type -> float32 in [0, 1], clipped."""
    low, high = window_hu
    # in place: fresh pages cost more than the arithmetic
    return image_hu.to(torch.float32, copy=True).sub_(low).div_(high - low).clamp_(0, 1)


def augment_image(image_XYZ: Tensor, augmentation: Augmentation) -> Tensor:
    """Geometry, then intensity; not clipped after."""
    turned_XYZ = augment_geometry(image_XYZ, augmentation)
    # in place, since it is a copy; and most crops keep their intensities
    if augmentation.intensity_scale != 1:
        turned_XYZ.mul_(augmentation.intensity_scale)
    if augmentation.intensity_shift != 0:
        turned_XYZ.add_(augmentation.intensity_shift)
    return turned_XYZ


def augment_geometry(array_XYZ: Tensor, augmentation: Augmentation) -> Tensor:
    """Flip axes 0, 1, 2, then rotate by quarter turns in the plane of axes 0 and 1. Always a copy."""
    axes = [axis for axis, flipped in enumerate(augmentation.flip) if flipped]
    flipped = torch.flip(array_XYZ, axes) if axes else array_XYZ
    return torch.rot90(flipped, augmentation.quarter_turns, (0, 1)).contiguous()


def augment_box(box: Box, shape: Sequence[int], augmentation: Augmentation) -> Box:
    """Return the box of the same voxels after `augment_geometry` of a crop of `shape`."""
    sides = [
        (length - side.stop, length - side.start) if flipped else (side.start, side.stop)
        for side, length, flipped in zip(box, shape, augmentation.flip, strict=True)
    ]
    lengths = list(shape)
    for _ in range(augmentation.quarter_turns):
        # a quarter turn brings voxel (x, y) to (last y - y, x)
        along_x, (start, stop) = sides[:2]
        sides[:2] = [(lengths[1] - stop, lengths[1] - start), along_x]
        lengths[:2] = [lengths[1], lengths[0]]
    return as_box(slice(start, stop) for start, stop in sides)


def swap_slabs(crops: Tensor, mixing: Sequence[tuple[int, int, int] | None]) -> Tensor:
    """method.md 10 "mixup" on [B, ..., X, Y, Z]: crop b keeps [0, length) along its axis, the rest is its partner's.

    `mixing[b]` is (partner, axis, length) or None; partners are read before any swap.
    """
    mixed = crops.clone()
    for b, swap in enumerate(mixing):
        if swap is None:
            continue
        partner, axis, length = swap
        index: list = [slice(None)] * (crops.ndim - 1)
        index[crops.ndim - 4 + axis] = slice(length, None)
        mixed[(b, *index)] = crops[(partner, *index)]
    return mixed
