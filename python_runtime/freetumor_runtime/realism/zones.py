"""A scan and a tumor of it: its crop on an isotropic grid, and the measured zones. Arrays are [X, Y, Z], RAS."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from freetumor_runtime.data.components import components

# Distances from the border of the tumor (mm): the rim on both sides of it, and the tissue around.
RIM_MM = 2.0
SURROUNDINGS_MM = (4.0, 10.0)
MARGIN_MM = 14.0
# A zone of fewer voxels is not measured.
MIN_ZONE_VOXELS = 12
# Crops above this size (voxels) get a coarser grid.
_MAX_VOXELS = 16_000_000
_TOUCHING = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Scan:
    """A scan (HU) with its label maps on one grid in RAS order; see RealismCase for numbers and host."""

    image_XYZ: np.ndarray
    label_XYZ: np.ndarray
    numbers_XYZ: np.ndarray | None
    host_XYZ: np.ndarray | None
    spacing_mm: list[float]


@dataclass(frozen=True)
class FoundTumor:
    """A tumor in the label map: its number, organ, box, and mask within the box."""

    number: int
    organ: str
    organ_label: int
    tumor_label: int
    box: tuple[slice, ...]
    mask_XYZ: np.ndarray


@dataclass(frozen=True)
class Zones:
    """Crop around one tumor: HU float32 and masks of one shape on a grid of `spacing_mm` in every direction."""

    image_XYZ: np.ndarray
    tumor_XYZ: np.ndarray
    rim_XYZ: np.ndarray
    surroundings_XYZ: np.ndarray
    # mm to the border: outside, and inside the tumor
    outside_mm: np.ndarray
    inside_mm: np.ndarray
    spacing_mm: float


def find_tumors(
    label_XYZ: np.ndarray, numbers_XYZ: np.ndarray | None, organs: list[tuple[str, int, int]]
) -> Iterator[FoundTumor]:
    """Yield the tumors of the organs (name, label, tumor label): by their numbers where given, else connected parts."""
    number = 0
    for name, organ_label, tumor_label in organs:
        mask_XYZ = label_XYZ == tumor_label
        parts_XYZ = components(mask_XYZ, _TOUCHING) if numbers_XYZ is None else np.where(mask_XYZ, numbers_XYZ, 0)
        for part, box in enumerate(ndimage.find_objects(parts_XYZ), start=1):
            if box is None:
                continue
            number = part if numbers_XYZ is not None else number + 1
            yield FoundTumor(number, name, organ_label, tumor_label, box, parts_XYZ[box] == part)


def widened(
    box: tuple[slice, ...], shape: tuple[int, ...], spacing_mm: list[float], margin_mm: float
) -> tuple[slice, ...]:
    """Return the box with a margin in mm, within the scan."""
    pads = [int(np.ceil(margin_mm / mm)) for mm in spacing_mm]
    return tuple(
        slice(max(0, side.start - pad), min(size, side.stop + pad))
        for side, pad, size in zip(box, pads, shape, strict=True)
    )


def zones_of(
    image_XYZ: np.ndarray, label_XYZ: np.ndarray, tumor: FoundTumor, spacing_mm: list[float], grid_mm: float
) -> Zones:
    """Return the zones of a tumor, resampled linearly to an isotropic grid."""
    box = widened(tumor.box, image_XYZ.shape, spacing_mm, MARGIN_MM)
    mask = np.zeros([side.stop - side.start for side in box], np.float32)
    mask[
        tuple(slice(own.start - side.start, own.stop - side.start) for own, side in zip(tumor.box, box, strict=True))
    ] = tumor.mask_XYZ
    volume_mm3 = mask.size * float(np.prod(spacing_mm))
    grid_mm = max(grid_mm, (volume_mm3 / _MAX_VOXELS) ** (1 / 3))
    image = resampled(image_XYZ[box].astype(np.float32), spacing_mm, grid_mm)
    share = resampled(mask, spacing_mm, grid_mm)
    inside = share >= min(0.5, float(share.max()) * 0.999)
    labels = label_XYZ[box]
    organ = resampled((labels == tumor.organ_label).astype(np.float32), spacing_mm, grid_mm) >= 0.5
    # other tumors are no surroundings
    other = resampled(((labels == tumor.tumor_label) & (mask == 0)).astype(np.float32), spacing_mm, grid_mm) > 0
    outside_mm = np.asarray(ndimage.distance_transform_edt(~inside)) * grid_mm
    inside_mm = np.asarray(ndimage.distance_transform_edt(inside)) * grid_mm
    around = (outside_mm > SURROUNDINGS_MM[0]) & (outside_mm <= SURROUNDINGS_MM[1]) & ~other
    in_organ = around & organ
    rim = np.where(inside, inside_mm, outside_mm) <= RIM_MM
    return Zones(
        image_XYZ=image,
        tumor_XYZ=inside,
        rim_XYZ=rim & ~other,
        surroundings_XYZ=in_organ if np.count_nonzero(in_organ) >= MIN_ZONE_VOXELS else around & (image > -300),
        outside_mm=outside_mm,
        inside_mm=inside_mm,
        spacing_mm=grid_mm,
    )


def resampled(array: np.ndarray, spacing_mm: list[float], grid_mm: float) -> np.ndarray:
    """Resample a crop linearly to an isotropic grid; the first voxel stays in place."""
    if np.allclose(spacing_mm, grid_mm, rtol=1e-3):
        return array
    shape = [
        max(1, int((size - 1) * mm / grid_mm + 1e-6) + 1) for size, mm in zip(array.shape, spacing_mm, strict=True)
    ]
    scale = [grid_mm / mm for mm in spacing_mm]
    return ndimage.affine_transform(array, scale, output_shape=tuple(shape), order=1, mode="nearest")
