"""A scan brought to the grid a segmentor was trained on, and a mask brought back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freetumor_runtime.data.grids import to_ras
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.prepared_case import foreground_box
from freetumor_runtime.data.straight_grid import interpolate, straight_grid
from freetumor_runtime.data.way_back import ScanGrids
from freetumor_runtime.errors import DataError


@dataclass(frozen=True)
class PreparedImage:
    """`image_hu` float32 [X, Y, Z] on the prepared grid, as it was interpolated: rounding it moves a mask's borders."""

    image_hu: Tensor
    grids: ScanGrids


def load_prepared_image(
    path: str, spacing_mm: Sequence[float], window_lower_hu: float, crop_foreground: bool = True
) -> PreparedImage:
    """Prepare an image without a label (docs/method.md 4): RAS, spacing (bilinear), crop above the window's lower end.

    Raises DataError for a file that is no CT: damaged, not finite, nothing above the lower end.
    """
    (prepared,) = load_prepared_images(path, [(spacing_mm, window_lower_hu)], crop_foreground)
    return prepared


def load_prepared_images(
    path: str, grids: Sequence[tuple[Sequence[float], float]], crop_foreground: bool = True
) -> list[PreparedImage]:
    """Prepare an image for several networks as `load_prepared_image` does; each has a spacing and a lower end."""
    data, affine = load_nifti(path)
    if not np.isfinite(data).all():
        raise DataError(
            f"{path}: wrong HU (expected finite values, found NaN or infinity)", "repair or remove the file"
        )
    images = []
    for spacing_mm, window_lower_hu in grids:
        prepared = prepared_image(data, affine, spacing_mm, window_lower_hu, crop_foreground)
        if not (prepared.image_hu > window_lower_hu).any():
            raise DataError(f"{path}: no voxel is above {window_lower_hu} HU", "name a CT in Hounsfield units")
        images.append(prepared)
    return images


def prepared_image(
    image_IJK: np.ndarray,
    affine: np.ndarray,
    spacing_mm: Sequence[float],
    window_lower_hu: float,
    crop_foreground: bool = True,
) -> PreparedImage:
    """Prepare HU in memory in the same way; without a voxel above the lower end, do not crop."""
    ras_XYZ, ras_affine = to_ras(image_IJK, affine)
    grid = straight_grid(ras_XYZ.shape, ras_affine, spacing_mm)
    if grid is None:
        image, image_affine = _resampled_by_monai(image_IJK, affine, spacing_mm)
    else:
        # axis by axis: MONAI needs several float64 copies of the volume
        image, image_affine = interpolate(ras_XYZ, grid.places), grid.affine
    start, stop = foreground_box(image > window_lower_hu) if crop_foreground else ([0, 0, 0], [0, 0, 0])
    if stop == [0, 0, 0]:
        stop = list(image.shape)
    to_crop = np.eye(4)
    to_crop[:3, 3] = start
    cropped = np.ascontiguousarray(image[tuple(slice(first, end) for first, end in zip(start, stop, strict=True))])
    grids = ScanGrids(
        source_shape=image_IJK.shape,
        source_affine=np.asarray(affine),
        ras_shape=ras_XYZ.shape,
        ras_affine=ras_affine,
        resampled_shape=image.shape,
        crop_start=(start[0], start[1], start[2]),
        prepared_shape=cropped.shape,
        prepared_affine=image_affine @ to_crop,
    )
    return PreparedImage(torch.from_numpy(cropped), grids)


def _resampled_by_monai(
    image_IJK: np.ndarray, affine: np.ndarray, spacing_mm: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Resample a volume with an oblique axis as a whole: float32 [X, Y, Z], and the affine of its grid."""
    # seconds of imports, which only an oblique axis needs
    from monai.data import MetaTensor
    from monai.transforms import Orientation, Spacing

    # transforms are declared to return plain tensors
    world = torch.as_tensor(affine, dtype=torch.float64)
    image: Any = MetaTensor(torch.from_numpy(np.ascontiguousarray(image_IJK, np.float32))[None], affine=world)
    ras: Any = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
    resampled: Any = Spacing(pixdim=tuple(spacing_mm), mode="bilinear")(ras)
    return resampled.as_tensor()[0].to(torch.float32).numpy(), np.asarray(resampled.affine)


def logits_to_original_grid(logits_CXYZ: Tensor, prepared: PreparedImage) -> Tensor:
    """Resample logits to the scan's own grid, linear: float32 [C, I, J, K], 0 outside the crop."""
    # seconds of imports, which only a call for logits needs
    from monai.data import MetaTensor
    from monai.transforms import SpatialResample

    source = MetaTensor(logits_CXYZ.cpu(), affine=torch.as_tensor(prepared.grids.prepared_affine))
    resampled: Tensor = SpatialResample(mode="bilinear", padding_mode="zeros")(
        source,
        dst_affine=torch.as_tensor(prepared.grids.source_affine),
        spatial_size=prepared.grids.source_shape,
    )
    return torch.as_tensor(resampled).to(torch.float32)
