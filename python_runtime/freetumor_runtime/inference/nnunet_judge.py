"""Load the frozen segmentor that judges synthetic tumors: a checkpoint file, an nnU-Net's model folder, a plug-in."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from freetumor_runtime.checkpoints.loading import LoadedSegmentor, load_segmentor
from freetumor_runtime.checkpoints.matching import MatchReport
from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
from freetumor_runtime.checkpoints.nnunet_inspection import along_scan, tumor_outputs_of
from freetumor_runtime.checkpoints.nnunet_plans import NnUNetPlans, is_model_folder
from freetumor_runtime.config.common import BaselineSpec
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.inference.plugin_segmentor import load_plugin_judge
from freetumor_runtime.plugins.client import Plugin

_SMALLEST_DEVIATION = 1e-8


def load_judge(
    baseline: BaselineSpec,
    window_hu: Sequence[float],
    spacing_mm: Sequence[float],
    device: torch.device,
    threads: int,
) -> LoadedSegmentor:
    """Load a segmentor for windowed crops of the prepared grid; see load_segmentor. An nnU-Net adapts them itself.

    `threads`: of the process of a plug-in.
    """
    if baseline.plugin is not None:
        return load_plugin_judge(Plugin(baseline.plugin, str(device), threads), window_hu, spacing_mm)
    path = baseline.checkpoint
    assert path is not None
    if not is_model_folder(path):
        return load_segmentor(path, baseline.patchMerging, device, baseline.weights)
    folder = read_folder(path)
    plans = folder.plans
    if plans.normalization.scheme != "CTNormalization":
        raise CheckpointError(
            f"{path}: cannot judge crops (expected CTNormalization, found {plans.normalization.scheme})",
            "name a model that was trained on CT",
        )
    judge = NnUNetJudge(load_folds(folder, device), plans, window_hu, spacing_mm)
    tumors = tumor_outputs_of(plans)
    facts = {"kind": "nnunet", "outputs": len(plans.label_names), "patchMerging": None, "mergingAssumed": False}
    patch = [
        max(1, round(side * own / prepared))
        for side, own, prepared in zip(
            along_scan(plans, plans.patch), along_scan(plans, plans.spacing_mm), spacing_mm, strict=True
        )
    ]
    metadata = {"labelNames": list(plans.label_names), "patchVoxels": patch}
    report = MatchReport(path, tuple(folder.folds[0].tensors), (), (), ())
    return LoadedSegmentor(judge.eval(), tumors, {**facts, "tumorOutputs": list(tumors)}, metadata, report)


class NnUNetJudge(nn.Module):
    """Windowed crops [B, 1, X, Y, Z] of the prepared grid -> mean logits of the folds [B, outputs, X, Y, Z].

    The crop goes back to HU, is normalized as the plans state, and resampled linearly to their spacing: its logits are
    close to those of a prediction, not equal. Gradients reach the crop.
    """

    def __init__(
        self, networks: Sequence[nn.Module], plans: NnUNetPlans, window_hu: Sequence[float], spacing_mm: Sequence[float]
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._low, self._high = window_hu
        self._rule = plans.normalization
        # array axes are slices, rows, columns; then transposed
        self._order = [0, 1, *(2 + 2 - axis for axis in plans.transpose)]
        spacing = [list(spacing_mm)[2 - axis] for axis in plans.transpose]
        self._scales = [own / wanted for own, wanted in zip(spacing, plans.spacing_mm, strict=True)]
        self._multiples = [math.prod(steps) for steps in zip(*(stage.stride for stage in plans.stages), strict=True)]

    def forward(self, image_B1XYZ: Tensor) -> Tensor:
        hu = image_B1XYZ * (self._high - self._low) + self._low
        rule = self._rule
        values = (hu.clamp(*rule.clip) - rule.mean) / max(rule.deviation, _SMALLEST_DEVIATION)
        values = values.permute(self._order)
        shape = values.shape[2:]
        sides = [max(1, round(side * scale)) for side, scale in zip(shape, self._scales, strict=True)]
        missing = [-side % multiple for side, multiple in zip(sides, self._multiples, strict=True)]
        padded = pad(
            _resized(values, sides), [part for one in reversed(missing) for part in (one // 2, one - one // 2)]
        )
        logits = torch.stack([network(padded) for network in self.networks]).mean(0)
        inside = [slice(one // 2, one // 2 + side) for one, side in zip(missing, sides, strict=True)]
        back = _resized(logits[(slice(None), slice(None), *inside)], shape)
        return back.permute([self._order.index(axis) for axis in range(5)])


def _resized(values: Tensor, shape: Sequence[int]) -> Tensor:
    if tuple(values.shape[2:]) == tuple(shape):
        return values
    return interpolate(values, tuple(shape), mode="trilinear", align_corners=False)
