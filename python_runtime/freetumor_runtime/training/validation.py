"""Validate on whole prepared volumes, sharded by rank; ranks exchange only voxel counts (docs/method.md 10)."""

from collections.abc import Iterator

import torch
from torch import nn

from freetumor_runtime.config.training import CachedCase, TrainingSpec
from freetumor_runtime.data.cache import read_prepared_case
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.label_ids import IGNORED_LABEL, training_ids
from freetumor_runtime.events import CaseResult, Event, ValidationDone
from freetumor_runtime.training.ranks import Ranks

_COUNTS = ("truePositive", "falsePositive", "falseNegative")


def validation_due(spec: TrainingSpec, step: int) -> bool:
    """Return whether the run validates before step `step`: every `everySteps` steps, and at the end."""
    every = spec.validation.everySteps
    return bool(spec.validation.cases) and (step == spec.steps or (every is not None and step % every == 0))


def validate(spec: TrainingSpec, ranks: Ranks, segmentor: nn.Module, step: int) -> Iterator[Event]:
    """Yield one CaseResult for each case: {"counts": [{label, truePositive, falsePositive, falseNegative}]}."""
    cases = spec.validation.cases
    # every case is counted by one rank and is 0 on the others
    counts = torch.zeros(len(cases), spec.segmentor.outputs, len(_COUNTS), dtype=torch.float64)
    segmentor.eval()
    for at in range(ranks.rank, len(cases), ranks.size):
        counts[at] = _count_case(spec, ranks, segmentor, cases[at])
    segmentor.train()
    for case, by_label in zip(cases, ranks.sum(counts).tolist(), strict=True):
        measured = [
            {"label": label, **{name: int(value) for name, value in zip(_COUNTS, values, strict=True)}}
            for label, values in enumerate(by_label)
            if label > 0
        ]
        yield CaseResult(case.id, {"counts": measured})
    yield ValidationDone(step)


def _count_case(spec: TrainingSpec, ranks: Ranks, segmentor: nn.Module, case: CachedCase) -> torch.Tensor:
    """Count the voxels [outputs, 3] of one case with the function of evaluation."""
    # MONAI and SciPy: their import would delay the first step
    from freetumor_runtime.evaluation.case_metrics import measure_overlap
    from freetumor_runtime.inference.sliding_windows import labels_of, segment_volume

    image, label, _attributes = read_prepared_case(case.path, case.contentSha256)
    image_XYZ = window_intensity(torch.from_numpy(image).to(ranks.device), spec.windowHu)
    windows = spec.validation.windows
    segmented = segment_volume(
        segmentor, image_XYZ, spec.patchVoxels, windows.overlap, windows.blend, windows.windowBatch
    )
    predicted_XYZ = labels_of(segmented.logits_CXYZ).cpu().numpy()
    truth_XYZ = training_ids(spec.trainingLabels)[label]
    # ignored voxels count as neither true nor false
    predicted_XYZ[label == IGNORED_LABEL] = 0
    counts = torch.zeros(spec.segmentor.outputs, len(_COUNTS), dtype=torch.float64)
    for label_id in range(1, spec.segmentor.outputs):
        overlap = measure_overlap(predicted_XYZ == label_id, truth_XYZ == label_id, spec.spacingMm, ())
        counts[label_id] = torch.tensor([overlap[name] for name in _COUNTS], dtype=torch.float64)
    return counts
