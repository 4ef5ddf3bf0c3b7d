"""What the `plans.json` and `dataset.json` of an nnU-Net model folder state, checked before anything is built from it.

Names in these files select from fixed lists; nothing that a file names is imported.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.foreign_text import read_json
from freetumor_runtime.models.nnunet import Stage

UNETS = "dynamic_network_architectures.architectures.unet"
_CLASSES = {
    f"{UNETS}.ResidualEncoderUNet": "resenc",
    f"{UNETS}.PlainConvUNet": "unet",
    "ResidualEncoderUNet": "resenc",
    "PlainConvUNet": "unet",
}
_NORMALIZATIONS = ("CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization", "NoNormalization")
# the reader that brings a scan to RAS axes first
REORIENTING_READER = "NibabelIOWithReorient"
_READERS = ("SimpleITKIO", "NibabelIO", REORIENTING_READER)
RESAMPLING = "resample_data_or_seg_to_shape"
_ACTIVATIONS = {"torch.nn.LeakyReLU": "LeakyReLU", "torch.nn.ReLU": "ReLU"}
CONVOLUTION = "torch.nn.modules.conv.Conv3d"
NORM = "torch.nn.modules.instancenorm.InstanceNorm3d"
NORM_KEYWORDS = {"eps": 1e-5, "affine": True}
_INHERITED = 5
_STAGES, _FEATURES, _BLOCKS = range(2, 11), range(1, 1025), range(1, 17)
_SIDES, _MOST_PATCH_VOXELS = range(8, 1025), 2**26
_MOST_OUTPUTS = 256
_SPACING_MM = (0.05, 100.0)
_HINT = "`freetumor checkpoint inspect` reads 3d_fullres and 3d_lowres models of nnU-Net v2"


@dataclass(frozen=True)
class Resampling:
    """Spline orders; the axis of the slices has one of its own if it is resampled separately (None: nnU-Net's rule)."""

    order: int
    order_z: int
    separate_z: bool | None


@dataclass(frozen=True)
class Normalization:
    """`scheme` is one of nnU-Net's classes; `clip`, `mean` and `deviation` in HU are those of CTNormalization."""

    scheme: str
    in_mask: bool
    clip: tuple[float, float]
    mean: float
    deviation: float


@dataclass(frozen=True)
class NnUNetPlans:
    """One configuration of a model. Axes are those of the transposed array: `transpose` of (slices, rows, columns).

    With `reorients`, slices, rows and columns are those of the scan in RAS axes, else those of its file.
    """

    configuration: str
    kind: str
    stages: tuple[Stage, ...]
    decoder_convolutions: tuple[int, ...]
    activation: str
    patch: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    transpose: tuple[int, ...]
    reorients: bool
    normalization: Normalization
    image_resampling: Resampling
    logit_resampling: Resampling
    label_names: tuple[str, ...]
    # plain values that an export of freetumor states in dataset.json
    origin: dict[str, Any]


def read_plans(folder: str, configuration: str) -> NnUNetPlans:
    """Return the plans of a configuration. Raise CheckpointError that names the file and the fault."""
    where, labels = f"{folder}/plans.json", f"{folder}/dataset.json"
    return parse_plans(where, _json(where), labels, _json(labels), configuration)


def parse_plans(where: str, stated_plans: Any, where_labels: str, dataset: Any, configuration: str) -> NnUNetPlans:
    """Return the plans of a configuration from parsed JSON; `where` and `where_labels` name its files in errors."""
    plans = _mapping(where, "content", stated_plans)
    own = _configuration(where, plans, configuration)
    if own.get("previous_stage") or own.get("previous_stage_name"):
        raise _unsupported(where, f"configuration {configuration} is a cascade", "3d_fullres or 3d_lowres")
    patch = _numbers(where, "patch_size", own.get("patch_size"), int)
    if len(patch) == 2:
        raise _unsupported(where, f"configuration {configuration} is 2-D", "3d_fullres or 3d_lowres")
    if len(patch) != 3 or any(side not in _SIDES for side in patch) or math.prod(patch) > _MOST_PATCH_VOXELS:
        raise _wrong(where, "patch_size", f"3 sides of {_SIDES[0]} to {_SIDES[-1]} voxels", list(patch))
    spacing = _numbers(where, "spacing", own.get("spacing"), float)
    low, high = _SPACING_MM
    if len(spacing) != 3 or not all(low <= side <= high for side in spacing):
        raise _wrong(where, "spacing", f"3 numbers from {low} to {high} mm", list(spacing))
    transpose = _numbers(where, "transpose_forward", plans.get("transpose_forward"), int)
    if sorted(transpose) != [0, 1, 2]:
        raise _wrong(where, "transpose_forward", "an order of 0, 1, 2", list(transpose))
    reader = _one_of(where, "image_reader_writer", plans.get("image_reader_writer"), _READERS)
    kind, stages, decoder, activation = _architecture(where, own, patch)
    return NnUNetPlans(
        configuration=configuration,
        kind=kind,
        stages=stages,
        decoder_convolutions=decoder,
        activation=activation,
        patch=patch,
        spacing_mm=spacing,
        transpose=transpose,
        reorients=reader == REORIENTING_READER,
        normalization=_normalization(where, plans, own),
        image_resampling=_resampling(where, own, "data"),
        logit_resampling=_resampling(where, own, "probabilities"),
        label_names=_labels(where_labels, dataset),
        origin=_origin(where_labels, dataset),
    )


def _json(path: str) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: file not found", "name the folder that holds plans.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: no readable JSON: {error}"[:500], "get the model again") from error


def _configuration(where: str, plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the keys of a configuration over those that it inherits."""
    every = _mapping(where, "configurations", plans.get("configurations"))
    layers: list[Mapping[str, Any]] = []
    wanted: Any = name
    while wanted is not None:
        if not isinstance(wanted, str) or wanted not in every or len(layers) == _INHERITED:
            raise _wrong(where, "configurations", f"{wanted!r}", list(every)[:10])
        layers.append(_mapping(where, f"configurations.{wanted}", every[wanted]))
        wanted = layers[-1].get("inherits_from")
    found: dict[str, Any] = {}
    for layer in reversed(layers):
        found |= layer
    return found


def _architecture(
    where: str, own: Mapping[str, Any], patch: Sequence[int]
) -> tuple[str, tuple[Stage, ...], tuple[int, ...], str]:
    if "architecture" in own:
        stated = _mapping(where, "architecture", own["architecture"])
        name = stated.get("network_class_name")
        keywords = _mapping(where, "arch_kwargs", stated.get("arch_kwargs"))
    else:
        name, keywords = own.get("UNet_class_name"), _keywords_before_2_5(where, own)
    kind = _CLASSES[_one_of(where, "network_class_name", name, tuple(_CLASSES))]
    _one_of(where, "conv_op", keywords.get("conv_op"), (CONVOLUTION,))
    _one_of(where, "norm_op", keywords.get("norm_op"), (NORM,))
    if keywords.get("norm_op_kwargs") != NORM_KEYWORDS or keywords.get("conv_bias") is not True:
        raise _unsupported(where, "other norm_op_kwargs or conv_bias", "nnU-Net's own")
    if keywords.get("dropout_op") is not None or keywords.get("nonlin_first"):
        raise _unsupported(where, "dropout_op or nonlin_first", "nnU-Net's own blocks")
    activation = _ACTIVATIONS[_one_of(where, "nonlin", keywords.get("nonlin"), tuple(_ACTIVATIONS))]
    if keywords.get("nonlin_kwargs") not in ({"inplace": True}, None):
        raise _unsupported(where, "other nonlin_kwargs", "inplace: true")
    count = keywords.get("n_stages")
    if type(count) is not int or count not in _STAGES:
        raise _wrong(where, "n_stages", f"{_STAGES[0]} to {_STAGES[-1]}", count)
    features = _whole(where, "features_per_stage", keywords, count, _FEATURES)
    blocks = _whole(where, "n_blocks_per_stage" if kind == "resenc" else "n_conv_per_stage", keywords, count, _BLOCKS)
    decoder = _whole(where, "n_conv_per_stage_decoder", keywords, count - 1, _BLOCKS)
    kernels = _sides(where, "kernel_sizes", keywords.get("kernel_sizes"), count, (1, 3, 5))
    strides = _sides(where, "strides", keywords.get("strides"), count, (1, 2))
    for side, *steps in zip(patch, *strides, strict=True):
        if side % math.prod(steps):
            raise _wrong(where, "patch_size", f"sides divisible by the strides ({math.prod(steps)})", list(patch))
    stages = zip(features, kernels, strides, blocks, strict=True)
    return kind, tuple(Stage(*stage) for stage in stages), decoder, activation


def _keywords_before_2_5(where: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a network from the keys that plans had before nnU-Net 2.5."""
    strides = own.get("pool_op_kernel_sizes")
    count = len(strides) if isinstance(strides, list) else 0
    base, most = own.get("UNet_base_num_features"), own.get("unet_max_num_features")
    if count not in _STAGES or type(base) is not int or type(most) is not int:
        raise _wrong(where, "architecture", "network_class_name and arch_kwargs", "neither")
    blocks = own.get("n_conv_per_stage_encoder")
    return {
        "n_stages": count,
        "features_per_stage": [min(most, base * 2**at) for at in range(count)],
        "conv_op": CONVOLUTION,
        "kernel_sizes": own.get("conv_kernel_sizes"),
        "strides": strides,
        "n_blocks_per_stage": blocks,
        "n_conv_per_stage": blocks,
        "n_conv_per_stage_decoder": own.get("n_conv_per_stage_decoder"),
        "conv_bias": True,
        "norm_op": NORM,
        "norm_op_kwargs": NORM_KEYWORDS,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _normalization(where: str, plans: Mapping[str, Any], own: Mapping[str, Any]) -> Normalization:
    schemes, masked = own.get("normalization_schemes"), own.get("use_mask_for_norm")
    if not isinstance(schemes, list) or not isinstance(masked, list) or len(schemes) != 1 or len(masked) != 1:
        raise _wrong(where, "normalization_schemes", "one image channel", schemes)
    scheme = _one_of(where, "normalization_schemes", schemes[0], _NORMALIZATIONS)
    if scheme != "CTNormalization":
        return Normalization(scheme, masked[0] is True, (-math.inf, math.inf), 0.0, 1.0)
    channels = _mapping(
        where, "foreground_intensity_properties", plans.get("foreground_intensity_properties_per_channel")
    )
    stated = _mapping(where, "foreground_intensity_properties", channels.get("0"))
    names = ("percentile_00_5", "percentile_99_5", "mean", "std")
    low, high, mean, deviation = (_number(where, name, stated.get(name)) for name in names)
    if low >= high or deviation < 0:
        raise _wrong(
            where, "foreground_intensity_properties", "rising percentiles and std >= 0", [low, high, deviation]
        )
    return Normalization(scheme, False, (low, high), mean, deviation)


def _resampling(where: str, own: Mapping[str, Any], what: str) -> Resampling:
    key = f"resampling_fn_{what}"
    _one_of(where, key, own.get(key), (RESAMPLING,))
    stated = _mapping(where, f"{key}_kwargs", own.get(f"{key}_kwargs"))
    order, order_z = stated.get("order", 3), stated.get("order_z", 0)
    separate = stated.get("force_separate_z", False)
    if not all(type(one) is int and 0 <= one <= 5 for one in (order, order_z)) or stated.get("is_seg"):
        raise _wrong(where, f"{key}_kwargs", "order and order_z from 0 to 5, is_seg: false", dict(stated))
    if separate not in (None, True, False) or set(stated) - {"is_seg", "order", "order_z", "force_separate_z"}:
        raise _wrong(where, f"{key}_kwargs", "order, order_z and force_separate_z", dict(stated))
    return Resampling(order, order_z, separate)


def _labels(where: str, dataset: Any) -> tuple[str, ...]:
    """Return the name of each output: the labels in the order of their ids, without `ignore`."""
    content = _mapping(where, "content", dataset)
    channels = content.get("channel_names", content.get("modality"))
    if not isinstance(channels, dict) or len(channels) != 1:
        raise _wrong(where, "channel_names", "one channel", channels)
    labels = _mapping(where, "labels", content.get("labels"))
    if any(isinstance(ids, list) for name, ids in labels.items() if name != "ignore" and isinstance(ids, list)):
        raise _unsupported(where, "region-based labels", "one id for each label")
    ids = {name: one for name, one in labels.items() if name != "ignore"}
    if not all(type(one) is int for one in ids.values()) or sorted(ids.values()) != list(range(len(ids))):
        raise _wrong(where, "labels", "ids 0, 1, 2, ...", list(ids.values())[:10])
    if not 2 <= len(ids) <= _MOST_OUTPUTS:
        raise _wrong(where, "labels", f"2 to {_MOST_OUTPUTS} labels", len(ids))
    return tuple(sorted(ids, key=lambda name: ids[name]))


def _origin(where: str, dataset: Any) -> dict[str, Any]:
    stated = _mapping(where, "content", dataset).get("freetumor")
    return dict(stated) if isinstance(stated, dict) else {}


def _whole(where: str, key: str, keywords: Mapping[str, Any], count: int, allowed: range) -> tuple[int, ...]:
    value = keywords.get(key)
    # one number stands for all resolutions
    numbers = [value] * count if type(value) is int else value
    fits = isinstance(numbers, list) and all(type(one) is int and one in allowed for one in numbers)
    if not isinstance(numbers, list) or not fits or len(numbers) != count:
        raise _wrong(where, key, f"{count} numbers from {allowed[0]} to {allowed[-1]}", value)
    return tuple(numbers)


def _sides(where: str, key: str, value: Any, count: int, allowed: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    fits = isinstance(value, list) and len(value) == count
    if not fits or not all(
        isinstance(sides, list) and len(sides) == 3 and all(type(one) is int and one in allowed for one in sides)
        for sides in value
    ):
        raise _wrong(where, key, f"{count} times 3 numbers of {', '.join(map(str, allowed))}", value)
    return tuple(tuple(sides) for sides in value)


def _numbers(where: str, key: str, value: Any, kind: type) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > 3:
        raise _wrong(where, key, "3 numbers", value)
    if kind is int and not all(type(one) is int for one in value):
        raise _wrong(where, key, "3 whole numbers", value)
    return tuple(_number(where, key, one) if kind is float else one for one in value)


def _number(where: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(where, key, "a finite number", value)
    return float(value)


def _mapping(where: str, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, key, "a mapping", value)
    return value


def _one_of(where: str, key: str, value: Any, allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise _unsupported(where, f"{key} {_shown(value)}", " or ".join(allowed))
    return value


def _wrong(where: str, key: str, expected: str, found: Any) -> CheckpointError:
    return CheckpointError(f"{where}: wrong {key} (expected {expected}, found {_shown(found)})", _HINT)


def _unsupported(where: str, found: str, expected: str) -> CheckpointError:
    return CheckpointError(f"{where}: {found} is not supported (expected {expected})", _HINT)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."


def is_model_folder(path: str) -> bool:
    """Return whether a path is a folder with the plans of an nnU-Net model."""
    return (Path(path) / "plans.json").is_file() and (Path(path) / "dataset.json").is_file()
