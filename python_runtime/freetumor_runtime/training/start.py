"""Prepare the networks of a training: build them, load and freeze weights, set the memory format, and warm up."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from freetumor_runtime.checkpoints.assumptions import Assumable
from freetumor_runtime.checkpoints.loading import initial_merging_order, load_gan_weights, load_matching_weights
from freetumor_runtime.config.training import GeneratorSpec, TrainingSpec
from freetumor_runtime.errors import ConfigError, EnvironmentError
from freetumor_runtime.events import Note
from freetumor_runtime.models.nnunet import NnUNet
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.state import random_state, restore_random_state


def build_trained_segmentor(spec: TrainingSpec, device: torch.device) -> tuple[nn.Module, Assumable, list[Note]]:
    """Return the segmentor to train, its patch-merging order, and notes.

    `initialWeights` are loaded where key and shape match; a note lists the others. A resumed run does not read them,
    because its checkpoint has the weights.
    """
    merging = _merging_order(spec)
    assert merging.value is not None
    segmentor = build_segmentor(
        spec.segmentor.kind,
        outputs=spec.segmentor.outputs,
        feature_size=spec.segmentor.featureSize,
        levels=spec.segmentor.levels,
        patch_merging=merging.value,
        activation_checkpointing=spec.segmentor.activationCheckpointing,
        stages=spec.segmentor.stages,
    )
    if isinstance(segmentor, NnUNet):
        segmentor.supervise(spec.segmentor.deepSupervision)
    notes = []
    initial = spec.segmentor.initialWeights
    if initial is not None and spec.resumeFrom is None:
        report = load_matching_weights(segmentor, initial, spec.segmentor.initialWeightsSet)
        notes.append(Note("info", report.sentence()))
        if merging.assumed:
            notes.append(
                Note("warning", f"{initial}: patch-merging order {merging.value} is assumed, as for published files")
            )
    notes += freeze_by_name({"": segmentor}, spec.freeze)
    return lay_out(segmentor.to(device), spec).train(), merging, notes


def _merging_order(spec: TrainingSpec) -> Assumable:
    """Return the order that the configuration states, else that of the initial weights; `corrected` without weights."""
    size = spec.segmentor
    if size.patchMerging is not None:
        return Assumable(size.patchMerging, assumed=False)
    start = (size.initialWeights, size.initialWeightsSet)
    path, weights = start if spec.resumeFrom is None else (f"{spec.resumeFrom}/model.pt", None)
    found = None if size.kind != "swinunetr" or path is None else initial_merging_order(path, weights)
    return found if found is not None and found.value is not None else Assumable("corrected", assumed=False)


def build_gan(spec: TrainingSpec, device: torch.device) -> tuple[nn.Module, nn.Module, list[Note]]:
    """Build a generator (one output for each organ) and a discriminator (background, real, synthetic)."""
    assert spec.generator is not None
    width, checkpointing = spec.generator.baseChannels, spec.generator.activationCheckpointing
    generator = UNet3d(spec.generator.outputs, width, checkpointing)
    discriminator = UNet3d(3, width, checkpointing)
    notes = []
    if spec.generator.checkpoint is not None and spec.resumeFrom is None:
        notes.append(_start_gan(generator, discriminator, spec.generator.checkpoint, spec.generator))
    notes += freeze_by_name({"netG.": generator, "netD.": discriminator}, spec.freeze)
    return lay_out(generator.to(device), spec).train(), lay_out(discriminator.to(device), spec).train(), notes


def _start_gan(generator: UNet3d, discriminator: UNet3d, path: str, stated: GeneratorSpec) -> Note:
    use = stated.use
    if load_gan_weights(generator, discriminator if use == "both" else None, path, stated.weights):
        return Note("info", f"generator and discriminator start from {path}")
    if use == "both":
        return Note(
            "warning", f"generator starts from {path}; it holds no discriminator, which starts from random weights"
        )
    return Note("info", f"generator starts from {path}, the discriminator from random weights (use: generator)")


def freeze_by_name(networks: dict[str, nn.Module], patterns: Sequence[str]) -> list[Note]:
    """Freeze the weights whose name matches a pattern (`*` any characters). `networks`: by the prefix of their names.

    Raises ConfigError for a pattern that matches no weight, and if a network has no weight left to train.
    """
    weights = {
        f"{prefix}{name}": weight for prefix, network in networks.items() for name, weight in network.named_parameters()
    }
    frozen: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in weights if fnmatchcase(name, pattern)}
        if not fitting:
            parts = sorted({".".join(name.split(".")[: 1 + name.startswith("net")]) for name in weights})
            raise ConfigError(
                f"training.freeze: {pattern!r} matches no weight of the network", f"its parts are {', '.join(parts)}"
            )
        frozen |= fitting
    for name in frozen:
        weights[name].requires_grad_(False)
    for prefix, network in networks.items():
        if not any(True for _ in trainable(network)):
            raise ConfigError(
                f"training.freeze: leaves no weight of {prefix.rstrip('.') or 'the segmentor'} to train",
                "remove a pattern from training.freeze",
            )
    if not frozen:
        return []
    values = sum(weights[name].numel() for name in frozen)
    learning = sum(weight.numel() for weight in weights.values()) - values
    text = f"frozen weight tensors: {len(frozen)} of {len(weights)} (values: {values} frozen, {learning} trained)"
    return [Note("info", text)]


def lay_out(network: nn.Module, spec: TrainingSpec) -> nn.Module:
    """Set memory format and compilation of a network as configured; return it."""
    if spec.memoryFormat == "channelsLast":
        # torch does not declare this keyword
        network.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
    elif spec.memoryFormat == "auto" and isinstance(network, UNet3d):
        network.in_faster_layout()
    if spec.compile:
        if torch.are_deterministic_algorithms_enabled():
            # again, for the compiler: join_ranks omits it
            torch.use_deterministic_algorithms(True, warn_only=torch.is_deterministic_algorithms_warn_only_enabled())
        network.compile(dynamic=False)
    return network


def refuse_no_compiler(spec: TrainingSpec) -> None:
    """Raise EnvironmentError if torch.compile does not work: it needs a C++ compiler, on CUDA Triton and Python.h."""
    if not spec.compile:
        return
    try:
        torch.compile(lambda values: values * 2 + 1)(torch.ones(8, device=_device_of(spec)))
    except Exception as error:  # the chain of compilers may raise anything
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EnvironmentError(
            f"runtime.compile: torch.compile does not work on this machine ({first})",
            "install g++, on CUDA also Triton and Python.h (python3-dev), or set runtime.compile: false",
        ) from error


def warm_up(network: nn.Module, spec: TrainingSpec, ranks: Ranks) -> None:
    """Run one forward and backward pass without a step, then restore the random state.

    DDP rearranges its buckets after the first backward pass, which changes the order of summation. Without this, a
    resumed run of three or more ranks would not be bit-identical to an uninterrupted run.
    """
    if not isinstance(network, DistributedDataParallel):
        return
    before = random_state()
    sample = torch.zeros(2, 1, *spec.patchVoxels, device=ranks.device)
    sum_of_outputs(network(sample)).backward()
    network.zero_grad(set_to_none=True)
    restore_random_state(before)


def sum_of_outputs(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return one number that the outputs of all resolutions contribute to."""
    parts = (outputs,) if isinstance(outputs, Tensor) else outputs
    return torch.stack([part.float().sum() for part in parts]).sum()


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in trainable(network))


def trainable(network: nn.Module) -> Iterable[nn.Parameter]:
    return (parameter for parameter in network.parameters() if parameter.requires_grad)


def _device_of(spec: TrainingSpec) -> str:
    return "cuda" if spec.device != "cpu" and torch.cuda.is_available() else "cpu"
