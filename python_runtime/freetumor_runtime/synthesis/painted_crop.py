"""Crops of a step before and after painting. A training without synthesis needs no more, and imports no painting."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freetumor_runtime.data.crop_source import CropMeasures
from freetumor_runtime.data.crops import PlannedCrop, augment_geometry, augment_image, window_intensity
from freetumor_runtime.data.device_copy import to_device


@dataclass(frozen=True)
class PaintedCrop:
    """A crop before and after painting; without a tumor both are equal and there are no measures."""

    image_XYZ: Tensor
    label_XYZ: Tensor
    fake_XYZ: Tensor
    fake_label_XYZ: Tensor
    measures: CropMeasures | None


def unpainted(
    crops: Sequence[PlannedCrop], window_hu: Sequence[float], device: torch.device
) -> tuple[PaintedCrop, ...]:
    """Return the crops of a training without synthesis, windowed and augmented."""
    volumes = (augmented_volume(crop, window_hu, device) for crop in crops)
    return tuple(PaintedCrop(image_XYZ, label_XYZ, image_XYZ, label_XYZ, None) for image_XYZ, label_XYZ in volumes)


def augmented_volume(crop: PlannedCrop, window_hu: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the windowed image float32 and the label of a crop, augmented, on the device."""
    image_hu, label = to_device(crop.image_hu, device), to_device(crop.label, device)
    label_XYZ = augment_geometry(label, crop.augmentation)
    return augment_image(window_intensity(image_hu, window_hu), crop.augmentation), label_XYZ
