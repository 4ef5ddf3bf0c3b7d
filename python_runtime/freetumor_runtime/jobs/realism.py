"""Measures of real and synthetic tumors, one case a process, then figures by group; TypeScript builds the result.

freetumor realism SYNTHETIC REAL --out DIR
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from freetumor_runtime.case_pool import run_cases
from freetumor_runtime.config.realism import ComparedGroup, CompareTumorsSpec, RealismCase, RealismSpec
from freetumor_runtime.events import Event, Finished

_FEWER = "use fewer --workers"


def measure_tumors(spec: RealismSpec) -> Iterator[Event]:
    """Yield a CaseResult per case: `{file, tumors, reused}`, or `error`."""
    # Without the other cases: otherwise the sent data would grow with the square of their number.
    work = partial(measure, spec=replace(spec, cases=()))
    modules = ["measuring"] if spec.encoder is None else ["measuring", "encoder"]
    yield from run_cases(
        spec.cases, work, spec.workers, _FEWER, [f"freetumor_runtime.realism.{name}" for name in modules]
    )
    yield Finished(0, "completed", "")


def measure(case: RealismCase, spec: RealismSpec) -> dict:
    """Measure the tumors of one case. Raises DataError that names the file."""
    from freetumor_runtime.realism.measuring import measure_case

    return measure_case(case, spec)


def compare_tumors(spec: CompareTumorsSpec) -> Iterator[Event]:
    """Yield a CaseResult per group: its figures, or the search for copies."""
    work = partial(compare, spec=replace(spec, cases=()))
    yield from run_cases(spec.cases, work, spec.workers, _FEWER, ["freetumor_runtime.realism.comparison"])
    yield Finished(0, "completed", "")


def compare(group: ComparedGroup, spec: CompareTumorsSpec) -> dict:
    """Compare the tumors of one group."""
    from freetumor_runtime.realism.comparison import compare_group, find_copies

    return find_copies(spec) if group.kind == "copies" else compare_group(group, spec)
