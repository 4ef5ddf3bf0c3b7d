"""A segmentor as other projects need it: a network of plain layers, and all facts about its inputs and outputs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.checkpoint_file import METADATA_VERSION, read_checkpoint
from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.checkpoints.nnunet_plans import is_model_folder
from freetumor_runtime.errors import CheckpointError, UsageError
from freetumor_runtime.models.plain_layers import plain_layers

# as predict without a profile (docs/method.md 11)
_PUBLISHED_WINDOWS = {"overlap": 0.75, "blend": "constant"}
# two voxels remain at the lowest resolution: instance norm refuses one
_SWIN_SIDES = 32
_MOST_VOXELS = 2**27
# Largest deviation of an exported network, as a share of the largest logit (at least 1).
TOLERANCE = 1e-4


@dataclass(frozen=True)
class PortableSegmentor:
    """`network`: [B, 1, *patch] -> logits [B, outputs, *patch], frozen. `facts`: see LoadedSegmentor."""

    path: str
    network: nn.Module
    facts: dict[str, Any]
    window_hu: tuple[float, float]
    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    overlap: float
    blend: str
    label_names: tuple[str, ...]
    region: str | None
    metadata: dict[str, Any]

    def example(self) -> Tensor:
        """Return a window of fixed noise in [0, 1], by which exports are traced and compared."""
        return torch.rand((1, 1, *self.patch), generator=torch.Generator().manual_seed(0))


def portable_segmentor(
    path: str, to: str, merging: str | None, weights: str | None, preparation: dict[str, Any] | None
) -> PortableSegmentor:
    """Load the segmentor of a file for the format `to`. `merging`, `weights`: see load_segmentor.

    `preparation`: windowHu, spacingMm, patchVoxels and labelNames for a file that does not state them, or None.
    Raises CheckpointError for a file without a segmentor, UsageError where a fact is missing.
    """
    _refuse_others(path, to, weights)
    loaded = load_segmentor(path, merging, torch.device("cpu"), weights)
    stated = {**(preparation or {}), **{key: value for key, value in loaded.metadata.items() if value is not None}}
    low, high = _numbers(path, stated, "windowHu", 2)
    spacing, patch = _numbers(path, stated, "spacingMm", 3), _numbers(path, stated, "patchVoxels", 3)
    if low >= high or min(spacing) <= 0:
        raise _not_stated(path, "windowHu or spacingMm")
    windows = _windows(loaded.metadata.get("windows"))
    return PortableSegmentor(
        path=path,
        network=plain_layers(loaded.network),
        facts=loaded.facts,
        window_hu=(low, high),
        spacing_mm=tuple(spacing),
        patch=_sides(path, patch, loaded.facts["kind"]),
        overlap=windows["overlap"],
        blend=windows["blend"],
        label_names=_names(stated.get("labelNames"), loaded.facts["outputs"]),
        region=stated.get("region") if isinstance(stated.get("region"), str) else None,
        metadata=loaded.metadata,
    )


def own_metadata(model: PortableSegmentor, about: dict[str, Any]) -> dict[str, Any]:
    """Return the `freetumor` entry for a copy of the weights: all that `predict` needs, with the licences."""
    licences = about.get("licences") or model.metadata.get("licences")
    return {
        **model.metadata,
        "version": METADATA_VERSION,
        "kind": "segmentor",
        "region": model.region,
        "windowHu": list(model.window_hu),
        "spacingMm": list(model.spacing_mm),
        "patchVoxels": list(model.patch),
        "labelNames": list(model.label_names),
        "windows": {"overlap": model.overlap, "blend": model.blend},
        "segmentor": {**model.metadata.get("segmentor", {}), **model.facts},
        **({"licences": licences} if licences else {}),
    }


def description(model: PortableSegmentor, about: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """Return the content of model.json: how to prepare a scan, and how to make its mask of the outputs.

    `network`: facts about the exported file itself.
    """
    tumors = model.facts["tumorOutputs"]
    kept = ("kind", "featureSize", "levels", "stages", "patchMerging", "mergingAssumed")
    return {
        "network": {**network, **{key: model.facts[key] for key in kept if key in model.facts}},
        "input": {
            "name": "image",
            "shape": [1, 1, *model.patch],
            "type": "float32",
            "axes": ["batch", "channel", "left-right", "back-front", "down-up"],
        },
        "output": {"name": "logits", "shape": [1, model.facts["outputs"], *model.patch], "type": "float32"},
        "labels": [
            {"output": at, "id": at, "name": name, "tumor": at in tumors} for at, name in enumerate(model.label_names)
        ],
        "preprocessing": {
            "units": "HU",
            "orientation": "RAS",
            "spacingMm": list(model.spacing_mm),
            "interpolation": "linear",
            "firstVoxel": "kept",
            "cropToForeground": {"aboveHu": model.window_hu[0]},
            "windowHu": list(model.window_hu),
            "scaledTo": [0, 1],
            "clipped": True,
        },
        "slidingWindows": {
            "patchVoxels": list(model.patch),
            "overlap": model.overlap,
            "blend": model.blend,
            "gaussianSigma": 0.125 if model.blend == "gaussian" else None,
            "padding": {"value": 0, "sides": "both, the larger half behind"},
            "averaged": "logits",
        },
        "postprocessing": {
            "decision": "argmax",
            "threshold": None,
            "backToScan": "nearest",
            "outsideCrop": 0,
        },
        "origin": about,
    }


def deviation_of(model: PortableSegmentor, what: str, run: Callable[[Tensor], Tensor]) -> float:
    """Return the largest difference between the logits of the export and of the checkpoint, on a window of noise.

    Raises CheckpointError beyond TOLERANCE.
    """
    image = model.example()
    with torch.no_grad():
        expected = model.network(image)
        found = run(image)
    if found.shape != expected.shape:
        raise CheckpointError(
            f"{model.path}: {what} has other outputs (expected {tuple(expected.shape)}, found {tuple(found.shape)})",
            "use another format, and report the kind of network",
        )
    deviation = float((found - expected).abs().max())
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not deviation <= allowed:
        raise CheckpointError(
            f"{model.path}: {what} differs from the checkpoint (expected at most {allowed:.1e}, found {deviation:.1e})",
            "use another format, and report the kind of network",
        )
    return deviation


def _refuse_others(path: str, to: str, weights: str | None) -> None:
    hint = "name the checkpoint of a baseline or segmentation training"
    if is_model_folder(path):
        raise CheckpointError(
            f"{path}: cannot be written as {to} (expected a file of weights, found an nnU-Net model folder)", hint
        )
    file = read_checkpoint(path, verify=False, weights=weights)
    if file.metadata.get("kind") == "synthesis" or file.part("netG"):
        raise CheckpointError(
            f"{path}: cannot be written as {to} (expected a segmentor, found a synthesis checkpoint)", hint
        )


def _numbers(path: str, stated: dict[str, Any], key: str, count: int) -> list[float]:
    value = stated.get(key)
    if not isinstance(value, Sequence) or len(value) != count or not all(_is_number(one) for one in value):
        raise _not_stated(path, key)
    return list(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _not_stated(path: str, what: str) -> UsageError:
    return UsageError(f"{path}: does not state its {what}", "pass --region")


def _sides(path: str, patch: Sequence[float], kind: str) -> tuple[int, ...]:
    sides = tuple(int(side) for side in patch)
    whole = all(side == one and side > 0 for side, one in zip(sides, patch, strict=True))
    if not whole or math.prod(sides) > _MOST_VOXELS:
        raise CheckpointError(
            f"{path}: wrong patchVoxels (expected at most {_MOST_VOXELS} voxels, found {patch})", "train again"
        )
    if kind == "swinunetr" and any(side % _SWIN_SIDES for side in sides):
        raise CheckpointError(
            f"{path}: wrong patchVoxels for a SwinUNETR (expected multiples of {_SWIN_SIDES}, found {patch})",
            "pass the --region that the weights were trained for",
        )
    return sides


def _windows(stated: Any) -> dict[str, Any]:
    if not isinstance(stated, dict):
        return _PUBLISHED_WINDOWS
    overlap, blend = stated.get("overlap"), stated.get("blend")
    if (
        isinstance(overlap, int | float)
        and _is_number(overlap)
        and 0 <= overlap < 1
        and blend in ("constant", "gaussian")
    ):
        return {"overlap": overlap, "blend": blend}
    return _PUBLISHED_WINDOWS


def _names(stated: Any, outputs: int) -> tuple[str, ...]:
    if isinstance(stated, list) and len(stated) == outputs and all(isinstance(name, str) for name in stated):
        return tuple(stated)
    published = {3: ("background", "organ", "tumor"), 2: ("background", "lesion")}
    return published.get(outputs, ("background", *(f"output {at}" for at in range(1, outputs))))
