"""Measures of masks against labels, one case a process (METHOD 11); TypeScript aggregates.

freetumor evaluate --predictions DIR --labels DIR --profile freetumor
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from freetumor_runtime.config import EvaluateCase, EvaluateSpec
from freetumor_runtime.events import Event, Finished
from freetumor_runtime.jobs.case_pool import run_cases

_MEASURING = "freetumor_runtime.data.case_metrics"


def evaluate(spec: EvaluateSpec) -> Iterator[Event]:
    """A CaseResult a case (the measures, or `error`), in the order in which they are done."""
    # Without the other cases: what is sent with each would grow with their square.
    settings = replace(spec, cases=())
    # MONAI resamples where a profile has a spacing of its own
    imports = [_MEASURING] if spec.spacingMm is None else [_MEASURING, "monai.data", "monai.transforms"]
    work = partial(evaluate_case, spec=settings)
    yield from run_cases(spec.cases, work, spec.workers, "use fewer --workers", imports)
    yield Finished(0, "completed", "")


def evaluate_case(case: EvaluateCase, spec: EvaluateSpec) -> dict:
    """The measures of one case. Raises DataError that names the file."""
    from freetumor_runtime.data.case_metrics import measure_files

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
        organ_path=case.organ,
        score_paths=case.scores,
    )
