"""Paint tumors into a subvolume of a scan in memory, and measure them (docs/method.md 6, 9).

jobs/synthesize.py writes the results to files, jobs/serve.py returns them to calls.
"""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from freetumor_runtime.checkpoints.loading import LoadedSegmentor, load_generator
from freetumor_runtime.config.common import Organ
from freetumor_runtime.config.serving import ServeSpec
from freetumor_runtime.config.synthesis import PaintingGeneratorSpec, SynthesizeSpec
from freetumor_runtime.data.boxes import Box, grown, out_of
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.variant_source import Attempt, AttemptMeasures
from freetumor_runtime.inference.nnunet_judge import load_judge
from freetumor_runtime.inference.sliding_field import SlidingField
from freetumor_runtime.synthesis.measures import (
    TumorView,
    measure,
    real_sharpness_hu_per_mm,
    real_tumor_places_mm,
)
from freetumor_runtime.synthesis.painting import Field, TumorPainter, planned_voxels
from freetumor_runtime.synthesis.plugin_synthesizer import PluginSynthesizer, plugin_synthesizer
from freetumor_runtime.synthesis.render import ORGAN, REAL_TUMOR, SYNTHETIC, bounding_box
from freetumor_runtime.synthesis.shrunk import ShrunkPainter
from freetumor_runtime.synthesis.texture import TextureBank


def memory_mb(what: str) -> int:
    """Return the memory of this process in MB: VmRSS is the current one, VmHWM the peak; 0 on systems without /proc."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(what)) >> 10
    except OSError:
        return 0


# of the job that paints
Spec = TypeVar("Spec", bound=SynthesizeSpec | ServeSpec, covariant=True)
Own = TypeVar("Own", bound=SynthesizeSpec | ServeSpec)


@dataclass(frozen=True)
class Tools(Generic[Spec]):
    spec: Spec
    device: torch.device
    generator: torch.nn.Module | None
    # paints instead of a generator
    plugin: PluginSynthesizer | None
    # one output of the generator for all organs
    shared_channel: bool
    judge: LoadedSegmentor | None
    # memory of this process after loading
    loaded_mb: int

    @staticmethod
    def load(spec: Own, device: torch.device) -> "Tools[Own]":
        generator, shared, plugin = None, False, None
        own = spec.generator
        if isinstance(own, PaintingGeneratorSpec) and own.plugin is not None:
            plugin = plugin_synthesizer(own.plugin, spec, spec.textureSeed, device)
        elif own is not None and own.checkpoint is not None:
            loaded = load_generator(own.checkpoint, own.channel, device, own.weights)
            generator, shared = loaded.network, loaded.channel.value == "shared"
        judge = None
        if spec.baseline is not None:
            judge = load_judge(spec.baseline, spec.windowHu, spec.spacingMm, device, spec.threadsPerProcess)
        return Tools(spec, device, generator, plugin, shared, judge, memory_mb("VmRSS"))

    def raw_field(self, image_XYZ: Tensor) -> Field | None:
        """Return the generator's raw output, window by window, or in batches of windows if the spec requests it."""
        if self.generator is None:
            return None
        windows = self.spec.generatorWindows
        if windows.windowBatch > 1:
            # with MONAI, whose import takes seconds
            from freetumor_runtime.inference.whole_field import whole_field

            return whole_field(self.generator, image_XYZ, self.spec.patchVoxels, windows.overlap, windows.windowBatch)
        # a call paints a few tumors, which are not known yet
        boxes = self.spec.tumorsPerCase if isinstance(self.spec, SynthesizeSpec) else 1
        patch = self.spec.patchVoxels
        return SlidingField(self.generator, image_XYZ, patch, windows.overlap, keep=True, boxes=boxes).at

    def seen_field(self, image_XYZ: Tensor, keep: bool = False) -> Field:
        """Return where the baseline labels tumor, bool [1, X, Y, Z]."""
        assert self.judge is not None
        patch = self.judge.metadata.get("patchVoxels", self.spec.patchVoxels)
        tumors = torch.tensor(self.judge.tumor_outputs, device=self.device)

        def calls_tumor(logits_CXYZ: Tensor) -> Tensor:
            return torch.isin(logits_CXYZ.argmax(0, keepdim=True), tumors)

        # its norms use each window alone, so the batch size has no effect
        return SlidingField(
            self.judge.network,
            image_XYZ,
            patch,
            self.spec.judgeOverlap,
            batch=self.spec.judgeWindowBatch,
            keep=keep,
            finish=calls_tumor,
        ).at


@dataclass(frozen=True)
class OpenSubvolume:
    """A subvolume into which tumors are painted; arrays [X, Y, Z] on the prepared grid."""

    # windowed to 0..1, float32
    image_XYZ: Tensor
    # ids of the region, uint8
    label_XYZ: Tensor
    painter: TumorPainter
    raw: Field | None
    plugin: PluginSynthesizer | None
    # paints attempts with a source
    shrunk: ShrunkPainter
    already_seen: Field | None
    real_tumor_mm: np.ndarray
    # of the edges of its real tumors; None without a real tumor, or if the measure is not requested
    real_sharpness_hu_per_mm: float | None
    # time spent in `render` and `judge`
    seconds: dict[str, float]

    @staticmethod
    def open(image_hu_XYZ: Tensor, label_XYZ: Tensor, tools: Tools) -> "OpenSubvolume":
        """Move int16 HU and uint8 ids from the CPU to the device, and prepare painter, fields and real tumors."""
        spec = tools.spec
        image_XYZ = window_intensity(image_hu_XYZ.to(tools.device), spec.windowHu)
        label_XYZ = label_XYZ.to(tools.device)
        size = tuple(
            max(side, length + 16) for side, length in zip(spec.textureSizeVoxels, label_XYZ.shape, strict=True)
        )
        textures = TextureBank(spec.textureDirectory, size, spec.textureSeed)
        painter = TumorPainter(spec.region, spec.organs, tools.shared_channel, textures, tools.device)
        roles = painter.roles(label_XYZ, 0).cpu().numpy()
        wants_already = tools.judge is not None and spec.measureAlreadySeen
        return OpenSubvolume(
            image_XYZ=image_XYZ,
            label_XYZ=label_XYZ,
            painter=painter,
            raw=tools.raw_field(image_XYZ),
            plugin=tools.plugin,
            shrunk=ShrunkPainter(image_XYZ, label_XYZ),
            already_seen=tools.seen_field(image_XYZ, keep=True) if wants_already else None,
            real_tumor_mm=real_tumor_places_mm(roles, spec.spacingMm),
            real_sharpness_hu_per_mm=_real_sharpness(image_XYZ, label_XYZ, roles, spec),
            seconds={"render": 0.0, "judge": 0.0},
        )


def _real_sharpness(
    image_XYZ: Tensor, label_XYZ: Tensor, roles_XYZ: np.ndarray, spec: SynthesizeSpec | ServeSpec
) -> float | None:
    inside = bounding_box(torch.from_numpy(roles_XYZ == REAL_TUMOR))
    if inside is None or "edgeSharpnessToReal" not in spec.measures:
        return None
    box = grown(inside, 2, roles_XYZ.shape)
    organs = torch.tensor([organ.label for organ in spec.organs], device=label_XYZ.device)
    organ_XYZ = torch.isin(label_XYZ[box], organs).cpu().numpy()
    around_XYZ = np.where(roles_XYZ[box] == REAL_TUMOR, REAL_TUMOR, np.where(organ_XYZ, ORGAN, 0))
    width = spec.windowHu[1] - spec.windowHu[0]
    return real_sharpness_hu_per_mm(image_XYZ[box].cpu().numpy(), around_XYZ, spec.spacingMm, width)


@dataclass(frozen=True)
class PaintedTumor:
    """A painted attempt: its box, and the image there before it."""

    attempt: Attempt
    organ: Organ
    box: Box
    before_XYZ: Tensor
    # after the tumor was placed, uint8
    roles_XYZ: Tensor


@torch.no_grad()
def paint_attempt(
    subvolume: OpenSubvolume, painted_XYZ: Tensor, attempt: Attempt, variant: tuple[str, int]
) -> PaintedTumor | None:
    """Paint a planned tumor into an image of the subvolume; return None if it has no voxel in the organ.

    `variant`: id of the case and number of the variant, which the seed of a plug-in depends on.
    """
    started = perf_counter()
    placed = subvolume.painter.place(attempt.plan, subvolume.label_XYZ)
    edge_box = bounding_box(placed.edge_XYZ)
    if edge_box is None or bounding_box(placed.roles_XYZ == SYNTHETIC) is None:
        return None
    before_XYZ = painted_XYZ[placed.box].clone()
    if attempt.source is not None:
        subvolume.shrunk.paint(painted_XYZ, placed, attempt.source)
    elif subvolume.plugin is not None:
        place = *variant, attempt.tumor, attempt.attempt
        subvolume.plugin.paint(painted_XYZ, subvolume.label_XYZ, placed, place)
    else:
        # the smallest box; crops omit it, because its search waits for the GPU
        subvolume.painter.paint(painted_XYZ, replace(placed, edge_box=edge_box), subvolume.raw)
    subvolume.seconds["render"] += perf_counter() - started
    return PaintedTumor(attempt, placed.organ, placed.box, before_XYZ, placed.roles_XYZ)


@torch.no_grad()
def measure_attempt(
    subvolume: OpenSubvolume, tools: Tools, painted_XYZ: Tensor, painted: PaintedTumor | None, attempt: Attempt
) -> AttemptMeasures:
    """Measure a painted tumor, and count its voxels that the baseline labels tumor."""
    if painted is None:
        return AttemptMeasures(attempt.tumor, 0, 0, 0, 0.0, {})
    started = perf_counter()
    spec, box = tools.spec, painted.box
    synthetic_XYZ = painted.roles_XYZ == SYNTHETIC
    inside = bounding_box(synthetic_XYZ)
    assert inside is not None
    around = out_of(inside, box)
    seen = already = 0
    if tools.judge is not None:
        seen = int((tools.seen_field(painted_XYZ)(around)[0] & synthetic_XYZ[inside]).sum())
        if subvolume.already_seen is not None:
            already = int((subvolume.already_seen(around)[0] & synthetic_XYZ[inside]).sum())
    after_XYZ = painted_XYZ[box]
    view = TumorView(
        image_XYZ=after_XYZ.cpu().numpy(),
        roles_XYZ=painted.roles_XYZ.cpu().numpy(),
        spacing_mm=spec.spacingMm,
        window_width_hu=spec.windowHu[1] - spec.windowHu[0],
        shape_voxels=planned_voxels(attempt.plan, subvolume.label_XYZ),
        real_tumor_mm=subvolume.real_tumor_mm,
        origin_mm=[part.start * mm for part, mm in zip(box, spec.spacingMm, strict=True)],
        real_sharpness_hu_per_mm=subvolume.real_sharpness_hu_per_mm,
    )
    change = float((after_XYZ - subvolume.image_XYZ[box])[synthetic_XYZ].mean(dtype=torch.float64))
    more = measure(view, spec.measures)
    subvolume.seconds["judge"] += perf_counter() - started
    return AttemptMeasures(attempt.tumor, int(synthetic_XYZ.sum()), seen, already, change, more)
