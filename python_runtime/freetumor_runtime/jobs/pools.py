"""Jobs that work case by case in a pool of processes, each imported when it is asked for."""

from collections.abc import Iterator

from freetumor_runtime.config import job as config
from freetumor_runtime.events import Event


def run_pool(spec: config.PoolSpec) -> Iterator[Event]:
    """Run the job of a specification."""
    if isinstance(spec, config.PrepareSpec):
        from freetumor_runtime.jobs.prepare import prepare

        return prepare(spec)
    if isinstance(spec, config.EvaluateSpec | config.PictureSpec):
        from freetumor_runtime.jobs.evaluate import evaluate, picture

        return evaluate(spec) if isinstance(spec, config.EvaluateSpec) else picture(spec)
    from freetumor_runtime.jobs.realism import compare_tumors, measure_tumors

    return measure_tumors(spec) if isinstance(spec, config.RealismSpec) else compare_tumors(spec)
