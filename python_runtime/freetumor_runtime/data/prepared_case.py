"""A case on the grid that networks train on (method.md 4): label ids of the region, RAS, spacing, foreground crop."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from freetumor_runtime.data.grids import nearest_voxels, to_ras
from freetumor_runtime.data.label_ids import IGNORED_LABEL, refuse_wrong_values
from freetumor_runtime.data.straight_grid import interpolate, pick, straight_grid
from freetumor_runtime.errors import DataError


def remap_label(label_XYZ: np.ndarray, label_map: dict[str, int], num_ids: int, file: str) -> np.ndarray:
    """Map source ids to region ids and `IGNORED_LABEL`, uint8. 0 stays 0 unless it is in the map.

    Raises DataError for a value that is no id, or an id outside the map.
    """
    mapping: dict[int | float, int] = {0: 0, **{int(source): target for source, target in label_map.items()}}
    outside = sorted({target for target in mapping.values() if not 0 <= target < num_ids} - {IGNORED_LABEL})
    if outside:
        allowed = f"0 to {num_ids - 1}, or {IGNORED_LABEL} for ignored voxels"
        message = f"{file}: wrong targets of its label map (expected {allowed}, found {outside})"
        raise DataError(message, "correct the map")
    ids = _ids_of(label_XYZ)
    refuse_wrong_values(ids, file)
    unknown = [value for value in ids if value not in mapping]
    if unknown:
        raise DataError(
            f"{file}: label ids outside the map (expected {sorted(mapping)}, found {unknown[:10]})",
            "add them to the map (to 0 where they are to be background) or correct the file",
        )
    mapped = np.empty_like(label_XYZ, np.uint8)
    table = np.zeros(max(256, int(max(ids)) + 1), np.uint8)
    for value in ids:
        table[int(value)] = mapping[value]
    for z in range(label_XYZ.shape[2]):
        mapped[..., z] = _looked_up(table, label_XYZ[..., z])
    return mapped


def _looked_up(table: np.ndarray, plane: np.ndarray) -> np.ndarray:
    if plane.dtype != np.uint8:
        return table[plane.astype(np.intp, copy=False)]
    # without an index of eight bytes per voxel
    return np.frombuffer(plane.tobytes("F").translate(table.tobytes()), np.uint8).reshape(plane.shape, order="F")


def _ids_of(label_XYZ: np.ndarray) -> Sequence[int | float]:
    """Return the values that occur, in order."""
    # Slice by slice: the whole map in another order, or as wider integers, is many times its size.
    planes = (label_XYZ[..., z].ravel(order="K") for z in range(label_XYZ.shape[2]))
    if label_XYZ.dtype == np.uint8:
        return np.flatnonzero(sum(np.bincount(plane, minlength=256) for plane in planes)).tolist()
    return sorted({value for plane in planes for value in np.unique(plane).tolist()})


def resample_and_crop(
    image_XYZ: np.ndarray,
    label_XYZ: np.ndarray,
    affine: np.ndarray,
    spacing_mm: Sequence[float],
    window_lower_hu: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """RAS, spacing (bilinear image, nearest label), crop to HU above the window's lower end.

    Returns image float [X, Y, Z], label uint8 [X, Y, Z], the affine of their grid, and the crop's first voxel in the
    uncropped grid.
    """
    ras_XYZ, ras_affine = to_ras(image_XYZ, affine)
    grid = straight_grid(ras_XYZ.shape, ras_affine, spacing_mm)
    if grid is None:
        return _resample_and_crop_by_monai(image_XYZ, label_XYZ, affine, spacing_mm, window_lower_hu)
    image = interpolate(ras_XYZ, grid.places)
    start, stop = foreground_box(image > window_lower_hu)
    box = [slice(first, end) for first, end in zip(start, stop, strict=True)]
    voxels = list(grid.places) if grid.unchanged else nearest_voxels(ras_XYZ.shape, ras_affine, spacing_mm)[0]
    chosen = [axis_voxels[part].astype(np.intp) for axis_voxels, part in zip(voxels, box, strict=True)]
    to_crop = np.eye(4)
    to_crop[:3, 3] = start
    return image[tuple(box)], pick(to_ras(label_XYZ, affine)[0], chosen), grid.affine @ to_crop, start


def foreground_box(mask_XYZ: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the first voxel of the box around a mask, and the one behind its last; zeros without a voxel."""
    start, stop = [], []
    for axis in range(3):
        occupied = np.flatnonzero(mask_XYZ.any(axis=tuple(other for other in range(3) if other != axis)))
        start.append(int(occupied[0]) if len(occupied) else 0)
        stop.append(int(occupied[-1]) + 1 if len(occupied) else 0)
    return start, stop


def _resample_and_crop_by_monai(
    image_XYZ: np.ndarray,
    label_XYZ: np.ndarray,
    affine: np.ndarray,
    spacing_mm: Sequence[float],
    window_lower_hu: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Resample a volume with an oblique axis as a whole."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Compose, CropForegroundd, Orientationd, Spacingd

    both = ["image", "label"]
    transforms = Compose(
        [
            Orientationd(keys=both, axcodes="RAS", labels=None),
            Spacingd(keys=both, pixdim=tuple(spacing_mm), mode=("bilinear", "nearest")),
            CropForegroundd(
                keys=both,
                source_key="image",
                select_fn=lambda image: image > window_lower_hu,
                allow_smaller=True,
                start_coord_key="start",
                end_coord_key="end",
            ),
        ]
    )
    world = torch.as_tensor(affine, dtype=torch.float64)
    # declared as a tensor, a dictionary here
    prepared: Any = transforms(
        {
            "image": MetaTensor(torch.from_numpy(_in_c_order(image_XYZ, np.float32))[None], affine=world),
            "label": MetaTensor(torch.from_numpy(_in_c_order(label_XYZ, np.uint8))[None], affine=world),
        }
    )
    start = [int(value) for value in prepared["start"]]
    label = prepared["label"].numpy()[0].astype(np.uint8)
    return prepared["image"].numpy()[0], label, prepared["image"].affine.numpy(), start


def _in_c_order(array_XYZ: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    # Files have the first axis fastest. Turned plane by plane: as a whole every voxel would miss the caches.
    turned = np.empty(array_XYZ.shape, dtype)
    for y in range(array_XYZ.shape[1]):
        turned[:, y] = array_XYZ[:, y]
    return turned
