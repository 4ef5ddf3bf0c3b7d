"""Read the model folder of an nnU-Net: `plans.json`, `dataset.json` and `fold_*/checkpoint_final.pth`.

Every file is untrusted: JSON and pickles are bounded, and the network is one of a fixed list (nnunet_plans).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.checkpoint_file import check_tensor, load_content, sha256_of, verified
from freetumor_runtime.checkpoints.matching import MatchReport, match, refuse_incomplete
from freetumor_runtime.checkpoints.nnunet_plans import NnUNetPlans, read_plans
from freetumor_runtime.checkpoints.pickle_scan import PickleLimits
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.models.nnunet import NnUNet, build_nnunet, is_alias
from freetumor_runtime.models.segmentor import freeze

CHECKPOINT = "checkpoint_final.pth"
_MOST_FOLDS = 20
# Each fold holds lists of numbers by epoch, with about 18 operations and 70 bytes a number: 4,000 epochs of 30 numbers.
_LIMITS = PickleLimits(bytes=16 * 2**20, operations=2_500_000, unfolded=2_500_000)


@dataclass(frozen=True)
class FoldFile:
    """Weights of one fold, mapped from its file; `mirror_axes` of the transposed array."""

    path: str
    tensors: dict[str, Tensor]
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    epoch: int | None


@dataclass(frozen=True)
class NnUNetFolder:
    path: str
    plans: NnUNetPlans
    folds: tuple[FoldFile, ...]


def read_folder(path: str, verify: bool = True) -> NnUNetFolder:
    """Read all folds of a folder. Raise CheckpointError that names the file and the fault.

    `verify` (default on) also compares each file of weights with its checksums.
    """
    files = fold_files(path)
    folds = tuple(_read_fold(str(file), verify) for file in files)
    first = folds[0]
    for fold in folds[1:]:
        for what in ("configuration", "trainer", "mirror_axes"):
            found, wanted = getattr(fold, what), getattr(first, what)
            if found != wanted:
                raise CheckpointError(
                    f"{fold.path}: cannot join {first.path}: wrong {what} (expected {wanted}, found {found})",
                    "keep the folds of one training in a folder",
                )
    return NnUNetFolder(path, read_plans(path, first.configuration), folds)


def fold_files(path: str) -> list[Path]:
    """Return the files of weights, by fold. Raise CheckpointError if there is none, or a fold has no final one."""
    folders = sorted(folder for folder in Path(path).glob("fold_*") if folder.is_dir())
    if not 1 <= len(folders) <= _MOST_FOLDS:
        raise CheckpointError(
            f"{path}: wrong number of folds (expected 1 to {_MOST_FOLDS} folders fold_*, found {len(folders)})",
            "copy the folders fold_* next to plans.json",
        )
    for folder in folders:
        if not (folder / CHECKPOINT).is_file():
            raise CheckpointError(
                f"{folder / CHECKPOINT}: file not found", f"finish the training of {folder.name}, or remove the folder"
            )
    return [folder / CHECKPOINT for folder in folders]


def load_folds(folder: NnUNetFolder, device: torch.device) -> list[NnUNet]:
    """Return one frozen network for each fold; all keys must match."""
    networks = []
    for fold in folder.folds:
        # the files only claim this size, so compare before memory is allocated
        refuse_incomplete(imagined_match(folder.plans, fold))
        network = _build(folder.plans)
        network.load_state_dict(fold.tensors, strict=True)
        freeze(network)
        networks.append(network.to(device))
    return networks


def imagined_match(plans: NnUNetPlans, fold: FoldFile) -> MatchReport:
    """Compare the weights of a fold with a network of its plans that takes no memory."""
    with torch.device("meta"):
        network: nn.Module = _build(plans)
    return match(network, fold.tensors, fold.path)


def model_sha256(path: str) -> str:
    """Return one SHA-256 of all files that decide the outputs of a folder."""
    digest = hashlib.sha256()
    for file in (Path(path) / "plans.json", Path(path) / "dataset.json", *fold_files(path)):
        digest.update(f"{file.relative_to(path)} {sha256_of(str(file))}\n".encode())
    return digest.hexdigest()


def first_fold(path: str) -> FoldFile:
    """Read the first fold of a folder, to start a training from its weights."""
    return _read_fold(str(fold_files(path)[0]), verify=True)


def _build(plans: NnUNetPlans) -> NnUNet:
    return build_nnunet(
        plans.kind,
        plans.stages,
        outputs=len(plans.label_names),
        decoder_convolutions=plans.decoder_convolutions,
        activation=plans.activation,
    )


def _read_fold(path: str, verify: bool) -> FoldFile:
    content = load_content(path, _LIMITS)
    if verify:
        verified(path)
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise CheckpointError(f"{path}: holds no network_weights of nnU-Net", "name a model folder of nnU-Net v2")
    tensors = {key: value for key, value in weights.items() if isinstance(value, Tensor) and not is_alias(key)}
    for key, tensor in tensors.items():
        check_tensor(path, key, tensor)
    stated = content.get("init_args")
    configuration = stated.get("configuration") if isinstance(stated, dict) else None
    trainer = content.get("trainer_name")
    if not isinstance(configuration, str) or not isinstance(trainer, str):
        raise CheckpointError(
            f"{path}: does not state its configuration and trainer_name", "name a model folder of nnU-Net v2"
        )
    epoch = content.get("current_epoch")
    return FoldFile(
        path=path,
        tensors=tensors,
        configuration=configuration[:200],
        trainer=trainer[:200],
        mirror_axes=_mirror_axes(path, content.get("inference_allowed_mirroring_axes")),
        epoch=epoch if type(epoch) is int else None,
    )


def _mirror_axes(path: str, stated: Any) -> tuple[int, ...]:
    axes = () if stated is None else tuple(stated) if isinstance(stated, list | tuple) else None
    if axes is None or len(set(axes)) != len(axes) or not all(type(axis) is int and 0 <= axis <= 2 for axis in axes):
        raise CheckpointError(
            f"{path}: wrong inference_allowed_mirroring_axes (expected axes 0 to 2, found {str(stated)[:80]})",
            "get the model again",
        )
    return axes
