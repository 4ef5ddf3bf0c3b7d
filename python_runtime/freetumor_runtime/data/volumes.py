"""A scan brought to the grid a segmentor was trained on, and a mask brought back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing, SpatialCrop, SpatialResample
from monai.transforms.utils import generate_spatial_bounding_box
from torch import Tensor

from freetumor_runtime.data.nifti import load_nifti
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
    data, affine = load_nifti(path)
    if not np.isfinite(data).all():
        raise DataError(
            f"{path}: wrong HU (expected finite values, found NaN or infinity)", "repair or remove the file"
        )
    image_IJK = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))
    del data
    prepared = prepared_image(image_IJK, affine, spacing_mm, window_lower_hu, crop_foreground)
    if not (prepared.image_hu > window_lower_hu).any():
        raise DataError(f"{path}: no voxel is above {window_lower_hu} HU", "name a CT in Hounsfield units")
    return prepared


def prepared_image(
    image_IJK: Tensor,
    affine: np.ndarray,
    spacing_mm: Sequence[float],
    window_lower_hu: float,
    crop_foreground: bool = True,
) -> PreparedImage:
    """Prepare float32 HU in memory in the same way; without a voxel above the lower end, do not crop."""
    # transforms are declared to return plain tensors
    image: Any = MetaTensor(image_IJK[None], affine=torch.as_tensor(affine, dtype=torch.float64))
    ras: Any = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
    image = resampled = Spacing(pixdim=tuple(spacing_mm), mode="bilinear")(ras)
    start = (0, 0, 0)
    if crop_foreground and bool((image > window_lower_hu).any()):
        start, stop = generate_spatial_bounding_box(image, lambda values: values > window_lower_hu)
        image = SpatialCrop(roi_start=start, roi_end=stop)(image)
    grids = ScanGrids(
        source_shape=tuple(image_IJK.shape),
        source_affine=np.asarray(affine),
        ras_shape=tuple(ras.shape[1:]),
        ras_affine=np.asarray(ras.affine),
        resampled_shape=tuple(resampled.shape[1:]),
        crop_start=tuple(int(one) for one in start),
        prepared_shape=tuple(image.shape[1:]),
        prepared_affine=np.asarray(image.affine),
    )
    return PreparedImage(image.as_tensor()[0].to(torch.float32), grids)


def logits_to_original_grid(logits_CXYZ: Tensor, prepared: PreparedImage) -> Tensor:
    """Resample logits to the scan's own grid, linear: float32 [C, I, J, K], 0 outside the crop."""
    source = MetaTensor(logits_CXYZ.cpu(), affine=torch.as_tensor(prepared.grids.prepared_affine))
    resampled: Tensor = SpatialResample(mode="bilinear", padding_mode="zeros")(
        source,
        dst_affine=torch.as_tensor(prepared.grids.source_affine),
        spatial_size=prepared.grids.source_shape,
    )
    return torch.as_tensor(resampled).to(torch.float32)
