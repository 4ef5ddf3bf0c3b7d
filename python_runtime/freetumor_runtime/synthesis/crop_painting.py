"""Paint synthetic tumors on the crops of a step, and measure what the baseline detects (docs/method.md 6, 9)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.loading import LoadedSegmentor, load_generator
from freetumor_runtime.config.common import BaselineSpec
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crop_source import CropMeasures
from freetumor_runtime.data.crops import PlannedCrop, augment_geometry, augment_image, window_intensity
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.inference.nnunet_judge import load_judge
from freetumor_runtime.synthesis.measures import TumorView, measure, real_sharpness_hu_per_mm, real_tumor_places_mm
from freetumor_runtime.synthesis.painting import Field, PlacedTumor, TumorPainter, mark_synthetic, planned_voxels
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
class PaintedCrop:
    """A crop before and after painting; without a tumor both are equal and there are no measures."""

    image_XYZ: Tensor
    label_XYZ: Tensor
    fake_XYZ: Tensor
    fake_label_XYZ: Tensor
    measures: CropMeasures | None


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
        self, crop: AugmentedCrop, raw_CXYZ: Tensor | None, tumors: Sequence[PlacedTumor]
    ) -> tuple[Tensor, Tensor]:
        """Paint tumors of the crop in order; return (image float32, roles uint8), both [X, Y, Z].

        `raw_CXYZ` is the generator's output for this crop; None paints each tumor's hand-crafted difference.
        """
        image_XYZ = crop.image_XYZ.clone()
        roles_XYZ = self.tumors.roles(crop.label_XYZ, tumors[0].organ.label)
        raw = None if raw_CXYZ is None else _field_of(raw_CXYZ)
        for placed in tumors:
            self.tumors.paint(image_XYZ, placed, raw)
            mark_synthetic(roles_XYZ, placed.box, placed.roles_XYZ, SYNTHETIC)
        return image_XYZ, roles_XYZ

    def plain_roles(self, crop: AugmentedCrop) -> Tensor:
        """Return the roles of a crop without painted tumors: its real tumors stay examples for the discriminator."""
        return self.tumors.roles(crop.label_XYZ, 0) & REAL_TUMOR

    def _augmented(self, crop: PlannedCrop) -> AugmentedCrop:
        image_XYZ, label_XYZ = _augmented_volume(crop, self.window_hu, self.tumors.device)
        placed = tuple(self.tumors.place(tumor, label_XYZ, crop.augmentation) for tumor in crop.tumors)
        return AugmentedCrop(crop, image_XYZ, label_XYZ, placed)


@dataclass(frozen=True)
class OnlineSynthesis:
    """Paints the crops of a segmentation training and measures what the baseline detects.

    `generator` None: each tumor's hand-crafted difference is painted. `baseline` None: nothing is detected.
    """

    spec: TrainingSpec
    painter: CropPainter
    generator: nn.Module | None
    baseline: LoadedSegmentor | None

    @staticmethod
    def build(spec: TrainingSpec, device: torch.device) -> "OnlineSynthesis":
        """Load textures, frozen generator and frozen baseline, as far as the training has them."""
        generator = None
        own = spec.generator
        if own is not None and own.checkpoint is not None:
            generator = load_generator(own.checkpoint, own.channel, device, own.weights).network
        baseline = load_baseline(spec, spec.baseline, device) if spec.baseline is not None else None
        return OnlineSynthesis(spec, CropPainter.build(spec, device), generator, baseline)

    @torch.no_grad()
    def paint(self, crops: Sequence[PlannedCrop], draws: Sequence[int] | None = None) -> tuple[PaintedCrop, ...]:
        """Paint the first attempt of each crop, or the given one.

        Crop by crop, because the generator normalises by the statistics of its batch.
        """
        wanted = [0] * len(crops) if draws is None else draws
        attempts = [_of_draw(crop, draw) for crop, draw in zip(crops, wanted, strict=True)]
        return tuple(self._painted(crop) for crop in self.painter.augment(attempts))

    def _painted(self, crop: AugmentedCrop) -> PaintedCrop:
        image_XYZ, label_XYZ = crop.image_XYZ, crop.label_XYZ
        if not crop.tumors:
            return PaintedCrop(image_XYZ, label_XYZ, image_XYZ, label_XYZ, None)
        raw = self.generator(image_XYZ[None, None])[0] if self.generator is not None else None
        fake_XYZ, roles_XYZ = self.painter.compose(crop, raw, crop.tumors)
        measures = self._measure(crop, fake_XYZ, roles_XYZ)
        return PaintedCrop(image_XYZ, label_XYZ, fake_XYZ, fake_label(crop), measures)

    def _measure(self, crop: AugmentedCrop, fake_XYZ: Tensor, roles_XYZ: Tensor) -> CropMeasures:
        synthetic = roles_XYZ == SYNTHETIC
        voxels = int(synthetic.sum())
        seen = already = 0
        if self.baseline is not None and voxels > 0:
            seen = int((_calls_tumor(self.baseline, fake_XYZ) & synthetic).sum())
            if self.spec.synthesis is not None and self.spec.synthesis.measureAlreadySeen:
                already = int((_calls_tumor(self.baseline, crop.image_XYZ) & synthetic).sum())
        return measures_of(self.spec, crop, crop.tumors, fake_XYZ, roles_XYZ, seen, already)


def _of_draw(crop: PlannedCrop, draw: int) -> PlannedCrop:
    return replace(crop, tumors=tuple(tumor for tumor in crop.tumors if tumor.draw == draw))


def unpainted(
    crops: Sequence[PlannedCrop], window_hu: Sequence[float], device: torch.device
) -> tuple[PaintedCrop, ...]:
    """Return the crops of a training without synthesis, windowed and augmented."""
    volumes = (_augmented_volume(crop, window_hu, device) for crop in crops)
    return tuple(PaintedCrop(image_XYZ, label_XYZ, image_XYZ, label_XYZ, None) for image_XYZ, label_XYZ in volumes)


def load_baseline(spec: TrainingSpec, baseline: BaselineSpec, device: torch.device) -> LoadedSegmentor:
    """Load the frozen segmentor that detects tumors. Raise CheckpointError if it has too few tumor outputs."""
    loaded = load_judge(
        baseline.checkpoint, baseline.patchMerging, baseline.weights, spec.windowHu, spec.spacingMm, device
    )
    planned = [organ.name for organ in spec.organs if spec.trainingLabels[organ.tumorLabel] != 0]
    if len(loaded.tumor_outputs) >= len(planned) or spec.region == "chest":
        return loaded
    known = loaded.metadata.get("labelNames")
    raise CheckpointError(
        f"{baseline.checkpoint}: too few tumor outputs (expected one for each of {', '.join(planned)}, "
        f"found {len(loaded.tumor_outputs)}: {', '.join(known) if known else 'unnamed'})",
        "name a baseline of job `baseline` with target all",
    )


def _augmented_volume(crop: PlannedCrop, window_hu: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    image_hu, label = crop.image_hu.to(device), crop.label.to(device)
    label_XYZ = augment_geometry(label, crop.augmentation)
    return augment_image(window_intensity(image_hu, window_hu), crop.augmentation), label_XYZ


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
    called = baseline.network(image_XYZ[None, None]).argmax(1)
    return torch.isin(called, torch.tensor(baseline.tumor_outputs, device=called.device))[0]


def measures_of(
    spec: TrainingSpec,
    crop: AugmentedCrop,
    tumors: Sequence[PlacedTumor],
    fake_XYZ: Tensor,
    roles_XYZ: Tensor,
    seen: int,
    already: int,
) -> CropMeasures:
    """Return the measures of painted tumors of a crop that share a draw; `roles_XYZ` are those after painting."""
    synthetic = roles_XYZ == SYNTHETIC
    voxels = int(synthetic.sum())
    change = float((fake_XYZ - crop.image_XYZ)[synthetic].mean()) if voxels > 0 else 0.0
    return CropMeasures(
        item=crop.planned.item,
        crop=crop.planned.crop,
        draw=tumors[0].tumor.draw,
        synthetic_voxels=voxels,
        seen_voxels=seen,
        already_seen_voxels=already,
        contrast=change,
        more=_more_measures(spec, crop, tumors, fake_XYZ, roles_XYZ) if voxels > 0 else {},
    )


def _more_measures(
    spec: TrainingSpec, crop: AugmentedCrop, tumors: Sequence[PlacedTumor], fake_XYZ: Tensor, roles_XYZ: Tensor
) -> dict[str, float]:
    wanted = spec.synthesis.measures if spec.synthesis is not None else ()
    if not wanted:
        return {}
    roles = roles_XYZ.cpu().numpy()
    view = TumorView(
        image_XYZ=fake_XYZ.cpu().numpy(),
        roles_XYZ=roles,
        spacing_mm=spec.spacingMm,
        window_width_hu=spec.windowHu[1] - spec.windowHu[0],
        shape_voxels=sum(planned_voxels(placed.tumor, crop.planned.label) for placed in tumors),
        real_tumor_mm=real_tumor_places_mm(roles, spec.spacingMm) if "distanceToRealMm" in wanted else np.empty((0, 3)),
        origin_mm=(0.0, 0.0, 0.0),
        # of the crop before painting, which leaves its real tumors unchanged
        real_sharpness_hu_per_mm=real_sharpness_hu_per_mm(
            crop.image_XYZ.cpu().numpy(), roles, spec.spacingMm, spec.windowHu[1] - spec.windowHu[0]
        )
        if "edgeSharpnessToReal" in wanted
        else None,
    )
    return measure(view, wanted)
