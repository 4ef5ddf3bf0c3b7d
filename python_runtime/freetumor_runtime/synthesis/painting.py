"""Synthetic tumors on the crops of a step: what is painted, and what the baseline sees of it (METHOD 6, 9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.loading import LoadedSegmentor, load_generator, load_segmentor
from freetumor_runtime.config import TrainingSpec
from freetumor_runtime.data.boxes import Box, grown, within
from freetumor_runtime.data.crop_source import CropMeasures
from freetumor_runtime.data.crops import (
    PlannedCrop,
    PlannedTumor,
    augment_box,
    augment_geometry,
    augment_image,
    window_intensity,
)
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.synthesis.measures import TumorView, measure, real_sharpness_hu_per_mm, real_tumor_places_mm
from freetumor_runtime.synthesis.render import (
    REAL_TUMOR,
    SYNTHETIC,
    edge_mask,
    fill_where,
    is_role,
    is_set,
    paint_into,
    paint_reach,
    region_roles,
    with_synthetic,
)
from freetumor_runtime.synthesis.texture import TextureBank


@dataclass(frozen=True)
class Stroke:
    """One planned tumor on the augmented crop: all that its painting looks at lies in `box`, where the arrays are."""

    tumor: PlannedTumor
    organ_label: int
    tumor_label: int
    channel: int
    box: Box
    # of the box: what holds the edge mask
    inside: Box
    # 0 background, 1 organ, 2 real tumor of any organ, 3 synthetic: uint8 [X, Y, Z]
    roles_XYZ: Tensor
    # shape on organ or real tumor, bool [X, Y, Z]
    edge_XYZ: Tensor
    texture_XYZ: Tensor


@dataclass(frozen=True)
class Canvas:
    """An augmented, windowed crop with its planned tumors: `image_XYZ` float32, `label_XYZ` uint8 ids of the region."""

    crop: PlannedCrop
    image_XYZ: Tensor
    label_XYZ: Tensor
    strokes: tuple[Stroke, ...]


@dataclass(frozen=True)
class Painted:
    """A crop before and after painting; without a tumor both are the same and there are no measures."""

    image_XYZ: Tensor
    label_XYZ: Tensor
    fake_XYZ: Tensor
    fake_label_XYZ: Tensor
    measures: CropMeasures | None


@dataclass(frozen=True)
class Painter:
    spec: TrainingSpec
    device: torch.device
    textures: TextureBank | None
    generator: nn.Module | None
    baseline: nn.Module | None
    # outputs of the baseline that are tumors
    baseline_tumors: tuple[int, ...]
    # what the metadata of a synthesis checkpoint says of the baseline in it
    baseline_facts: dict[str, Any]

    @staticmethod
    def build(spec: TrainingSpec, device: torch.device) -> "Painter":
        """Textures, frozen baseline and frozen generator, as far as the job has them."""
        if spec.synthesis is None:
            return Painter(spec, device, None, None, None, (), {})
        textures = TextureBank(
            spec.synthesis.textureDirectory, spec.synthesis.textureSizeVoxels, spec.synthesis.textureSeed
        )
        generator = None
        if spec.generator is not None and spec.generator.checkpoint is not None:
            generator = load_generator(spec.generator.checkpoint, spec.generator.channel, device).network
        if spec.baseline is None:
            return Painter(spec, device, textures, generator, None, (), {})
        judge = load_segmentor(spec.baseline.checkpoint, spec.baseline.patchMerging, device)
        refuse_blind_baseline(spec, judge)
        return Painter(spec, device, textures, generator, judge.network, judge.tumor_outputs, judge.facts)

    def canvases(self, crops: Sequence[PlannedCrop]) -> list[Canvas]:
        return [self._canvas(crop) for crop in crops]

    @torch.no_grad()
    def paint_one_by_one(self, crops: Sequence[PlannedCrop]) -> tuple[Painted, ...]:
        """Online use: the generator normalises each crop alone; measures by the baseline, where there is one."""
        painted = []
        for canvas in self.canvases(crops):
            if not canvas.strokes:
                image, label = canvas.image_XYZ, canvas.label_XYZ
                painted.append(Painted(image, label, image, label, None))
                continue
            raw = self.generator(canvas.image_XYZ[None, None])[0] if self.generator is not None else None
            fake_XYZ, roles_XYZ = self.compose(canvas, raw, canvas.strokes)
            painted.append(
                Painted(
                    canvas.image_XYZ,
                    canvas.label_XYZ,
                    fake_XYZ,
                    self.fake_label(canvas),
                    self._measure(canvas, fake_XYZ, roles_XYZ),
                )
            )
        return tuple(painted)

    def compose(self, canvas: Canvas, raw_CXYZ: Tensor | None, strokes: Sequence[Stroke]) -> tuple[Tensor, Tensor]:
        """Paints the strokes one after another: (image float32, roles uint8), both [X, Y, Z].

        `raw_CXYZ` is the generator's output for this crop; None paints each stroke's hand-crafted difference.
        """
        image_XYZ = canvas.image_XYZ.clone()
        roles_XYZ = self._roles(canvas.label_XYZ, strokes[0].organ_label)
        for stroke in strokes:
            raw = None if raw_CXYZ is None else raw_CXYZ[(slice(None), *stroke.box)]
            paint_into(
                image_XYZ[stroke.box],
                raw,
                stroke.edge_XYZ,
                stroke.texture_XYZ,
                stroke.roles_XYZ,
                sigma=stroke.tumor.edge_sigma,
                channel=stroke.channel,
                region=self.spec.region,
                handcrafted_difference=stroke.tumor.handcrafted_difference,
                inside=stroke.inside,
            )
            fill_where(roles_XYZ[stroke.box], is_role(stroke.roles_XYZ, SYNTHETIC), SYNTHETIC)
        return image_XYZ, roles_XYZ

    def fake_label(self, canvas: Canvas) -> Tensor:
        """Region ids with the synthetic tumors as their organ's tumor id."""
        label_XYZ = canvas.label_XYZ.clone()
        for stroke in canvas.strokes:
            fill_where(label_XYZ[stroke.box], is_role(stroke.roles_XYZ, SYNTHETIC), stroke.tumor_label)
        return label_XYZ

    def plain_roles(self, canvas: Canvas) -> Tensor:
        """Roles of a crop on which nothing was painted: its real tumors stay examples for the discriminator."""
        return self._roles(canvas.label_XYZ, 0) & REAL_TUMOR

    def sees_tumor(self, image_B1XYZ: Tensor) -> Tensor:
        """Where the baseline calls tumor: bool [B, X, Y, Z]."""
        assert self.baseline is not None
        called = self.baseline(image_B1XYZ).argmax(1)
        return torch.isin(called, torch.tensor(self.baseline_tumors, device=called.device))

    def _measure(self, canvas: Canvas, fake_XYZ: Tensor, roles_XYZ: Tensor) -> CropMeasures:
        synthetic = roles_XYZ == SYNTHETIC
        voxels = int(synthetic.sum())
        seen = already = 0
        if self.baseline is not None and voxels > 0:
            seen = int((self.sees_tumor(fake_XYZ[None, None])[0] & synthetic).sum())
            if self.spec.synthesis is not None and self.spec.synthesis.measureAlreadySeen:
                already = int((self.sees_tumor(canvas.image_XYZ[None, None])[0] & synthetic).sum())
        return measures_of(self.spec, canvas, fake_XYZ, roles_XYZ, seen, already)

    def _canvas(self, crop: PlannedCrop) -> Canvas:
        image_hu, label = crop.image_hu.to(self.device), crop.label.to(self.device)
        label_XYZ = augment_geometry(label, crop.augmentation)
        image_XYZ = augment_image(window_intensity(image_hu, self.spec.windowHu), crop.augmentation)
        strokes = tuple(self._stroke(crop, tumor, label_XYZ) for tumor in crop.tumors)
        return Canvas(crop, image_XYZ, label_XYZ, strokes)

    def _stroke(self, crop: PlannedCrop, tumor: PlannedTumor, label_XYZ: Tensor) -> Stroke:
        assert self.textures is not None
        organ = next(organ for organ in self.spec.organs if organ.name == tumor.organ)
        planned = tumor_box(tumor, crop.label.shape)
        reached = grown(planned, paint_reach(tumor.edge_sigma), crop.label.shape)
        inside, box = (augment_box(one, crop.label.shape, crop.augmentation) for one in (planned, reached))
        shape_XYZ = augment_geometry(place_shape(tumor, reached, self.device), crop.augmentation)
        before_XYZ = self._roles(label_XYZ[box], organ.label)
        shared = self.spec.generator is not None and self.spec.generator.channel == "shared"
        texture_start = [at + side.start for at, side in zip(tumor.texture_start, box, strict=True)]
        return Stroke(
            tumor=tumor,
            organ_label=organ.label,
            tumor_label=organ.tumorLabel,
            channel=0 if shared else organ.channel,
            box=box,
            inside=within(inside, box),
            roles_XYZ=with_synthetic(before_XYZ, shape_XYZ),
            edge_XYZ=edge_mask(before_XYZ, shape_XYZ),
            texture_XYZ=self.textures.part(tumor.texture_index, texture_start, tuple(shape_XYZ.shape), self.device),
        )

    def _roles(self, label_XYZ: Tensor, organ_label: int) -> Tensor:
        tumor_labels = [organ.tumorLabel for organ in self.spec.organs]
        return region_roles(label_XYZ, organ_label=organ_label, tumor_labels=tumor_labels)


def tumor_box(tumor: PlannedTumor, crop_shape: Sequence[int]) -> Box:
    """The part of the un-augmented crop that holds the tumor's shape."""
    first, second, third = (
        slice(max(0, at), max(0, at, min(side, at + length)))
        for at, length, side in zip(tumor.box_origin, tumor.box.shape, crop_shape, strict=True)
    )
    return first, second, third


def place_shape(tumor: PlannedTumor, box: Box, device: torch.device) -> Tensor:
    """The tumor's shape as bool [X, Y, Z] in a box of the un-augmented crop; what lies outside the box is lost."""
    shape_XYZ = torch.zeros([side.stop - side.start for side in box], dtype=torch.bool, device=device)
    target, source = [], []
    for at, length, side in zip(tumor.box_origin, tumor.box.shape, box, strict=True):
        low, high = max(side.start, at), min(side.stop, at + length)
        if low >= high:
            return shape_XYZ
        target.append(slice(low - side.start, high - side.start))
        source.append(slice(low - at, high - at))
    shape_XYZ[tuple(target)] = is_set(tumor.box.to(device)[tuple(source)])
    return shape_XYZ


def refuse_blind_baseline(spec: TrainingSpec, judge: LoadedSegmentor) -> None:
    """A baseline must have a tumor output for every organ that tumors are planned in."""
    known = judge.metadata.get("labelNames")
    planned = [organ.name for organ in spec.organs if spec.trainingLabels[organ.tumorLabel] != 0]
    if len(judge.tumor_outputs) >= len(planned) or spec.region == "chest":
        return
    raise CheckpointError(
        f"{spec.baseline.checkpoint if spec.baseline else ''}: its {len(judge.tumor_outputs)} tumor outputs "
        f"({known or 'unnamed'}) cannot cover the planned organs {planned}",
        "name a baseline of job `baseline` with target all",
    )


def measures_of(
    spec: TrainingSpec, canvas: Canvas, fake_XYZ: Tensor, roles_XYZ: Tensor, seen: int, already: int
) -> CropMeasures:
    """What is told of the tumors painted on a crop; `roles_XYZ` are those after painting."""
    synthetic = roles_XYZ == SYNTHETIC
    voxels = int(synthetic.sum())
    change = float((fake_XYZ - canvas.image_XYZ)[synthetic].mean()) if voxels > 0 else 0.0
    return CropMeasures(
        item=canvas.crop.item,
        crop=canvas.crop.crop,
        draw=canvas.strokes[0].tumor.draw,
        synthetic_voxels=voxels,
        seen_voxels=seen,
        already_seen_voxels=already,
        contrast=change,
        more=_more_measures(spec, canvas, fake_XYZ, roles_XYZ) if voxels > 0 else {},
    )


def _more_measures(spec: TrainingSpec, canvas: Canvas, fake_XYZ: Tensor, roles_XYZ: Tensor) -> dict[str, float]:
    wanted = spec.synthesis.measures if spec.synthesis is not None else ()
    if not wanted:
        return {}
    roles = roles_XYZ.cpu().numpy()
    view = TumorView(
        image_XYZ=fake_XYZ.cpu().numpy(),
        roles_XYZ=roles,
        spacing_mm=spec.spacingMm,
        window_width_hu=spec.windowHu[1] - spec.windowHu[0],
        shape_voxels=sum(int((stroke.tumor.box > 0).sum()) for stroke in canvas.strokes),
        real_tumor_mm=real_tumor_places_mm(roles, spec.spacingMm) if "distanceToRealMm" in wanted else np.empty((0, 3)),
        origin_mm=(0.0, 0.0, 0.0),
        # of the crop, before painting: its real tumors are as they were
        real_sharpness_hu_per_mm=real_sharpness_hu_per_mm(
            canvas.image_XYZ.cpu().numpy(), roles, spec.spacingMm, spec.windowHu[1] - spec.windowHu[0]
        )
        if "edgeSharpnessToReal" in wanted
        else None,
    )
    return measure(view, wanted)
