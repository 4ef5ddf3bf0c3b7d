"""Measures of masks against labels, one case a process (METHOD 11); TypeScript aggregates.

freetumor evaluate --predictions DIR --labels DIR --profile freetumor
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from freetumor_runtime.config import EvaluateCase, EvaluateSpec
from freetumor_runtime.data.case_metrics import measure_files
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.events import CaseResult, Event, Finished


def evaluate(spec: EvaluateSpec) -> Iterator[Event]:
    with ProcessPoolExecutor(spec.workers, mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(evaluate_case, spec, case): case for case in spec.cases}
        for done in as_completed(pending):
            yield CaseResult(pending[done].id, done.result())
    yield Finished(0, "completed", "")


def evaluate_case(spec: EvaluateSpec, case: EvaluateCase) -> dict:
    try:
        return measure_files(
            case.prediction,
            case.label,
            labels=spec.labels,
            tumor_labels=spec.tumorLabels,
            nsd_tolerance_mm=spec.nsdToleranceMm,
            lesions=spec.lesions,
            spacing_mm=spec.spacingMm,
        )
    except FreetumorError as error:
        return {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}
