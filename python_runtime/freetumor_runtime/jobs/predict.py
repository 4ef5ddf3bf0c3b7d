"""Label maps of whole scans by sliding windows, on the grid of the scan (METHOD 11).

freetumor predict --checkpoint model.pt --images DIR --out DIR
"""

from collections.abc import Iterator
from time import perf_counter

import numpy as np
import torch

from freetumor_runtime.config import PredictCase, PredictSpec
from freetumor_runtime.data.crops import window
from freetumor_runtime.data.nifti import save_nifti
from freetumor_runtime.data.volumes import load_prepared_image, to_original_grid
from freetumor_runtime.data.windows import segment_volume
from freetumor_runtime.errors import FreetumorError, UsageError
from freetumor_runtime.events import CaseResult, Event, Finished
from freetumor_runtime.models.checkpoint import LoadedSegmentor, load_segmentor
from freetumor_runtime.training.ranks import Ranks


def predict(spec: PredictSpec, ranks: Ranks) -> Iterator[Event]:
    segmentor = load_segmentor(spec.checkpoint, spec.patchMerging, ranks.device)
    for case in spec.cases[ranks.rank :: ranks.size]:
        try:
            result = predict_case(spec, segmentor, case, ranks.device)
        except FreetumorError as error:
            result = {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}
        yield CaseResult(case.id, result)
    yield Finished(0, "completed", "")


def predict_case(spec: PredictSpec, segmentor: LoadedSegmentor, case: PredictCase, device: torch.device) -> dict:
    """Writes the mask of one scan; returns {output, seconds, labelVoxels}."""
    started = perf_counter()
    window_hu = spec.windowHu or told(segmentor, "windowHu")
    spacing_mm = spec.spacingMm or told(segmentor, "spacingMm")
    patch = spec.patchVoxels or told(segmentor, "patchVoxels")
    prepared = load_prepared_image(case.image, spacing_mm, window_hu[0])
    image_XYZ = window(torch.from_numpy(prepared.image_hu).to(device), window_hu)
    windows = spec.windows
    logits_CXYZ = segment_volume(
        segmentor.network, image_XYZ, patch, windows.overlap, windows.blend, windows.windowBatch
    )
    mask = logits_CXYZ.argmax(0).to(torch.uint8).cpu().numpy()
    if spec.map is not None:
        lookup = np.array([spec.map.get(str(value), value) for value in range(logits_CXYZ.shape[0])], np.uint8)
        mask = lookup[mask]
    original = to_original_grid(mask, prepared)
    save_nifti(case.output, original, prepared.source_affine, np.uint8)
    voxels = np.bincount(original.ravel(), minlength=logits_CXYZ.shape[0])
    return {"output": case.output, "seconds": perf_counter() - started, "labelVoxels": voxels.tolist()}


def told(segmentor: LoadedSegmentor, key: str) -> tuple:
    """A setting of the checkpoint's metadata; never guessed."""
    value = segmentor.metadata.get(key)
    if value is None:
        raise UsageError(f"the checkpoint does not say its {key}", "give --region or --config")
    return tuple(value)
