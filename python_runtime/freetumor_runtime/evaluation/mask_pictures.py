"""Three planes of a mask against its label, through the largest disagreement, for the report."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from freetumor_runtime.data.components import components
from freetumor_runtime.evaluation.masks import box_around, is_any

# The axis that a plane leaves out; arrays are RAS.
_PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
# Sides of the squares in mm: half of the scan, within these ends.
_SMALLEST_SIDE_MM, _LARGEST_SIDE_MM = 64, 160
_PIXEL_MM = 1.0
# Longest side of a whole slice, in pixels.
_LONGEST_SIDE = 320
# Grey of an organ where there is no scan.
_ORGAN_GREY = 70


def picture_planes(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    image_XYZ: np.ndarray | None,
    affine: np.ndarray,
    tumor_labels: Sequence[int],
    window_hu: Sequence[float],
    against_XYZ: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return `{windowHu, planes, whole}`: three squares around the place to look at, and the whole axial slice.

    A plane is `{name, width, height, pixelMm, image, truth, predicted}` and `against` where there is a second mask:
    bytes in base64, rows from the top. `windowHu` is None without a scan. The arrays are on one grid; the affine (4x4,
    voxel to RAS mm) may turn and flip its axes. Pictures are as radiologists look: right of the body (sagittal: its
    front) at the left, front or head up.
    """
    masks = {"truth": is_any(truth_XYZ, tumor_labels), "predicted": is_any(predicted_XYZ, tumor_labels)}
    if against_XYZ is not None:
        masks["against"] = is_any(against_XYZ, tumor_labels)
    centre_mm = affine[:3, :3] @ _place_to_look(masks["predicted"], masks["truth"], truth_XYZ) + affine[:3, 3]

    def plane(name: str, u_mm: np.ndarray, v_mm: np.ndarray) -> dict[str, Any]:
        voxels_UV3 = _plane_voxels(centre_mm, _PLANES[name], affine, u_mm, v_mm)
        grey = _grey(image_XYZ, truth_XYZ, voxels_UV3, window_hu)
        parts = {"image": grey, **{key: _sampled(mask, voxels_UV3, 0) for key, mask in masks.items()}}
        sides = {"width": len(u_mm), "height": len(v_mm), "pixelMm": [u_mm[1] - u_mm[0], v_mm[1] - v_mm[0]]}
        return {"name": name, **sides, **{key: _pixels(part) for key, part in parts.items()}}

    u, v, _ = _extent_mm(truth_XYZ.shape, affine)
    side_mm = int(min(_LARGEST_SIDE_MM, max(_SMALLEST_SIDE_MM, max(u[1] - u[0], v[1] - v[0]) / 2)))
    around_mm = np.arange(side_mm) * _PIXEL_MM - (side_mm - _PIXEL_MM) / 2
    return {
        "windowHu": None if image_XYZ is None else list(window_hu),
        "planes": [
            plane(name, *(centre_mm[other] + around_mm for other in range(3) if other != axis))
            for name, axis in _PLANES.items()
        ],
        "whole": {**plane("axial", _places_mm(*u), _places_mm(*v)), "frameMm": _frame_mm(centre_mm, side_mm, u, v)},
    }


def _place_to_look(predicted: np.ndarray, truth: np.ndarray, truth_XYZ: np.ndarray) -> np.ndarray:
    """Return a voxel of the largest component that only one has; else of the tumor, any label, or the middle."""
    for mask in (predicted ^ truth, truth, truth_XYZ):
        box = box_around(mask)
        if box is None:
            continue
        pieces = components(mask[box])
        sizes = np.bincount(pieces.ravel(order="K"))
        voxels = np.argwhere(pieces == sizes[1:].argmax() + 1) + [side.start for side in box]
        # The voxel nearest the centroid, because the centroid of a shell is outside the shell.
        return voxels[np.square(voxels - voxels.mean(0)).sum(1).argmin()].astype(float)
    return (np.array(truth_XYZ.shape) - 1) / 2


def _extent_mm(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Return the lowest and the highest place [3, 2] in mm of the voxels of a grid, their sides included."""
    corners_8x3 = np.array(list(np.ndindex(2, 2, 2))) * np.array(shape) - 0.5
    places_mm = corners_8x3 @ affine[:3, :3].T + affine[:3, 3]
    return np.stack([places_mm.min(0), places_mm.max(0)], 1)


def _frame_mm(centre_mm: np.ndarray, side_mm: float, u_mm: np.ndarray, v_mm: np.ndarray) -> list[float]:
    """Return left, top, width and height of the axial square within the whole slice; its rows start at the front."""
    left, top = u_mm[1] - (centre_mm[0] + side_mm / 2), v_mm[1] - (centre_mm[1] + side_mm / 2)
    return [round(float(left), 2), round(float(top), 2), side_mm, side_mm]


def _places_mm(low: float, high: float) -> np.ndarray:
    """Return the centres of pixels of at least a mm over a range, at most `_LONGEST_SIDE` and at least two of them."""
    count = max(2, min(_LONGEST_SIDE, round((high - low) / _PIXEL_MM)))
    return low + (np.arange(count) + 0.5) * (high - low) / count


def _plane_voxels(
    centre_mm: np.ndarray, axis: int, affine: np.ndarray, u_mm: np.ndarray, v_mm: np.ndarray
) -> np.ndarray:
    """Return the nearest voxel [U, V, 3] of each pixel of a plane through the centre."""
    u, v = (other for other in range(3) if other != axis)
    points_UV3 = np.broadcast_to(centre_mm, (len(u_mm), len(v_mm), 3)).copy()
    points_UV3[..., u] = u_mm[:, None]
    points_UV3[..., v] = v_mm[None, :]
    inverse = np.linalg.inv(affine)
    return np.floor(points_UV3 @ inverse[:3, :3].T + inverse[:3, 3] + 0.5).astype(int)


def _sampled(array_XYZ: np.ndarray, voxels_UV3: np.ndarray, outside: float) -> np.ndarray:
    inside = ((voxels_UV3 >= 0) & (voxels_UV3 < array_XYZ.shape)).all(-1)
    clipped = np.clip(voxels_UV3, 0, np.array(array_XYZ.shape) - 1)
    values = array_XYZ[tuple(np.moveaxis(clipped, -1, 0))]
    return np.where(inside, values, outside)


def _grey(
    image_XYZ: np.ndarray | None, truth_XYZ: np.ndarray, voxels_UV3: np.ndarray, window_hu: Sequence[float]
) -> np.ndarray:
    if image_XYZ is None:
        return np.where(_sampled(truth_XYZ, voxels_UV3, 0) > 0, _ORGAN_GREY, 0)
    low, high = window_hu
    hu_UV = np.nan_to_num(_sampled(image_XYZ, voxels_UV3, low).astype(np.float64), nan=low)
    return (np.clip(hu_UV, low, high) - low) / (high - low) * 255


def _pixels(slice_UV: np.ndarray) -> str:
    """Return the pixels in base64, rows from the top; U and V grow to the left and upwards in the picture."""
    rows_VU = np.flip(np.round(slice_UV).astype(np.uint8).T, (0, 1))
    return base64.b64encode(np.ascontiguousarray(rows_VU).tobytes()).decode()
