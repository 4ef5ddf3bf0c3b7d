"""Write a `resenc` or `unet` as the model folder of an nnU-Net v2, which nnunetv2's predictor loads.

The plans state the intensity window as CTNormalization, and the reader that brings a scan to RAS axes. nnunetv2 then
computes the same inputs, except for the resampling: its grid starts at the edge of the scan, ours at the first voxel.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from freetumor_runtime.checkpoints.assumptions import segmentor_tensors
from freetumor_runtime.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint, sha256_of, write_checkpoint
from freetumor_runtime.checkpoints.families import family_of
from freetumor_runtime.checkpoints.loading import SWINUNETR_WIDEST, stated_facts, stated_kind, stated_segmentor
from freetumor_runtime.checkpoints.matching import refuse_incomplete
from freetumor_runtime.checkpoints.nnunet_folder import CHECKPOINT
from freetumor_runtime.checkpoints.nnunet_plans import (
    CONVOLUTION,
    NORM,
    NORM_KEYWORDS,
    REORIENTING_READER,
    RESAMPLING,
    UNETS,
    NnUNetPlans,
    parse_plans,
)
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.models.nnunet import (
    NNUNET_KINDS,
    Stage,
    blocks_keyword,
    default_decoder,
    is_alias,
    package_network,
)

_CONFIGURATION = "3d_fullres"
# nnunetv2 builds its predictor from these names
_TRAINER = "nnUNetTrainer"
_CLASSES = {"resenc": "ResidualEncoderUNet", "unet": "PlainConvUNet"}
_SEGMENTOR = "name the checkpoint of a baseline or segmentation training"


def export_nnunet(path: str, out: str, about: dict[str, Any], weights: str | None = None) -> dict[str, Any]:
    """Write plans.json, dataset.json and fold_0/checkpoint_final.pth into the folder `out`.

    `about`: plain values that dataset.json states under `freetumor`. `weights`: see read_checkpoint. Returns
    {kind, tensors, files: {name: sha256}}. Raises CheckpointError for other kinds of networks.
    """
    file = read_checkpoint(path, weights=weights)
    kind = _exportable_kind(file)
    facts, tensors = stated_facts(file), segmentor_tensors(file)
    refuse_incomplete(stated_segmentor(facts, path, tensors)[1])
    stages = _stages(facts)
    stated = {"plans.json": _plans(file, kind, stages), "dataset.json": _dataset(file, facts["outputs"], about)}
    texts = {name: json.dumps(content, indent=2) + "\n" for name, content in stated.items()}
    # as read from the files: readers of pickles refuse a list that occurs twice
    plans, dataset = (json.loads(text) for text in texts.values())
    content = {
        "network_weights": _package_weights(kind, stages, facts["outputs"], tensors),
        "optimizer_state": None,
        "grad_scaler_state": None,
        "logging": {},
        "_best_ema": None,
        "current_epoch": 0,
        "init_args": {"plans": plans, "configuration": _CONFIGURATION, "fold": 0, "dataset_json": dataset},
        "trainer_name": _TRAINER,
        # predict does not mirror unless asked
        "inference_allowed_mirroring_axes": None,
    }
    folder = Path(out)
    fold = Path("fold_0") / CHECKPOINT
    (folder / fold).parent.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_checkpoint(str(folder / fold), content)
    names = (*texts, str(fold))
    return {"kind": kind, "tensors": len(tensors), "files": {name: sha256_of(str(folder / name)) for name in names}}


def checkpoint_plans(path: str, weights: str | None = None) -> NnUNetPlans:
    """Return the plans with which a checkpoint would be exported. Raise CheckpointError for other kinds of networks."""
    file = read_checkpoint(path, verify=False, weights=weights)
    kind = _exportable_kind(file)
    facts = stated_facts(file)
    return parse_plans(
        path, _plans(file, kind, _stages(facts)), path, _dataset(file, facts["outputs"], {}), _CONFIGURATION
    )


def _stages(facts: dict[str, Any]) -> list[Stage]:
    return [
        Stage(stage["features"], tuple(stage["kernel"]), tuple(stage["stride"]), stage["blocks"])
        for stage in facts["stages"]
    ]


def _exportable_kind(file: CheckpointFile) -> str:
    kind = stated_kind(file)
    if kind in NNUNET_KINDS and file.metadata.get("kind") == "segmentor":
        return kind
    found = kind or ("swinunetr" if SWINUNETR_WIDEST in file.tensors else family_of(file.tensors)) or "other tensors"
    hint = "train with networks.segmentor.kind: resenc or unet"
    if file.metadata.get("kind") == "synthesis":
        found, hint = "a synthesis checkpoint", _SEGMENTOR
    raise CheckpointError(
        f"{file.path}: cannot be written as an nnU-Net model (expected {' or '.join(NNUNET_KINDS)}, found {found})",
        hint,
    )


def _package_weights(kind: str, stages: list[Stage], outputs: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under all keys of the package, which nnunetv2 loads strictly. Aliases share their memory."""
    network = package_network(kind, stages, 1, outputs)
    result = network.load_state_dict(tensors, strict=False)
    assert not result.unexpected_keys and all(is_alias(key) for key in result.missing_keys)
    return dict(network.state_dict())


def _plans(file: CheckpointFile, kind: str, stages: list[Stage]) -> dict[str, Any]:
    low, high = _numbers(file, "windowHu", 2)
    spacing, patch = _numbers(file, "spacingMm", 3), [int(side) for side in _numbers(file, "patchVoxels", 3)]
    if low >= high or min(spacing) <= 0 or min(patch) <= 0:
        raise _not_stated(file, "windowHu, spacingMm or patchVoxels")
    return {
        "dataset_name": "freetumor",
        "plans_name": "freetumor",
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": patch,
        "image_reader_writer": REORIENTING_READER,
        # nnU-Net reads slices, rows, columns; the network expects left-right, front-back, down-up
        "transpose_forward": [2, 1, 0],
        "transpose_backward": [2, 1, 0],
        "configurations": {_CONFIGURATION: _configuration(kind, stages, spacing, patch)},
        "experiment_planner_used": "freetumor",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": _window(low, high)},
    }


def _configuration(kind: str, stages: list[Stage], spacing: list[float], patch: list[int]) -> dict[str, Any]:
    linear = {
        f"resampling_fn_{what}{suffix}": value
        for what in ("data", "seg", "probabilities")
        for suffix, value in (
            ("", RESAMPLING),
            ("_kwargs", {"is_seg": what == "seg", "order": 1, "order_z": 0, "force_separate_z": False}),
        )
    }
    keywords = {
        "n_stages": len(stages),
        "features_per_stage": [stage.features for stage in stages],
        "conv_op": CONVOLUTION,
        "kernel_sizes": [list(stage.kernel) for stage in stages],
        "strides": [list(stage.stride) for stage in stages],
        blocks_keyword(kind): [stage.blocks for stage in stages],
        "n_conv_per_stage_decoder": default_decoder(kind, stages),
        "conv_bias": True,
        "norm_op": NORM,
        "norm_op_kwargs": NORM_KEYWORDS,
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "data_identifier": f"freetumor_{_CONFIGURATION}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": patch,
        "spacing": spacing,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        **linear,
        "architecture": {
            "network_class_name": f"{UNETS}.{_CLASSES[kind]}",
            "arch_kwargs": keywords,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }


def _window(low: float, high: float) -> dict[str, float]:
    """State an intensity window as CTNormalization: clip to it, subtract its lower end, divide by its width."""
    middle = (low + high) / 2
    numbers = {"mean": low, "std": high - low, "median": middle, "min": low, "max": high}
    return {**numbers, "percentile_00_5": low, "percentile_99_5": high}


def _dataset(file: CheckpointFile, outputs: int, about: dict[str, Any]) -> dict[str, Any]:
    names = file.metadata.get("labelNames")
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) != outputs
        or len(names) != outputs
        or names[0] != "background"
    ):
        raise _not_stated(file, "labelNames")
    return {
        "channel_names": {"0": "CT"},
        "labels": {name: at for at, name in enumerate(names)},
        "numTraining": 0,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": REORIENTING_READER,
        "freetumor": about,
    }


def _numbers(file: CheckpointFile, key: str, count: int) -> list[float]:
    value: Any = file.metadata.get(key)
    if not isinstance(value, Sequence) or len(value) != count or not all(_is_number(one) for one in value):
        raise _not_stated(file, key)
    return list(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _not_stated(file: CheckpointFile, what: str) -> CheckpointError:
    return CheckpointError(f"{file.path}: its metadata does not state {what}", _SEGMENTOR)
