"""A region of a scan in memory: tumors painted into it and looked at (METHOD 6, 9). What jobs/synthesize.py writes to
files, and what jobs/serve.py answers calls with."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from freetumor_runtime.checkpoints.loading import LoadedSegmentor, load_generator, load_segmentor
from freetumor_runtime.config import ServeSpec, SynthesizeSpec
from freetumor_runtime.data.boxes import Box, grown
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.variant_source import Attempt, AttemptMeasures
from freetumor_runtime.inference.sliding_field import SlidingField
from freetumor_runtime.synthesis.measures import (
    TumorView,
    measure,
    real_sharpness_hu_per_mm,
    real_tumor_places_mm,
)
from freetumor_runtime.synthesis.render import (
    ORGAN,
    REAL_TUMOR,
    SYNTHETIC,
    bounding_box,
    edge_mask,
    paint,
    region_roles,
    with_synthetic,
)
from freetumor_runtime.synthesis.texture import TextureBank

# A box of the region -> what the averaged output of a network says there, [K, X, Y, Z].
Field = Callable[[Box], Tensor]


def memory_mb(what: str) -> int:
    """Of this process, in MB: VmRSS now, VmHWM at most so far; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(what)) >> 10
    except OSError:
        return 0


@dataclass(frozen=True)
class Tools:
    spec: SynthesizeSpec | ServeSpec
    device: torch.device
    generator: torch.nn.Module | None
    # one output of the generator for all organs
    shared_channel: bool
    judge: LoadedSegmentor | None
    # of this process, once they are there
    loaded_mb: int

    @staticmethod
    def load(spec: SynthesizeSpec | ServeSpec, device: torch.device) -> "Tools":
        generator, shared = None, False
        if spec.generator is not None:
            loaded = load_generator(spec.generator.checkpoint, spec.generator.channel, device)
            generator, shared = loaded.network, loaded.channel.value == "shared"
        judge = None
        if spec.baseline is not None:
            judge = load_segmentor(spec.baseline.checkpoint, spec.baseline.patchMerging, device)
        return Tools(spec, device, generator, shared, judge, memory_mb("VmRSS"))

    def raw_field(self, image_XYZ: Tensor) -> Field | None:
        """The generator's raw output, each window by itself; windows of a batch together where that is asked for."""
        if self.generator is None:
            return None
        windows = self.spec.generatorWindows
        if windows.windowBatch > 1:
            # with MONAI, whose import takes seconds
            from freetumor_runtime.inference.whole_field import whole_field

            return whole_field(self.generator, image_XYZ, self.spec.patchVoxels, windows.overlap, windows.windowBatch)
        return SlidingField(self.generator, image_XYZ, self.spec.patchVoxels, windows.overlap, keep=True).at

    def seen_field(self, image_XYZ: Tensor, keep: bool = False) -> Field:
        """Where the baseline calls tumor, bool [1, X, Y, Z]."""
        assert self.judge is not None
        patch = self.judge.metadata.get("patchVoxels", self.spec.patchVoxels)
        tumors = torch.tensor(self.judge.tumor_outputs, device=self.device)

        def calls_tumor(logits_CXYZ: Tensor) -> Tensor:
            return torch.isin(logits_CXYZ.argmax(0, keepdim=True), tumors)

        # its norms are those of each window: how many share a batch does not matter
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
class OpenRegion:
    """What is worked on; arrays [X, Y, Z] on the prepared grid."""

    # windowed to 0..1, float32
    image_XYZ: Tensor
    # ids of the region, uint8
    label_XYZ: Tensor
    textures: TextureBank
    raw: Field | None
    already_seen: Field | None
    real_tumor_mm: np.ndarray
    # of the edges of its real tumors; None without one, or where nobody asks
    real_sharpness_hu_per_mm: float | None
    # spent in `render` and `judge`
    seconds: dict[str, float]

    @staticmethod
    def open(image_hu_XYZ: Tensor, label_XYZ: Tensor, tools: Tools) -> "OpenRegion":
        """int16 HU and uint8 ids, of the CPU."""
        spec = tools.spec
        image_XYZ = window_intensity(image_hu_XYZ.to(tools.device), spec.windowHu)
        label_XYZ = label_XYZ.to(tools.device)
        size = tuple(
            max(side, length + 16) for side, length in zip(spec.textureSizeVoxels, label_XYZ.shape, strict=True)
        )
        tumors = [organ.tumorLabel for organ in spec.organs]
        roles = region_roles(label_XYZ, organ_label=0, tumor_labels=tumors).cpu().numpy()
        wants_already = tools.judge is not None and spec.measureAlreadySeen
        return OpenRegion(
            image_XYZ=image_XYZ,
            label_XYZ=label_XYZ,
            textures=TextureBank(spec.textureDirectory, size, spec.textureSeed),
            raw=tools.raw_field(image_XYZ),
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
class Stroke:
    """A painted attempt: where, and what was there before."""

    attempt: Attempt
    box: Box
    before_XYZ: Tensor
    # after the tumor was placed, uint8
    roles_XYZ: Tensor
    organ_label: int
    tumor_label: int


@torch.no_grad()
def lay(region: OpenRegion, tools: Tools, painted_XYZ: Tensor, attempt: Attempt) -> Stroke | None:
    """Paints a planned tumor into the region; None when it has no voxel of organ."""
    started = perf_counter()
    spec, plan = tools.spec, attempt.plan
    organ = next(organ for organ in spec.organs if organ.name == plan.organ)
    shape_box = tuple(
        slice(max(0, start), min(side, start + length))
        for start, length, side in zip(plan.box_origin, plan.box.shape, region.label_XYZ.shape, strict=True)
    )
    reach = int(4 * plan.edge_sigma + 0.5) + 3
    box = grown(shape_box, reach, region.label_XYZ.shape)
    shape_XYZ = torch.zeros([part.stop - part.start for part in box], dtype=torch.bool, device=tools.device)
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(shape_box, box, strict=True))
    cut = tuple(slice(a.start - at, a.stop - at) for a, at in zip(shape_box, plan.box_origin, strict=True))
    shape_XYZ[inner] = plan.box.to(tools.device)[cut] > 0

    tumors = [one.tumorLabel for one in spec.organs]
    before_roles = region_roles(region.label_XYZ[box], organ_label=organ.label, tumor_labels=tumors)
    edge_XYZ = edge_mask(before_roles, shape_XYZ)
    roles_XYZ = with_synthetic(before_roles, shape_XYZ)
    if bounding_box(roles_XYZ == SYNTHETIC) is None:
        return None
    before_XYZ = painted_XYZ[box].clone()
    texture_start = [at + part.start for at, part in zip(plan.texture_start, box, strict=True)]
    painted_XYZ[box] = paint(
        before_XYZ,
        None if region.raw is None else region.raw(box),
        edge_XYZ,
        region.textures.part(plan.texture_index, texture_start, tuple(shape_XYZ.shape), tools.device),
        roles_XYZ,
        sigma=plan.edge_sigma,
        channel=0 if tools.shared_channel else organ.channel,
        region=spec.region,
        handcrafted_difference=plan.handcrafted_difference,
    )
    region.seconds["render"] += perf_counter() - started
    return Stroke(attempt, box, before_XYZ, roles_XYZ, organ.label, organ.tumorLabel)


@torch.no_grad()
def look(
    region: OpenRegion, tools: Tools, painted_XYZ: Tensor, stroke: Stroke | None, attempt: Attempt
) -> AttemptMeasures:
    """What the baseline and the measures say of a painted tumor."""
    if stroke is None:
        return AttemptMeasures(attempt.tumor, 0, 0, 0, 0.0, {})
    started = perf_counter()
    spec, box = tools.spec, stroke.box
    synthetic_XYZ = stroke.roles_XYZ == SYNTHETIC
    inside = bounding_box(synthetic_XYZ)
    assert inside is not None
    around = tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(inside, box, strict=True))
    seen = already = 0
    if tools.judge is not None:
        seen = int((tools.seen_field(painted_XYZ)(around)[0] & synthetic_XYZ[inside]).sum())
        if region.already_seen is not None:
            already = int((region.already_seen(around)[0] & synthetic_XYZ[inside]).sum())
    after_XYZ = painted_XYZ[box]
    view = TumorView(
        image_XYZ=after_XYZ.cpu().numpy(),
        roles_XYZ=stroke.roles_XYZ.cpu().numpy(),
        spacing_mm=spec.spacingMm,
        window_width_hu=spec.windowHu[1] - spec.windowHu[0],
        shape_voxels=int((attempt.plan.box > 0).sum()),
        real_tumor_mm=region.real_tumor_mm,
        origin_mm=[part.start * mm for part, mm in zip(box, spec.spacingMm, strict=True)],
        real_sharpness_hu_per_mm=region.real_sharpness_hu_per_mm,
    )
    change = float((after_XYZ - region.image_XYZ[box])[synthetic_XYZ].mean(dtype=torch.float64))
    more = measure(view, spec.measures)
    region.seconds["judge"] += perf_counter() - started
    return AttemptMeasures(attempt.tumor, int(synthetic_XYZ.sum()), seen, already, change, more)
