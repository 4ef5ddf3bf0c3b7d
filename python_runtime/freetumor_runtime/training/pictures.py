"""Example slices of synthetic tumors for the report, spread over the run."""

import base64
import json
from pathlib import Path

import torch
from torch import Tensor

from freetumor_runtime.config import TrainingSpec
from freetumor_runtime.data.crops import CropFrame
from freetumor_runtime.data.frames import CropMeasures


def wants_picture(spec: TrainingSpec, step: int) -> bool:
    """True at `pictures` steps of the run, evenly spread, the last one among them."""
    return any(step == round((n + 1) * (spec.steps - 1) / spec.pictures) for n in range(spec.pictures))


def save_picture(
    spec: TrainingSpec,
    step: int,
    crop: CropFrame,
    image_XYZ: Tensor,
    fake_XYZ: Tensor,
    synthetic_XYZ: Tensor,
    measures: CropMeasures,
) -> None:
    """The slice along the third axis that holds most of the tumor, before and after painting, as one JSON file."""
    if not bool(synthetic_XYZ.any()):
        return
    at = int(synthetic_XYZ.sum((0, 1)).argmax())
    tumor = crop.tumors[0]
    picture = {
        "step": step,
        "item": crop.item,
        "crop": crop.crop,
        "organ": tumor.organ,
        "size": tumor.size,
        "shareSeen": measures.seen_voxels / (measures.synthetic_voxels + 1e-6),
        "width": image_XYZ.shape[0],
        "height": image_XYZ.shape[1],
        "host": _pixels(image_XYZ[:, :, at] * 255),
        "synthetic": _pixels(fake_XYZ[:, :, at] * 255),
        "mask": _pixels(synthetic_XYZ[:, :, at]),
    }
    folder = Path(spec.runDirectory) / "pictures"
    folder.mkdir(exist_ok=True)
    target = folder / f"step_{step:08d}.json"
    aside = target.with_suffix(".tmp")
    aside.write_text(json.dumps(picture), encoding="utf-8")
    aside.rename(target)


def _pixels(slice_XY: Tensor) -> str:
    """Rows from the front of the body (high second index) to the back, as radiologists look at it."""
    rows_YX = torch.flip(slice_XY.float().clamp(0, 255).round().to(torch.uint8).cpu().T, (0,))
    return base64.b64encode(rows_YX.contiguous().numpy().tobytes()).decode()
