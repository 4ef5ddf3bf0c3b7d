"""Patch-merging order of a segmentor's training, from a case with known labels (docs/method.md 8).

    freetumor checkpoint inspect FILE --probe IMAGE LABELS

All orders load without an error; only the right one segments. Run in the windows that hold most of the labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.assumptions import has_patch_merging, known_merging_order
from freetumor_runtime.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint
from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.grids import align_label
from freetumor_runtime.data.label_ids import refuse_wrong_values
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.prepared_case import resample_and_crop
from freetumor_runtime.errors import DataError, UsageError
from freetumor_runtime.models.patch_merging import MERGING_ORDERS

_EXTENT = ("windowHu", "spacingMm", "patchVoxels")


def probe_merging(path: str, image: str, labels: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the Dice per order and class: {windows, orders: [{order, dice: {class: value}, mean}], best}.

    `settings`: windowHu, spacingMm, patchVoxels (null: as the file states), windows (largest number), weights (a name,
    see read_checkpoint), device (auto | cpu | cuda). The labels are ids of the network's outputs. `best` is null if no
    order is clearly better.
    """
    file = read_checkpoint(path, weights=settings["weights"])
    _refuse_needless(file)
    window_hu, spacing_mm, patch = (_told(file, settings, key) for key in _EXTENT)
    image_XYZ, label_XYZ = _prepared(image, labels, window_hu, spacing_mm, patch)
    starts = busiest_windows(label_XYZ, patch, settings["windows"])
    classes = [int(value) for value in torch.unique(label_XYZ) if value > 0]
    device = _device(settings["device"])
    orders = []
    for order in MERGING_ORDERS:
        segmentor = load_segmentor(path, order, device, settings["weights"])
        if max(classes) >= segmentor.facts["outputs"]:
            raise UsageError(
                f"{labels}: ids without an output "
                f"(expected at most {segmentor.facts['outputs'] - 1}, found {max(classes)})",
                "bring the labels to the network's ids with `freetumor data remap`",
            )
        dice = _dice(segmentor.network, image_XYZ, label_XYZ, starts, patch, classes, device)
        orders.append({"order": order, "dice": dice, "mean": sum(dice.values()) / len(dice)})
    return {"windows": len(starts), "orders": orders, "best": _best(orders)}


def busiest_windows(label_XYZ: Tensor, patch: Sequence[int], most: int) -> list[tuple[int, int, int]]:
    """First voxels of at most `most` windows of a tiling, those with most labelled voxels first; never an empty one."""
    starts = torch.cartesian_prod(*(torch.tensor(_tiling(n, p)) for n, p in zip(label_XYZ.shape, patch, strict=True)))
    counts = [int((_cut(label_XYZ, tuple(start), patch) > 0).sum()) for start in starts.tolist()]
    order = sorted(range(len(counts)), key=lambda place: -counts[place])
    return [tuple(starts[place].tolist()) for place in order[:most] if counts[place] > 0]


def _refuse_needless(file: CheckpointFile) -> None:
    if not has_patch_merging(file):
        raise UsageError(f"{file.path}: holds no patch merging, so there is no order to find", "probe a SwinUNETR")
    known = known_merging_order(file)
    if known.value is not None and not known.assumed:
        raise UsageError(f"{file.path}: states its patch-merging order, {known.value}", "run without --probe")


def _told(file: CheckpointFile, settings: dict[str, Any], key: str) -> tuple:
    value = settings[key] if settings[key] is not None else file.metadata.get(key)
    if value is None:
        raise UsageError(f"{file.path}: does not state the {key}", "pass --region or --config")
    return tuple(value)


def _prepared(
    image: str, labels: str, window_hu: Sequence[float], spacing_mm: Sequence[float], patch: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Windowed image and label ids [X, Y, Z] on the prepared grid, at least a patch large."""
    image_XYZ, affine = load_nifti(image)
    source_XYZ, label_affine = load_nifti(labels)
    label_XYZ = align_label(source_XYZ, label_affine, image_XYZ.shape, affine)
    if label_XYZ is None:
        raise DataError(f"{labels}: its grid is not that of {image}", "name the labels of this image")
    refuse_wrong_values(np.unique(label_XYZ), labels)
    if label_XYZ.max() > 255:
        raise DataError(
            f"{labels}: wrong label ids (expected integers from 0 to 255)", "convert them with `freetumor data remap`"
        )
    hu, ids, _, _ = resample_and_crop(image_XYZ, label_XYZ.astype(np.uint8), affine, spacing_mm, window_hu[0])
    windowed = window_intensity(torch.from_numpy(np.ascontiguousarray(hu, np.float32)), window_hu)
    label = torch.from_numpy(np.ascontiguousarray(ids))
    if not bool((label > 0).any()):
        raise DataError(f"{labels}: holds no label but background", "name a labelled case")
    padding = [side for n, p in zip(reversed(label.shape), reversed(patch), strict=True) for side in (0, max(0, p - n))]
    return nn.functional.pad(windowed, padding), nn.functional.pad(label, padding)


@torch.no_grad()
def _dice(
    network: nn.Module,
    image_XYZ: Tensor,
    label_XYZ: Tensor,
    starts: Sequence[tuple[int, int, int]],
    patch: Sequence[int],
    classes: Sequence[int],
    device: torch.device,
) -> dict[str, float]:
    both, each = dict.fromkeys(classes, 0), dict.fromkeys(classes, 0)
    for start in starts:
        logits_BCXYZ = network(_cut(image_XYZ, start, patch)[None, None].to(device))
        called, truth = logits_BCXYZ.argmax(1)[0].cpu(), _cut(label_XYZ, start, patch)
        for one in classes:
            both[one] += int(((called == one) & (truth == one)).sum())
            each[one] += int((called == one).sum()) + int((truth == one).sum())
    return {str(one): 2 * both[one] / each[one] if each[one] > 0 else 0.0 for one in classes}


def _best(orders: list[dict[str, Any]]) -> str | None:
    """Return the order that is better by at least a tenth of a Dice point (0.001); None if no order is."""
    first, second = sorted(orders, key=lambda one: -one["mean"])[:2]
    return first["order"] if first["mean"] - second["mean"] >= 0.001 else None


def _tiling(length: int, patch: int) -> list[int]:
    """Return the starts of windows that cover an axis; the last one is moved inside."""
    return sorted({min(start, length - patch) for start in range(0, length, patch)})


def _cut(volume_XYZ: Tensor, start: Sequence[int], patch: Sequence[int]) -> Tensor:
    x, y, z = (slice(first, first + side) for first, side in zip(start, patch, strict=True))
    return volume_XYZ[x, y, z]


def _device(asked: str) -> torch.device:
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)
