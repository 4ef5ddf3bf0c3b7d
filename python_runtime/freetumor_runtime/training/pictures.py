"""Save example slices of synthetic tumors for the report, spread over the run."""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crop_source import CropMeasures
from freetumor_runtime.data.crops import Augmentation, PlannedCrop

# the axis that a plane leaves out; arrays are RAS
_PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
# Sides of a picture of a single tumor, in voxels: the tumor with this margin.
_SMALLEST_SIDE, _LARGEST_SIDE, _MARGIN = 48, 96, 24
# Longest side of a whole slice, in pixels.
_LONGEST_SIDE = 320


class Pictures:
    """Saves `spec.pictures` examples in `pictures/` of the run; a step without a tumor postpones its example."""

    def __init__(self, spec: TrainingSpec, first_step: int) -> None:
        self._spec = spec
        self._last = first_step - 1
        # evenly spread, the last step among them
        self._times = [round((n + 1) * (spec.steps - 1) / spec.pictures) for n in range(spec.pictures)]

    def due(self, step: int) -> bool:
        return any(self._last < time <= step for time in self._times)

    def save(
        self,
        step: int,
        crop: PlannedCrop,
        image_XYZ: Tensor,
        fake_XYZ: Tensor,
        synthetic_XYZ: Tensor,
        measures: CropMeasures,
    ) -> None:
        """Save the three planes with most of the tumor, before and after painting, as `step_00000012.json`.

        Images are windowed to 0..1 and augmented; flips and rotations are undone, so that pictures have the orientation
        of the body. `synthetic_XYZ` is bool and has at least one voxel.
        """
        tumor = next(tumor for tumor in crop.tumors if tumor.draw == measures.draw)
        parts = {"host": image_XYZ * 255, "synthetic": fake_XYZ * 255, "mask": synthetic_XYZ}
        volumes = {name: undo_geometry(part, crop.augmentation) for name, part in parts.items()}
        judged = self._spec.baseline is not None
        picture = {
            "step": step,
            "item": crop.item,
            "crop": crop.crop,
            "organ": tumor.organ,
            "size": tumor.size,
            "shareSeen": measures.seen_voxels / measures.synthetic_voxels if judged else None,
            **tumor_facts(volumes["mask"], self._spec.spacingMm, self._spec.windowHu),
            "planes": plane_pictures(volumes, self._spec.spacingMm),
        }
        folder = Path(self._spec.runDirectory) / "pictures"
        folder.mkdir(exist_ok=True)
        # the import of nibabel would delay the first step
        from freetumor_runtime.data.nifti import write_synced

        write_synced(str(folder / f"step_{step:08d}.json"), json.dumps(picture).encode())
        self._last = step


def plane_pictures(volumes: dict[str, Tensor], spacing_mm: Sequence[float]) -> list[dict[str, Any]]:
    """Return the three planes with most of the `mask`, of each volume [X, Y, Z]: intensities 0..255, the mask bool."""
    return [_plane(name, axis, volumes, spacing_mm) for name, axis in _PLANES.items()]


def tumor_plane(volumes: dict[str, Tensor], spacing_mm: Sequence[float]) -> dict[str, Any]:
    """Return the axial plane with most of the `mask`: a square around the tumor, where the volume has that room."""
    extent = [int(torch.where(volumes["mask"].any(2).any(1 - axis))[0].numel()) for axis in (0, 1)]
    side = min(_LARGEST_SIDE, max(_SMALLEST_SIDE, max(extent) + _MARGIN))
    box = tuple(_around(volumes["mask"].any(2).any(1 - axis), side) for axis in (0, 1))
    return _plane("axial", 2, {name: volume[box] for name, volume in volumes.items()}, spacing_mm)


def slice_picture(name: str, slices: dict[str, Tensor], pixel_mm: Sequence[float]) -> dict[str, Any]:
    """Return a whole slice, each part [U, V], reduced to the nearest pixels if a side is too long."""
    shape = next(iter(slices.values())).shape
    sides = [min(length, _LONGEST_SIDE) for length in shape]
    u, v = (((torch.arange(side) + 0.5) * length / side).long() for side, length in zip(sides, shape, strict=True))
    scale = [mm * length / side for mm, length, side in zip(pixel_mm, shape, sides, strict=True)]
    pixels = {key: grey_pixels(part[u][:, v]) for key, part in slices.items()}
    return {"name": name, "width": sides[0], "height": sides[1], "pixelMm": scale, **pixels}


def tumor_facts(mask_XYZ: Tensor, spacing_mm: Sequence[float], window_hu: Sequence[float]) -> dict[str, Any]:
    """Return the intensity window, and the diameter of the sphere with the volume of the mask."""
    volume_mm3 = float(mask_XYZ.sum()) * math.prod(spacing_mm)
    return {"windowHu": list(window_hu), "diameterMm": round(sphere_diameter(volume_mm3), 2)}


def sphere_diameter(volume: float) -> float:
    """Return the diameter of the sphere with this volume."""
    return (6 * volume / math.pi) ** (1 / 3)


def _around(filled: Tensor, side: int) -> slice:
    """Return `side` places around the filled ones, moved inside; all places if there are fewer."""
    places = torch.where(filled)[0]
    middle = (int(places[0]) + int(places[-1]) + 1) // 2
    start = max(0, min(middle - side // 2, len(filled) - side))
    return slice(start, start + side)


def undo_geometry(array_XYZ: Tensor, augmentation: Augmentation) -> Tensor:
    """Invert augment_geometry."""
    turned = torch.rot90(array_XYZ, -augmentation.quarter_turns, (0, 1))
    return torch.flip(turned, [axis for axis, flipped in enumerate(augmentation.flip) if flipped])


def _plane(name: str, axis: int, volumes: dict[str, Tensor], spacing_mm: Sequence[float]) -> dict[str, Any]:
    others = tuple(other for other in range(3) if other != axis)
    at = int(volumes["mask"].sum(others).argmax())
    slices = {key: volume.select(axis, at) for key, volume in volumes.items()}
    width, height = slices["mask"].shape
    sides = {"width": width, "height": height, "pixelMm": [spacing_mm[other] for other in others]}
    return {"name": name, **sides, **{key: grey_pixels(part) for key, part in slices.items()}}


def grey_pixels(slice_UV: Tensor) -> str:
    """Encode rows from the top in base64. Radiological view: right (sagittal: front) at the left, front or head up."""
    rows_VU = torch.flip(slice_UV.float().clamp(0, 255).round().to(torch.uint8).cpu().T, (0, 1))
    return base64.b64encode(rows_VU.contiguous().numpy().tobytes()).decode()
