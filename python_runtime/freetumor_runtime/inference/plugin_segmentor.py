"""A plug-in as segmentor: windowed crops go to it in HU, its answers become logits (docs/plugins.md#segment)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from freetumor_runtime.checkpoints.loading import LoadedSegmentor
from freetumor_runtime.checkpoints.matching import MatchReport
from freetumor_runtime.data.boxes import as_box
from freetumor_runtime.inference.sliding_field import SlidingField
from freetumor_runtime.plugins.client import Plugin

# the softmax of a voted label is 1 in float32
_VOTE = 20.0
_OVERLAP = 0.5


class PluginSegmentor(nn.Module):
    """Windowed crops [B, 1, X, Y, Z] of the prepared grid -> logits [B, outputs, X, Y, Z]; without gradients.

    Label ids become logits of 20 and 0. Crops of another size than the plug-in wants are covered by windows.
    """

    def __init__(self, plugin: Plugin, window_hu: Sequence[float], spacing_mm: Sequence[float]) -> None:
        super().__init__()
        plugin.refuse_other_work("segment", "segmentor")
        facts = plugin.facts
        assert facts.segment is not None
        self.plugin = plugin
        self.outputs = len(facts.segment.names)
        self._patch = facts.segment.patchVoxels
        self._low, self._high = window_hu
        self._window_hu, self._spacing_mm = window_hu, spacing_mm

    def forward(self, image_B1XYZ: Tensor) -> Tensor:
        return torch.stack([self._segmented(image_XYZ) for image_XYZ in image_B1XYZ[:, 0]])

    def _segmented(self, image_XYZ: Tensor) -> Tensor:
        if tuple(image_XYZ.shape) == self._patch:
            return self._asked(image_XYZ)
        field = SlidingField(lambda one: self._asked(one[0, 0])[None], image_XYZ, self._patch, _OVERLAP)
        return field.at(as_box(slice(0, side) for side in image_XYZ.shape))

    def _asked(self, image_XYZ: Tensor) -> Tensor:
        hu_XYZ = image_XYZ.float() * (self._high - self._low) + self._low
        found = self.plugin.segment(hu_XYZ.cpu().numpy(), self._spacing_mm, self._window_hu)
        answer = torch.from_numpy(found).to(image_XYZ.device)
        if answer.ndim == 4:
            return answer
        return one_hot(answer.long(), self.outputs).permute(3, 0, 1, 2).float() * _VOTE


def load_plugin_judge(plugin: Plugin, window_hu: Sequence[float], spacing_mm: Sequence[float]) -> LoadedSegmentor:
    """Start a plug-in as the frozen segmentor that judges synthetic tumors. Raises PluginError."""
    network = PluginSegmentor(plugin, window_hu, spacing_mm)
    stated = plugin.facts.segment
    assert stated is not None
    tumors = plugin.facts.tumor_outputs
    facts = {"kind": "plugin", "outputs": network.outputs, "tumorOutputs": list(tumors)}
    metadata = {"labelNames": list(stated.names), "patchVoxels": list(stated.patchVoxels)}
    return LoadedSegmentor(network.eval(), tumors, facts, metadata, MatchReport(plugin.facts.name, (), (), (), ()))
