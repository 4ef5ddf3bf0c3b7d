"""Facts about an nnU-Net model folder, in the form of inspection.inspect_checkpoint."""

import re
from collections import Counter
from typing import Any

import torch

from freetumor_runtime.checkpoints.archive import regular_file_bytes
from freetumor_runtime.checkpoints.checkpoint_file import METADATA_VERSION
from freetumor_runtime.checkpoints.nnunet_folder import (
    FoldFile,
    NnUNetFolder,
    imagined_match,
    model_sha256,
    read_folder,
)
from freetumor_runtime.checkpoints.nnunet_plans import NnUNetPlans

_TUMOR = re.compile(r"tumou?r|lesion|cancer|carcinoma|metasta|nodule", re.IGNORECASE)
# nnunetv2 predicts with these
_WINDOWS = {"overlap": 0.5, "blend": "gaussian"}
# without CTNormalization, intensities are not clipped
_ALL_HU = (-1024.0, 3071.0)


def inspect_model_folder(path: str) -> dict[str, Any]:
    """Return the facts about a folder as plain values, one network for each fold. Errors: see read_folder.

    `metadata` states the origin that an export of freetumor states, and what a file of ours would state: spacingMm,
    patchVoxels and mirrorAxes along the axes of a scan's file (of RAS axes, if the model reorients scans), windowHu
    (the clipping range of CTNormalization), labelNames, and the sliding windows of nnunetv2.
    """
    folder = read_folder(path)
    origin = folder.plans.origin
    first, tensors = folder.folds[0], [one for fold in folder.folds for one in fold.tensors.values()]
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
    return {
        "path": path,
        "format": "nnunet",
        "kind": "segmentor",
        "networks": [_described(folder.plans, fold) for fold in folder.folds],
        "patchMerging": {"order": None, "assumed": False, "needed": False},
        "channelMode": {"mode": None, "assumed": False, "untouchedOutputs": []},
        "wrapper": "network_weights",
        "prefixes": [],
        "renamed": {},
        "skipped": [],
        "epoch": first.epoch,
        "training": {"trainer": first.trainer, "configuration": first.configuration},
        "metadata": {**origin, **_metadata(folder)},
        "tensors": {
            "count": len(tensors),
            "values": sum(tensor.numel() for tensor in tensors),
            "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            "dtypes": dict(dtypes.most_common()),
            "shapes": {key: list(tensor.shape) for key, tensor in first.tensors.items()},
        },
        "bytes": sum(regular_file_bytes(fold.path) for fold in folder.folds),
        "sha256": model_sha256(path),
        "verifiedBy": "crc32",
    }


def along_scan(plans: NnUNetPlans, values: tuple[Any, ...]) -> list[Any]:
    """Return values of the transposed axes along the axes of the scan's file."""
    of_array = [values[plans.transpose.index(axis)] for axis in range(3)]
    return of_array[::-1]


def scan_axis(plans: NnUNetPlans, axis: int) -> int:
    """Return the axis of the scan's file that a transposed axis is."""
    return 2 - plans.transpose[axis]


def tumor_outputs_of(plans: NnUNetPlans) -> tuple[int, ...]:
    """Return the outputs whose labels are named after a tumor."""
    return tuple(at for at, name in enumerate(plans.label_names) if _TUMOR.search(name))


def _described(plans: NnUNetPlans, fold: FoldFile) -> dict[str, Any]:
    report = imagined_match(plans, fold)
    outputs = len(plans.label_names)
    return {
        "name": fold.path.split("/")[-2],
        "architecture": plans.kind,
        "width": plans.stages[0].features,
        "outputs": outputs,
        "tumorOutputs": list(tumor_outputs_of(plans)),
        "family": None,
        "causes": list(report.causes),
        "matched": len(report.matched),
        "missing": len(report.missing),
        "unexpected": len(report.unexpected),
        "missingKeys": list(report.missing),
        "unexpectedKeys": list(report.unexpected),
        "otherShapes": [
            {"key": key, "shape": list(found), "expected": list(wanted)} for key, found, wanted in report.mismatched
        ],
        "against": {},
        "notFinite": sorted(key for key, one in fold.tensors.items() if not bool(torch.isfinite(one).all())),
    }


def _metadata(folder: NnUNetFolder) -> dict[str, Any]:
    plans = folder.plans
    rule = plans.normalization
    return {
        "version": METADATA_VERSION,
        "kind": "nnunet",
        "configuration": plans.configuration,
        "folds": len(folder.folds),
        "normalization": rule.scheme,
        "windowHu": list(rule.clip if rule.scheme == "CTNormalization" else _ALL_HU),
        "spacingMm": along_scan(plans, plans.spacing_mm),
        "patchVoxels": along_scan(plans, plans.patch),
        "labelNames": list(plans.label_names),
        "windows": {**_WINDOWS, "mirrorAxes": sorted(scan_axis(plans, axis) for axis in folder.folds[0].mirror_axes)},
    }
