"""Measures of masks against labels, one case a process (METHOD 11); TypeScript aggregates.

freetumor evaluate --predictions DIR --labels DIR --profile freetumor
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from freetumor_runtime.config import EvaluateCase, EvaluateSpec
from freetumor_runtime.data.case_metrics import measure_files
from freetumor_runtime.events import Event, Finished
from freetumor_runtime.jobs.case_pool import run_cases


def evaluate(spec: EvaluateSpec) -> Iterator[Event]:
    """A CaseResult a case (the measures, or `error`), in the order in which they are done."""
    # Without the other cases: what is sent with each would grow with their square.
    settings = replace(spec, cases=())
    yield from run_cases(spec.cases, partial(evaluate_case, spec=settings), spec.workers, "use fewer --workers")
    yield Finished(0, "completed", "")


def evaluate_case(case: EvaluateCase, spec: EvaluateSpec) -> dict:
    """The measures of one case. Raises DataError that names the file."""
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
