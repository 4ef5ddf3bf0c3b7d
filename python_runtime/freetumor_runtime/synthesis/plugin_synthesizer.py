"""Paint a planned tumor with a plug-in: its crop is blended into the host within the change mask (docs/plugins.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from freetumor_runtime.config.common import Organ, PluginSpec
from freetumor_runtime.data.boxes import Box, as_box, within
from freetumor_runtime.plugins.client import Plugin, SynthesisRequest
from freetumor_runtime.plugins.facts import seed_of
from freetumor_runtime.synthesis.painting import PlacedTumor
from freetumor_runtime.synthesis.render import SYNTHETIC, edge_weight, is_organ

_SIDE_STEP = 8


@dataclass(frozen=True)
class PluginSynthesizer:
    """Paints tumors with a plug-in; `seed` is that of the run."""

    plugin: Plugin
    seed: int
    organs: Sequence[Organ]
    window_hu: Sequence[float]
    spacing_mm: Sequence[float]

    def paint(self, image_XYZ: Tensor, label_XYZ: Tensor, placed: PlacedTumor, place: Sequence[str | int]) -> None:
        """Paint a tumor into the windowed image in place. `place` names the attempt within the run, for its seed.

        Where the weight of the change mask is 0, the image stays bit-identical. Raises PluginError, image unchanged.
        """
        synthesize = self.plugin.facts.synthesize
        assert synthesize is not None
        crop = crop_around(placed.box, synthesize.patchVoxels, image_XYZ.shape)
        shape_XYZ = torch.zeros([side.stop - side.start for side in crop], dtype=torch.uint8)
        inside = within(placed.box, crop)
        shape_XYZ[inside] = (placed.roles_XYZ == SYNTHETIC).to("cpu", torch.uint8)
        low, high = self.window_hu
        answer = self.plugin.synthesize(
            SynthesisRequest(
                image=(image_XYZ[crop] * (high - low) + low).cpu().numpy(),
                label=label_XYZ[crop].cpu().numpy(),
                shape=shape_XYZ.numpy(),
                organ=placed.organ.name,
                size=placed.tumor.size,
                seed=seed_of(self.seed, *place),
                spacing_mm=self.spacing_mm,
                window_hu=self.window_hu,
                classes=classes_of(self.organs),
            )
        )
        answer_XYZ = torch.from_numpy(answer)[inside].to(image_XYZ.device).sub_(low).div_(high - low)
        weight_XYZ = edge_weight(placed.edge_XYZ, placed.tumor.edge_sigma) * is_organ(placed.roles_XYZ)
        host_XYZ = image_XYZ[placed.box]
        blended_XYZ = (host_XYZ + weight_XYZ * (answer_XYZ - host_XYZ)).to(torch.float32)
        host_XYZ.copy_(torch.where(weight_XYZ > 0, blended_XYZ, host_XYZ))


class PaintingSpec(Protocol):
    """The keys of a job that a synthesizer needs."""

    @property
    def organs(self) -> Sequence[Organ]: ...
    @property
    def windowHu(self) -> Sequence[float]: ...
    @property
    def spacingMm(self) -> Sequence[float]: ...
    @property
    def threadsPerProcess(self) -> int: ...


def plugin_synthesizer(plugin: PluginSpec, spec: PaintingSpec, seed: int, device: torch.device) -> PluginSynthesizer:
    """Start a plug-in that paints the tumors of a job. Raises PluginError."""
    started = Plugin(plugin, str(device), spec.threadsPerProcess)
    started.refuse_other_work("synthesize", "generator")
    return PluginSynthesizer(started, seed, spec.organs, spec.windowHu, spec.spacingMm)


def classes_of(organs: Sequence[Organ]) -> dict[int, str]:
    """Return the names of the label ids that a request explains."""
    names = {organ.label: organ.name for organ in organs}
    tumors = {organ.tumorLabel: f"{organ.name} tumor" for organ in organs}
    return dict(sorted({**names, **tumors}.items()))


def crop_around(box: Box, patch: Sequence[int], shape: Sequence[int]) -> Box:
    """Return a part of a volume, centred on the box as far as the volume allows.

    Its sides are those of `patch`; for a larger box the next multiples of 8, and at most those of the volume.
    """
    sides = []
    for part, wanted, length in zip(box, patch, shape, strict=True):
        held = part.stop - part.start
        side = min(max(wanted, -(-held // _SIDE_STEP) * _SIDE_STEP), length)
        start = min(max(0, (part.start + part.stop - side) // 2), length - side)
        # a box near an end of the volume stays inside
        start = max(min(start, part.start), part.stop - side)
        sides.append(slice(start, start + side))
    return as_box(sides)
