"""Whole prepared validation volumes, sharded by rank; only voxel counts leave the ranks (METHOD 10)."""

from collections.abc import Iterator

import torch
from torch import nn

from freetumor_runtime.config import TrainingSpec
from freetumor_runtime.data.cache import read_prepared_case
from freetumor_runtime.data.crops import window
from freetumor_runtime.data.windows import segment_volume
from freetumor_runtime.events import CaseResult, Event, ValidationDone
from freetumor_runtime.training.ranks import Ranks


def validate(spec: TrainingSpec, ranks: Ranks, segmentor: nn.Module, step: int) -> Iterator[Event]:
    """Yields one CaseResult a case: {"counts": [{label, truePositive, falsePositive, falseNegative}]}."""
    cases = spec.validation.cases
    counts = torch.zeros(len(cases), spec.segmentor.outputs, 3, dtype=torch.float64)
    segmentor.eval()
    for at in range(ranks.rank, len(cases), ranks.size):
        counts[at] = _count_case(spec, ranks, segmentor, cases[at].path)
    segmentor.train()
    # every case is counted by one rank and is 0 on the others
    for case, by_label in zip(cases, ranks.sum(counts).tolist(), strict=True):
        yield CaseResult(
            case.id,
            {
                "counts": [
                    {
                        "label": label,
                        "truePositive": int(true_positive),
                        "falsePositive": int(false_positive),
                        "falseNegative": int(false_negative),
                    }
                    for label, (true_positive, false_positive, false_negative) in enumerate(by_label)
                    if label > 0
                ]
            },
        )
    yield ValidationDone(step)


def _count_case(spec: TrainingSpec, ranks: Ranks, segmentor: nn.Module, path: str) -> torch.Tensor:
    image, label, _attributes = read_prepared_case(path)
    image_XYZ = window(torch.from_numpy(image).to(ranks.device), spec.windowHu)
    windows = spec.validation.windows
    logits_CXYZ = segment_volume(
        segmentor, image_XYZ, spec.patchVoxels, windows.overlap, windows.blend, windows.windowBatch
    )
    predicted = logits_CXYZ.argmax(0).cpu()
    lookup = torch.tensor(spec.trainingLabels, dtype=torch.int64)
    truth = lookup[torch.from_numpy(label).long()]
    counts = torch.zeros(spec.segmentor.outputs, 3, dtype=torch.float64)
    for label_id in range(1, spec.segmentor.outputs):
        called, true = predicted == label_id, truth == label_id
        counts[label_id, 0] = (called & true).sum()
        counts[label_id, 1] = (called & ~true).sum()
        counts[label_id, 2] = (~called & true).sum()
    return counts
