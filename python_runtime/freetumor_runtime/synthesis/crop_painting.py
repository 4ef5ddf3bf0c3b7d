"""Paint synthetic tumors on the crops of a step, and measure what the baseline detects (docs/method.md 6, 9)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.loading import LoadedSegmentor, load_generator
from freetumor_runtime.config.common import BaselineSpec
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crop_source import CropMeasures
from freetumor_runtime.data.crops import PlannedCrop
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.inference.nnunet_judge import load_judge
from freetumor_runtime.synthesis.measures import TumorView, measure, real_sharpness_hu_per_mm, real_tumor_places_mm
from freetumor_runtime.synthesis.painted_crop import PaintedCrop, augmented_volume
from freetumor_runtime.synthesis.painting import Field, PlacedTumor, TumorPainter, mark_synthetic, planned_voxels
from freetumor_runtime.synthesis.plugin_synthesizer import PluginSynthesizer, plugin_synthesizer
from freetumor_runtime.synthesis.render import REAL_TUMOR, SYNTHETIC
from freetumor_runtime.synthesis.texture import TextureBank


@dataclass(frozen=True)
class AugmentedCrop:
    """A crop with its tumors placed: `image_XYZ` float32, windowed; `label_XYZ` uint8 ids of the region."""

    planned: PlannedCrop
    image_XYZ: Tensor
    label_XYZ: Tensor
    tumors: tuple[PlacedTumor, ...]


@dataclass(frozen=True)
class PaintedTumors:
    """Tumors of a crop that share a draw, painted: image float32 and roles uint8 after it, both [X, Y, Z].

    `seen_XYZ`, `already_XYZ`: where the baseline labels tumor after and before painting (bool); None without it.
    """

    crop: AugmentedCrop
    tumors: Sequence[PlacedTumor]
    fake_XYZ: Tensor
    roles_XYZ: Tensor
    seen_XYZ: Tensor | None
    already_XYZ: Tensor | None


@dataclass(frozen=True)
class CropPainter:
    """Augments the crops of a step and paints the tumors that are planned in them."""

    window_hu: Sequence[float]
    tumors: TumorPainter

    @staticmethod
    def build(spec: TrainingSpec, device: torch.device) -> "CropPainter":
        """Build the painter of a training with synthesis."""
        assert spec.synthesis is not None
        textures = TextureBank(
            spec.synthesis.textureDirectory, spec.synthesis.textureSizeVoxels, spec.synthesis.textureSeed
        )
        shared = spec.generator is not None and spec.generator.channel == "shared"
        return CropPainter(spec.windowHu, TumorPainter(spec.region, spec.organs, shared, textures, device))

    def augment(self, crops: Sequence[PlannedCrop]) -> list[AugmentedCrop]:
        """Return the crops on the device, windowed and augmented, with their tumors placed."""
        return [self._augmented(crop) for crop in crops]

    def compose(
        self,
        crop: AugmentedCrop,
        raw_CXYZ: Tensor | None,
        tumors: Sequence[PlacedTumor],
        plugin: PluginSynthesizer | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Paint tumors of the crop in order; return (image float32, roles uint8), both [X, Y, Z].

        `raw_CXYZ` is the generator's output for this crop; None paints each tumor's hand-crafted difference, unless a
        plug-in paints it.
        """
        image_XYZ = crop.image_XYZ.clone()
        roles_XYZ = self.tumors.roles(crop.label_XYZ, tumors[0].organ.label)
        raw = None if raw_CXYZ is None else _field_of(raw_CXYZ)
        for at, placed in enumerate(tumors):
            if plugin is None:
                self.tumors.paint(image_XYZ, placed, raw)
            else:
                place = crop.planned.item, crop.planned.crop, placed.tumor.draw, at
                plugin.paint(image_XYZ, crop.label_XYZ, placed, place)
            mark_synthetic(roles_XYZ, placed.box, placed.roles_XYZ, SYNTHETIC)
        return image_XYZ, roles_XYZ

    def plain_roles(self, crop: AugmentedCrop) -> Tensor:
        """Return the roles of a crop without painted tumors: its real tumors stay examples for the discriminator."""
        return self.tumors.roles(crop.label_XYZ, 0) & REAL_TUMOR

    def _augmented(self, crop: PlannedCrop) -> AugmentedCrop:
        image_XYZ, label_XYZ = augmented_volume(crop, self.window_hu, self.tumors.device)
        placed = tuple(self.tumors.place(tumor, label_XYZ, crop.augmentation) for tumor in crop.tumors)
        return AugmentedCrop(crop, image_XYZ, label_XYZ, placed)


@dataclass(frozen=True)
class OnlineSynthesis:
    """Paints the crops of a segmentation training and measures what the baseline detects.

    `generator` and `plugin` None: each tumor's hand-crafted difference is painted. `baseline` None: nothing is
    detected.
    """

    spec: TrainingSpec
    painter: CropPainter
    generator: nn.Module | None
    plugin: PluginSynthesizer | None
    baseline: LoadedSegmentor | None

    @staticmethod
    def build(spec: TrainingSpec, device: torch.device) -> "OnlineSynthesis":
        """Load textures, frozen generator or plug-in, and frozen baseline, as far as the training has them."""
        generator = plugin = None
        own = spec.generator
        if own is not None and own.plugin is not None:
            plugin = plugin_synthesizer(own.plugin, spec, spec.seed, device)
        elif own is not None and own.checkpoint is not None:
            generator = load_generator(own.checkpoint, own.channel, device, own.weights).network
        baseline = load_baseline(spec, spec.baseline, device) if spec.baseline is not None else None
        return OnlineSynthesis(spec, CropPainter.build(spec, device), generator, plugin, baseline)

    @torch.no_grad()
    def paint(self, crops: Sequence[PlannedCrop], draws: Sequence[int] | None = None) -> tuple[PaintedCrop, ...]:
        """Paint the first attempt of each crop, or the given one.

        Crop by crop, because the generator normalises by the statistics of its batch.
        """
        wanted = [0] * len(crops) if draws is None else draws
        augmented = self.painter.augment([_of_draw(crop, draw) for crop, draw in zip(crops, wanted, strict=True)])
        painted = [self._painted(crop) if crop.tumors else None for crop in augmented]
        measures = iter(measures_of(self.spec, [one for one in painted if one is not None]))
        return tuple(
            PaintedCrop(crop.image_XYZ, crop.label_XYZ, crop.image_XYZ, crop.label_XYZ, None)
            if one is None
            else PaintedCrop(crop.image_XYZ, crop.label_XYZ, one.fake_XYZ, fake_label(crop), next(measures))
            for crop, one in zip(augmented, painted, strict=True)
        )

    def _painted(self, crop: AugmentedCrop) -> PaintedTumors:
        raw = self.generator(crop.image_XYZ[None, None])[0] if self.generator is not None else None
        fake_XYZ, roles_XYZ = self.painter.compose(crop, raw, crop.tumors, self.plugin)
        seen_XYZ = already_XYZ = None
        if self.baseline is not None:
            seen_XYZ = _calls_tumor(self.baseline, fake_XYZ)
            if self.spec.synthesis is not None and self.spec.synthesis.measureAlreadySeen:
                already_XYZ = _calls_tumor(self.baseline, crop.image_XYZ)
        return PaintedTumors(crop, crop.tumors, fake_XYZ, roles_XYZ, seen_XYZ, already_XYZ)


def _of_draw(crop: PlannedCrop, draw: int) -> PlannedCrop:
    return replace(crop, tumors=tuple(tumor for tumor in crop.tumors if tumor.draw == draw))


def load_baseline(spec: TrainingSpec, baseline: BaselineSpec, device: torch.device) -> LoadedSegmentor:
    """Load the frozen segmentor that detects tumors. Raise CheckpointError if it has too few tumor outputs."""
    loaded = load_judge(baseline, spec.windowHu, spec.spacingMm, device, spec.threadsPerProcess)
    planned = [organ.name for organ in spec.organs if spec.trainingLabels[organ.tumorLabel] != 0]
    if len(loaded.tumor_outputs) >= len(planned) or spec.region == "chest":
        return loaded
    known = loaded.metadata.get("labelNames")
    raise CheckpointError(
        f"{loaded.report.file}: too few tumor outputs (expected one for each of {', '.join(planned)}, "
        f"found {len(loaded.tumor_outputs)}: {', '.join(known) if known else 'unnamed'})",
        "name a baseline of job `baseline` with target all",
    )


def fake_label(crop: AugmentedCrop) -> Tensor:
    """Return the region ids with the synthetic tumors as the tumor ids of their organs."""
    label_XYZ = crop.label_XYZ.clone()
    for placed in crop.tumors:
        mark_synthetic(label_XYZ, placed.box, placed.roles_XYZ, placed.organ.tumorLabel)
    return label_XYZ


def _field_of(output_CXYZ: Tensor) -> Field:
    return lambda box: output_CXYZ[(slice(None), *box)]


def _calls_tumor(baseline: LoadedSegmentor, image_XYZ: Tensor) -> Tensor:
    """Return where the baseline labels tumor, bool [X, Y, Z]."""
    return is_any(baseline.network(image_XYZ[None, None]).argmax(1), baseline.tumor_outputs)[0]


def is_any(ids: Tensor, wanted: Sequence[int]) -> Tensor:
    """Return torch.isin(ids, wanted), without a copy to the device, for which a GPU would wait."""
    found = torch.zeros_like(ids, dtype=torch.bool)
    for one in wanted:
        found |= ids == one
    return found


def measures_of(spec: TrainingSpec, painted: Sequence[PaintedTumors]) -> list[CropMeasures]:
    """Return the measures of the painted tumors of each crop. All of them are read from the device in one copy."""
    if not painted:
        return []
    figures = torch.stack([_figures(one) for one in painted]).tolist()
    more = _more_measures(spec, [one for one, (voxels, *_) in zip(painted, figures, strict=True) if voxels > 0])
    return [
        CropMeasures(
            item=one.crop.planned.item,
            crop=one.crop.planned.crop,
            draw=one.tumors[0].tumor.draw,
            synthetic_voxels=int(voxels),
            seen_voxels=int(seen),
            already_seen_voxels=int(already),
            contrast=change / voxels if voxels > 0 else 0.0,
            more=next(more) if voxels > 0 else {},
        )
        for one, (voxels, seen, already, change) in zip(painted, figures, strict=True)
    ]


def _figures(painted: PaintedTumors) -> Tensor:
    """Return synthetic voxels, those seen and already seen, and the sum of their changes: float64 [4], same device."""
    boxes = [placed.box for placed in painted.tumors]
    # no other voxel is synthetic
    hull = tuple(
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in range(3)
    )
    synthetic = painted.roles_XYZ[hull] == SYNTHETIC
    called = (None if one is None else one[hull] & synthetic for one in (painted.seen_XYZ, painted.already_XYZ))
    counts = [torch.zeros_like(synthetic[:0]) if one is None else one for one in (synthetic, *called)]
    change = torch.where(synthetic, painted.fake_XYZ[hull] - painted.crop.image_XYZ[hull], 0)
    return torch.stack([*(one.sum().double() for one in counts), change.sum(dtype=torch.float64)])


def _more_measures(spec: TrainingSpec, painted: Sequence[PaintedTumors]) -> Iterator[dict[str, float]]:
    wanted = spec.synthesis.measures if spec.synthesis is not None else ()
    if not wanted or not painted:
        yield from ({} for _ in painted)
        return
    width_hu = spec.windowHu[1] - spec.windowHu[0]
    all_roles = torch.stack([one.roles_XYZ for one in painted]).cpu().numpy()
    images = torch.stack([one.fake_XYZ for one in painted]).cpu().numpy()
    # of the crops before painting, which leaves their real tumors unchanged
    needs_before = "edgeSharpnessToReal" in wanted
    before = torch.stack([one.crop.image_XYZ for one in painted]).cpu().numpy() if needs_before else images
    for one, roles, image, image_before in zip(painted, all_roles, images, before, strict=True):
        view = TumorView(
            image_XYZ=image,
            roles_XYZ=roles,
            spacing_mm=spec.spacingMm,
            window_width_hu=width_hu,
            shape_voxels=sum(planned_voxels(placed.tumor, one.crop.planned.label) for placed in one.tumors),
            real_tumor_mm=real_tumor_places_mm(roles, spec.spacingMm)
            if "distanceToRealMm" in wanted
            else np.empty((0, 3)),
            origin_mm=(0.0, 0.0, 0.0),
            real_sharpness_hu_per_mm=real_sharpness_hu_per_mm(image_before, roles, spec.spacingMm, width_hu)
            if needs_before
            else None,
        )
        yield measure(view, wanted)
