"""Three planes of a mask against its label, through the largest disagreement, for the report."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from freetumor_runtime.data.components import components
from freetumor_runtime.evaluation.masks import box_around, is_any

# The axis that a plane leaves out; arrays are RAS.
_PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
_SIDE_MM = 160
_PIXEL_MM = 1.0
# Grey of an organ where there is no scan.
_ORGAN_GREY = 70


def picture_planes(
    predicted_XYZ: np.ndarray,
    truth_XYZ: np.ndarray,
    image_XYZ: np.ndarray | None,
    affine: np.ndarray,
    tumor_labels: Sequence[int],
    window_hu: Sequence[float],
) -> list[dict[str, Any]]:
    """`{name, width, height, image, truth, predicted}` a plane: bytes in base64, rows from the top, one pixel a mm.

    The arrays are on one grid; the affine (4x4, voxel to RAS mm) may turn and flip its axes. Pictures are as
    radiologists look: right of the body (sagittal: its front) at the left, front or head up.
    """
    predicted, truth = (is_any(ids, tumor_labels) for ids in (predicted_XYZ, truth_XYZ))
    centre_mm = affine[:3, :3] @ _place_to_look(predicted, truth, truth_XYZ) + affine[:3, 3]
    planes = []
    for name, axis in _PLANES.items():
        voxels_UV3 = _plane_voxels(centre_mm, axis, affine)
        grey = _grey(image_XYZ, truth_XYZ, voxels_UV3, window_hu)
        masks = {"truth": _sampled(truth, voxels_UV3, 0), "predicted": _sampled(predicted, voxels_UV3, 0)}
        side = voxels_UV3.shape[0]
        parts = {key: _pixels(part) for key, part in {"image": grey, **masks}.items()}
        planes.append({"name": name, "width": side, "height": side, **parts})
    return planes


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


def _plane_voxels(centre_mm: np.ndarray, axis: int, affine: np.ndarray) -> np.ndarray:
    """Return the nearest voxel [U, V, 3] of each pixel of a square around the centre."""
    steps = np.arange(-_SIDE_MM / 2, _SIDE_MM / 2, _PIXEL_MM) + _PIXEL_MM / 2
    u, v = (other for other in range(3) if other != axis)
    points_UV3 = np.broadcast_to(centre_mm, (len(steps), len(steps), 3)).copy()
    points_UV3[..., u] += steps[:, None]
    points_UV3[..., v] += steps[None, :]
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
