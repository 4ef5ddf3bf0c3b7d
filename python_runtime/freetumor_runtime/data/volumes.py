"""A scan brought to the grid a segmentor was trained on, and a mask brought back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import CropForeground, Orientation, Spacing, SpatialResample
from torch import Tensor

from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.original_grid import GridRoute, grid_route, nearest_on_scan
from freetumor_runtime.errors import DataError


@dataclass(frozen=True)
class PreparedImage:
    """`image_hu` int16 [X, Y, Z] on the prepared grid with its voxel-to-world affine; the scan's own grid beside it."""

    image_hu: np.ndarray
    affine: np.ndarray
    source_shape: tuple[int, ...]
    source_affine: np.ndarray


def load_prepared_image(
    path: str, spacing_mm: Sequence[float], window_lower_hu: float, crop_foreground: bool = True
) -> PreparedImage:
    """METHOD 4 without a label: RAS, spacing (bilinear), crop to HU above the window's lower end unless told otherwise.

    Raises DataError for a file that is no CT: damaged, not finite, nothing above the lower end.
    """
    data, affine = load_nifti(path)
    if not np.isfinite(data).all():
        raise DataError(f"{path}: finite HU were expected, found NaN or infinity", "repair or remove the file")
    image_IJK = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))
    del data
    prepared = prepared_image(image_IJK, affine, spacing_mm, window_lower_hu, crop_foreground)
    if not (prepared.image_hu > window_lower_hu).any():
        raise DataError(f"{path}: no voxel lies above {window_lower_hu} HU", "is this a CT in Hounsfield units?")
    return prepared


def prepared_image(
    image_IJK: Tensor,
    affine: np.ndarray,
    spacing_mm: Sequence[float],
    window_lower_hu: float,
    crop_foreground: bool = True,
) -> PreparedImage:
    """The same of float32 HU in memory; with nothing above the lower end it is not cropped."""
    source_shape = tuple(image_IJK.shape)
    image = MetaTensor(image_IJK[None], affine=torch.as_tensor(affine, dtype=torch.float64))
    image = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
    image = Spacing(pixdim=tuple(spacing_mm), mode="bilinear")(image)
    if crop_foreground and bool((image > window_lower_hu).any()):
        image = CropForeground(select_fn=lambda values: values > window_lower_hu, margin=0)(image)
    hu = image[0].round().clamp(-32768, 32767).to(torch.int16).cpu().numpy()
    return PreparedImage(np.asarray(hu), np.asarray(image.affine), source_shape, np.asarray(affine))


def route_to_scan(prepared: PreparedImage) -> GridRoute:
    return grid_route(prepared.image_hu.shape, prepared.affine, prepared.source_shape, prepared.source_affine)


def to_original_grid(mask: np.ndarray, prepared: PreparedImage) -> np.ndarray:
    """uint8 mask on the prepared grid -> uint8 on the scan's own grid, nearest neighbour; 0 outside the crop."""
    return nearest_on_scan(mask, route_to_scan(prepared))


def logits_to_original_grid(logits_CXYZ: Tensor, prepared: PreparedImage) -> Tensor:
    """Logits on the prepared grid -> float32 [C, I, J, K] on the scan's own grid, linear; 0 outside the crop."""
    source = MetaTensor(logits_CXYZ.cpu(), affine=torch.as_tensor(prepared.affine))
    resampled: Tensor = SpatialResample(mode="bilinear", padding_mode="zeros")(
        source, dst_affine=prepared.source_affine, spatial_size=prepared.source_shape
    )
    return torch.as_tensor(resampled).to(torch.float32)
