"""Measures of masks against labels, and pictures of both, one case a process (method.md 11); TypeScript aggregates.

freetumor evaluate --predictions DIR --labels DIR --profile freetumor
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from freetumor_runtime.case_pool import run_cases
from freetumor_runtime.config.cases import EvaluateCase, EvaluateSpec, PictureCase, PictureSpec
from freetumor_runtime.data.nifti import write_synced
from freetumor_runtime.errors import DataError
from freetumor_runtime.events import Event, Finished

_MEASURING = "freetumor_runtime.evaluation.case_metrics"
_DRAWING = ("freetumor_runtime.evaluation.mask_pair", "freetumor_runtime.evaluation.mask_pictures")


def evaluate(spec: EvaluateSpec) -> Iterator[Event]:
    """Yield a CaseResult per case (the measures, or `error`), in the order of completion."""
    # Without the other cases: otherwise the sent data would grow with the square of their number.
    settings = replace(spec, cases=())
    work = partial(evaluate_case, spec=settings)
    yield from run_cases(spec.cases, work, spec.workers, "use fewer --workers", [_MEASURING])
    yield Finished(0, "completed", "")


def evaluate_case(case: EvaluateCase, spec: EvaluateSpec) -> dict:
    """Return the measures of one case. Raises DataError that names the file."""
    from freetumor_runtime.evaluation.case_metrics import measure_files

    return measure_files(
        case.prediction,
        case.label,
        labels=spec.labels,
        tumor_labels=spec.tumorLabels,
        nsd_tolerances_mm=spec.nsdTolerancesMm,
        lesions=spec.lesions,
        spacing_mm=spec.spacingMm,
        prediction_map=spec.predictionMap,
        label_map=spec.labelMap,
        ignored_ids=spec.ignoredIds,
        organ_path=case.organ,
        score_paths=case.scores,
        lesion_features=spec.lesionFeatures,
        operating_point=spec.operatingPoint,
        organ_of_tumor=spec.organOfTumor,
        image_path=case.image,
    )


def picture(spec: PictureSpec) -> Iterator[Event]:
    """Yield a CaseResult per case: `{output}`, the file that it wrote, or `error`."""
    settings = replace(spec, cases=())
    work = partial(picture_case, spec=settings)
    yield from run_cases(spec.cases, work, spec.workers, "use fewer --workers", _DRAWING)
    yield Finished(0, "completed", "")


def picture_case(case: PictureCase, spec: PictureSpec) -> dict:
    """Write `{case, windowHu, planes, whole}` to the case's output. Raises DataError that names the file."""
    from freetumor_runtime.data.grids import align_label
    from freetumor_runtime.data.nifti import load_nifti
    from freetumor_runtime.evaluation.mask_pair import load_pair
    from freetumor_runtime.evaluation.mask_pictures import picture_planes

    load = partial(
        load_pair,
        label_path=case.label,
        prediction_map=spec.predictionMap,
        label_map=spec.labelMap,
        ignored_ids=spec.ignoredIds,
        # the measures have judged the organ mask
        labels=(),
        tumor_labels=spec.tumorLabels,
        organ_path=case.organ,
        spacing_mm=None,
    )
    pair = load(case.prediction, score_paths=case.scores, operating_point=spec.operatingPoint)
    against_XYZ = None if case.against is None else load(case.against, score_paths=()).predicted_XYZ
    image_XYZ = None
    if case.image is not None:
        scan_XYZ, affine = load_nifti(case.image)
        image_XYZ = align_label(scan_XYZ, affine, pair.truth_XYZ.shape, pair.affine)
        if image_XYZ is None:
            raise DataError(
                f"{case.image}: its grid is not that of {case.label} in physical space",
                "name the scans of these labels",
            )
    planes = picture_planes(
        pair.predicted_XYZ, pair.truth_XYZ, image_XYZ, pair.affine, spec.tumorLabels, spec.windowHu, against_XYZ
    )
    write_synced(case.output, json.dumps({"case": case.id, **planes}).encode())
    return {"output": case.output}
