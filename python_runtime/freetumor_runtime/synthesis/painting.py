"""Paint planned tumors into crops of a training and into subvolumes of a scan (docs/method.md 6).

A volume is a windowed image, float32 [X, Y, Z], with its label, uint8 ids of the region. Each tumor is placed on the
label as it was before any tumor was painted; tumors are painted one after another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freetumor_runtime.config.common import Organ
from freetumor_runtime.data.boxes import Box, as_box, grown, within
from freetumor_runtime.data.crops import Augmentation, PlannedTumor, augment_box, augment_geometry
from freetumor_runtime.data.device_copy import to_device
from freetumor_runtime.data.label_ids import IGNORED_LABEL
from freetumor_runtime.synthesis.render import (
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

# box of a volume -> output of a network in it, [K, X, Y, Z]; it may be computed on request
Field = Callable[[Box], Tensor]


@dataclass(frozen=True)
class PlacedTumor:
    """A planned tumor on the label of a volume. Its arrays cover `box`: painting reads nothing else."""

    tumor: PlannedTumor
    organ: Organ
    box: Box
    # 0 background, 1 organ, 2 real tumor of any organ, 3 synthetic: uint8 [X, Y, Z]
    roles_XYZ: Tensor
    # shape on organ or real tumor, bool [X, Y, Z]
    edge_XYZ: Tensor
    # a part of the box that holds the whole edge mask
    edge_box: Box


@dataclass(frozen=True)
class TumorPainter:
    """Paints the tumors of a region's organs; `shared_channel`: output 0 of the generator is used for all organs."""

    region: str
    organs: Sequence[Organ]
    shared_channel: bool
    textures: TextureBank
    device: torch.device

    def place(self, tumor: PlannedTumor, label_XYZ: Tensor, augmentation: Augmentation | None = None) -> PlacedTumor:
        """Place a tumor on a label. With an augmentation, the label is augmented and the plan precedes it."""
        organ = next(organ for organ in self.organs if organ.name == tumor.organ)
        planned_shape = _shape_before(label_XYZ.shape, augmentation)
        edge_box = tumor_box(tumor, planned_shape)
        box = grown(edge_box, paint_reach(tumor.edge_sigma), planned_shape)
        shape_XYZ = place_shape(tumor, box, self.device)
        if augmentation is not None:
            edge_box, box = (augment_box(one, planned_shape, augmentation) for one in (edge_box, box))
            shape_XYZ = augment_geometry(shape_XYZ, augmentation)
        before_XYZ = self.roles(label_XYZ[box], organ.label)
        return PlacedTumor(
            tumor=tumor,
            organ=organ,
            box=box,
            roles_XYZ=with_synthetic(before_XYZ, shape_XYZ),
            edge_XYZ=edge_mask(before_XYZ, shape_XYZ),
            edge_box=within(edge_box, box),
        )

    def paint(self, image_XYZ: Tensor, placed: PlacedTumor, raw: Field | None) -> None:
        """Paint a tumor into the image in place; `raw` is the generator's output, None the hand-crafted difference."""
        tumor, box = placed.tumor, placed.box
        texture_start = [at + side.start for at, side in zip(tumor.texture_start, box, strict=True)]
        paint_into(
            image_XYZ[box],
            None if raw is None else raw(box),
            placed.edge_XYZ,
            self.textures.part(tumor.texture_index, texture_start, placed.edge_XYZ.shape, self.device),
            placed.roles_XYZ,
            sigma=tumor.edge_sigma,
            channel=0 if self.shared_channel else placed.organ.channel,
            region=self.region,
            handcrafted_difference=tumor.handcrafted_difference,
            inside=placed.edge_box,
        )

    def roles(self, label_XYZ: Tensor, organ_label: int) -> Tensor:
        """Return the roles of a label without synthetic tumors, uint8."""
        tumor_labels = [organ.tumorLabel for organ in self.organs]
        return region_roles(label_XYZ, organ_label=organ_label, tumor_labels=tumor_labels)


def mark_synthetic(ids_XYZ: Tensor, box: Box, roles_XYZ: Tensor, id: int) -> None:
    """Write `id` into the uint8 ids of a volume where the placed tumor is synthetic."""
    fill_where(ids_XYZ[box], is_role(roles_XYZ, SYNTHETIC), id)


def tumor_box(tumor: PlannedTumor, shape: Sequence[int]) -> Box:
    """Return the part of a volume of this shape that contains the shape of the tumor."""
    return as_box(
        slice(max(0, at), max(0, at, min(side, at + length)))
        for at, length, side in zip(tumor.box_origin, tumor.box.shape, shape, strict=True)
    )


def planned_voxels(tumor: PlannedTumor, label_XYZ: Tensor) -> int:
    """Return the number of voxels of a planned tumor on a label that is not augmented, without ignored ones."""
    box = tumor_box(tumor, label_XYZ.shape)
    ignored_XYZ = is_role(label_XYZ[box].cpu(), IGNORED_LABEL) & place_shape(tumor, box, torch.device("cpu"))
    return int(is_set(tumor.box).sum()) - int(ignored_XYZ.sum())


def place_shape(tumor: PlannedTumor, box: Box, device: torch.device) -> Tensor:
    """Return the tumor's shape as bool [X, Y, Z] in a box of its volume, without voxels outside the box."""
    shape_XYZ = torch.zeros([side.stop - side.start for side in box], dtype=torch.bool, device=device)
    target, source = [], []
    for at, length, side in zip(tumor.box_origin, tumor.box.shape, box, strict=True):
        low, high = max(side.start, at), min(side.stop, at + length)
        if low >= high:
            return shape_XYZ
        target.append(slice(low - side.start, high - side.start))
        source.append(slice(low - at, high - at))
    shape_XYZ[tuple(target)] = is_set(to_device(tumor.box, device)[tuple(source)])
    return shape_XYZ


def _shape_before(shape: Sequence[int], augmentation: Augmentation | None) -> tuple[int, ...]:
    """Return the shape of a crop before `augment_geometry` from its shape after it."""
    x, y, z = shape
    return (y, x, z) if augmentation is not None and augmentation.quarter_turns % 2 == 1 else (x, y, z)
