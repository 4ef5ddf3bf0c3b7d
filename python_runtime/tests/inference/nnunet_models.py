"""Model folders of nnU-Net with weights by formula, and the scans that they segment.

    python tests/inference/nnunet_models.py FOLDER

writes them; with nnunetv2 installed (`pip install nnunetv2==2.8.1`), it also writes `nnunet_masks.npz`, its own masks.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from scipy.ndimage import gaussian_filter

MASKS = Path(__file__).with_name("nnunet_masks.npz")
ISOTROPIC = {"kernel_sizes": [[3, 3, 3]] * 3, "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
ANISOTROPIC = {"kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]]}
FEATURES = [4, 8, 8]


@dataclass(frozen=True)
class Model:
    """`spacing`, `patch` and `mirror` of the transposed array; `scan` and `voxel` along the axes of the file."""

    residual: bool
    spacing: Sequence[float]
    patch: Sequence[int]
    scan: Sequence[int]
    voxel: Sequence[float]
    shape: dict[str, Any] = field(default_factory=lambda: ISOTROPIC)
    configuration: str = "3d_fullres"
    folds: int = 1
    mirror: Sequence[int] | None = (0, 1, 2)
    transpose: Sequence[int] = (0, 1, 2)
    normalization: str = "CTNormalization"
    flipped: bool = False


MODELS = {
    "isotropic": Model(True, [1.5] * 3, [16, 16, 16], (30, 26, 22), (1.2, 1.2, 1.6)),
    "slices resampled separately": Model(
        False, [5.0, 1.0, 1.0], [8, 16, 16], (28, 30, 8), (0.8, 0.8, 6.0), shape=ANISOTROPIC
    ),
    "only the plans are anisotropic": Model(
        True, [4.0, 1.0, 1.0], [8, 16, 16], (26, 30, 16), (1.1, 1.1, 2.5), shape=ANISOTROPIC
    ),
    "low resolution": Model(
        False, [2.5] * 3, [16, 8, 8], (40, 34, 28), (1.5, 1.5, 1.5), configuration="3d_lowres", flipped=True
    ),
    "five folds": Model(True, [1.5] * 3, [8, 16, 16], (24, 24, 16), (1.3, 1.3, 1.7), folds=5),
    "not mirrored": Model(False, [1.5] * 3, [16, 16, 16], (28, 24, 20), (1.1, 1.1, 1.4), mirror=None),
    "transposed": Model(
        False,
        [5.0, 1.0, 1.2],
        [8, 16, 16],
        (26, 9, 24),
        (1.1, 5.5, 1.0),
        shape=ANISOTROPIC,
        mirror=(1, 2),
        transpose=(1, 0, 2),
    ),
    "smaller than a patch": Model(
        True, [1.5] * 3, [16, 32, 32], (30, 26, 14), (1.5, 1.5, 1.5), normalization="ZScoreNormalization"
    ),
}


def plans_of(model: Model) -> dict[str, Any]:
    keywords = {
        "n_stages": 3,
        "features_per_stage": FEATURES,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        **model.shape,
        "n_blocks_per_stage" if model.residual else "n_conv_per_stage": [1, 2, 2] if model.residual else [2, 2, 2],
        "n_conv_per_stage_decoder": [1, 1] if model.residual else [2, 2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    name = "ResidualEncoderUNet" if model.residual else "PlainConvUNet"
    resampling = {
        f"resampling_fn_{what}{suffix}": value
        for what, order in (("data", 3), ("seg", 1), ("probabilities", 1))
        for suffix, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": what == "seg", "order": order, "order_z": 0, "force_separate_z": None}),
        )
    }
    configuration = {
        "data_identifier": "made",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(model.patch),
        "median_image_size_in_voxels": [40, 40, 40],
        "spacing": list(model.spacing),
        "normalization_schemes": [model.normalization],
        "use_mask_for_norm": [model.normalization == "ZScoreNormalization"],
        **resampling,
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": keywords,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    properties = {"mean": 20.5, "median": 3.0, "std": 120.0, "min": -900.0, "max": 900.0}
    percentiles = {"percentile_00_5": -300.0, "percentile_99_5": 310.0}
    plans = {
        "dataset_name": "Dataset001_Made",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(model.spacing),
        "original_median_shape_after_transp": [40, 40, 40],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(model.transpose),
        "transpose_backward": np.argsort(model.transpose).tolist(),
        "configurations": {model.configuration: configuration},
        "experiment_planner_used": "made",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {**properties, **percentiles}},
    }
    # as read from a file: no list occurs twice
    return json.loads(json.dumps(plans))


DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "liver tumor": 2},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


def weights_of(model: Model, seed: int) -> dict[str, torch.Tensor]:
    """Return the state dict as nnU-Net saves it: most weights under several keys."""
    keywords = plans_of(model)["configurations"][model.configuration]["architecture"]["arch_kwargs"]
    operations = {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    network = (ResidualEncoderUNet if model.residual else PlainConvUNet)(
        input_channels=1, num_classes=3, deep_supervision=False, **{**keywords, **operations}
    )
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            fan_in = max(1, weight[0].numel())
            sharp = 8.0 if name.startswith("decoder.seg_layers") else 1.0
            values = rng.normal(size=tuple(weight.shape)) * (sharp * (2 / fan_in) ** 0.5 if weight.ndim > 1 else 0.3)
            shift = 1.0 if weight.ndim == 1 and name.endswith("norm.weight") else 0.0
            if sharp > 1:
                # all features rise and fall together: without this, one class would win everywhere
                values = values - values.mean(1, keepdims=True) if weight.ndim > 1 else values * 0
            weight.copy_(torch.from_numpy(values + shift))
    return network.state_dict()


def write_model(folder: Path, model: Model, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    plans = plans_of(model)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(DATASET))
    for fold in range(model.folds):
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        log = {
            "mean_fg_dice": [np.float64(epoch) for epoch in range(30)],
            "train_losses": [np.float32(epoch) for epoch in range(30)],
            "dice_per_class_or_region": [[np.float64(0.1), np.float64(0.2)] for _ in range(30)],
            "lrs": [0.01] * 30,
        }
        arguments = {"configuration": model.configuration, "fold": fold, "device": torch.device("cpu")}
        content = {
            "network_weights": weights_of(model, 10 * seed + fold),
            "optimizer_state": {"state": {}, "param_groups": []},
            "grad_scaler_state": None,
            "logging": log,
            "_best_ema": np.float64(0.5),
            "current_epoch": 30,
            "init_args": {**arguments, "plans": plans_of(model), "dataset_json": json.loads(json.dumps(DATASET))},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": model.mirror,
        }
        torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def scan_of(model: Model, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return smooth noise in HU, int16 with zeros at two faces, and its affine."""
    noise = np.random.default_rng(100 + seed).normal(size=model.scan)
    smooth = gaussian_filter(noise, [3 / side for side in model.voxel])
    image = np.round(smooth / smooth.std() * 150).astype(np.int16)
    image[:2], image[:, -3:] = 0, 0
    affine = np.diag([*model.voxel, 1.0])
    if model.flipped:
        affine[0, 0] *= -1
        affine[1, 1] *= -1
    return image, affine


def write_scan(path: Path, model: Model, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image, affine = scan_of(model, seed)
    nibabel.save(nibabel.Nifti1Image(image, affine), path)


def main(folder: Path) -> None:
    try:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    except ImportError:
        nnUNetPredictor = None
    torch.set_num_threads(1)
    masks = {}
    for seed, (name, model) in enumerate(MODELS.items()):
        own = folder / name.replace(" ", "-")
        write_model(own / "model", model, seed)
        scan = own / "images" / "case_0000.nii.gz"
        write_scan(scan, model, seed)
        if nnUNetPredictor is None:
            continue
        predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(own / "model"), tuple(range(model.folds)))
        predictor.predict_from_files_sequential([[str(scan)]], [str(own / "nnunetv2")])
        masks[name] = np.asarray(nibabel.load(own / "nnunetv2.nii.gz").dataobj).astype(np.uint8)
        print(name, np.bincount(masks[name].ravel(), minlength=3))
    if masks:
        np.savez_compressed(MASKS, **masks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
