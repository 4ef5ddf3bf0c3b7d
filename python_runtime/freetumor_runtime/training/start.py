"""Networks at the start of a training: built, given their weights, and warmed up."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from freetumor_runtime.config import TrainingSpec
from freetumor_runtime.events import Note
from freetumor_runtime.models.checkpoint import load_generator_weights, load_matching_weights
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.state import random_state, restore_random_state


def build_trained_segmentor(spec: TrainingSpec, device: torch.device) -> tuple[nn.Module, list[Note]]:
    """The segmentor that learns; `initialWeights` are taken where key and shape agree, and what did not is told.

    A run that goes on needs no weights to start from: its checkpoint has them.
    """
    segmentor = build_segmentor(
        spec.segmentor.kind,
        outputs=spec.segmentor.outputs,
        feature_size=spec.segmentor.featureSize,
        levels=spec.segmentor.levels,
        patch_merging=spec.segmentor.patchMerging,
        activation_checkpointing=spec.segmentor.activationCheckpointing,
    )
    notes = []
    if spec.segmentor.initialWeights is not None and spec.resumeFrom is None:
        report = load_matching_weights(segmentor, spec.segmentor.initialWeights)
        notes.append(Note("info", report.sentence()))
    return segmentor.to(device).train(), notes


def build_gan(spec: TrainingSpec, device: torch.device) -> tuple[nn.Module, nn.Module, list[Note]]:
    """Generator (one output an organ) and discriminator (background, real, synthetic) of the same width."""
    assert spec.generator is not None
    generator = UNet3d(spec.generator.outputs, spec.generator.baseChannels)
    discriminator = UNet3d(3, spec.generator.baseChannels)
    notes = []
    if spec.generator.checkpoint is not None and spec.resumeFrom is None:
        load_generator_weights(generator, spec.generator.checkpoint)
        notes.append(Note("info", f"generator starts from {spec.generator.checkpoint}"))
    return generator.to(device).train(), discriminator.to(device).train(), notes


def warm_up(network: nn.Module, spec: TrainingSpec, ranks: Ranks) -> None:
    """One forward and backward without a step, the random state put back.

    DDP lays out its buckets anew after its first backward, and the order of summation goes with the layout: without
    this, a resumed run of three or more ranks differs from an unbroken one in the last bits.
    """
    if not isinstance(network, DistributedDataParallel):
        return
    before = random_state()
    sample = torch.zeros(2, 1, *spec.patchVoxels, device=ranks.device)
    network(sample).sum().backward()
    network.zero_grad(set_to_none=True)
    restore_random_state(before)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in trainable(network))


def trainable(network: nn.Module) -> Iterable[nn.Parameter]:
    return (parameter for parameter in network.parameters() if parameter.requires_grad)
