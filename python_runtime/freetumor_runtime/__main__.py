"""One process of a job: reads the job file, joins its ranks, connects the job to the TypeScript side. Started by it."""

import gc

from freetumor_runtime.bridge.lifeline import follow_parent, keep_rank_log, leave_signals_to_parent

# before anything slow: no orphan survives, no Ctrl-C interrupts an import, and no garbage collection slows one by 8 %
for guard in (follow_parent, leave_signals_to_parent, keep_rank_log, gc.disable):
    guard()

import argparse  # noqa: E402
from collections.abc import Iterator  # noqa: E402

from freetumor_runtime import wiring  # noqa: E402
from freetumor_runtime.config import job as config  # noqa: E402
from freetumor_runtime.events import Event  # noqa: E402


def main() -> int:
    (parser := argparse.ArgumentParser(prog="freetumor_runtime")).add_argument("--job", required=True)
    channels: wiring.Channels | None = None
    try:
        channels, events = begin(config.load_spec(parser.parse_args().job))
        gc.freeze()
        gc.enable()
        for event in events:
            channels.reports.report(event)
        return 0
    except BaseException as error:  # every failure of a rank is recorded
        wiring.record_failure(error, None if channels is None else channels.reports)
        return 1
    finally:
        if channels is not None:
            channels.close()
        wiring.leave()


def begin(spec: config.JobSpec) -> tuple[wiring.Channels, Iterator[Event]]:
    """Connect a job, then import it, which may take seconds; the job works while its events are read."""
    if isinstance(spec, config.PoolSpec):
        pool = wiring.connect_pool()
        from freetumor_runtime.jobs.pools import run_pool

        return pool, run_pool(spec)
    from freetumor_runtime.training.ranks import join_ranks

    ranks = join_ranks(spec.device, spec.threadsPerProcess, spec.seed if isinstance(spec, config.TrainingSpec) else 0)
    if isinstance(spec, config.PredictSpec):
        cases = wiring.connect_prediction(ranks)
        from freetumor_runtime.jobs.predict import predict

        return cases, predict(spec, ranks, cases.source)
    if isinstance(spec, config.SynthesizeSpec):
        variants = wiring.connect_synthesis(ranks)
        from freetumor_runtime.jobs.synthesize import synthesize

        return variants, synthesize(spec, ranks, variants.source)
    if isinstance(spec, config.ServeSpec):
        calls = wiring.connect_serving(ranks)
        from freetumor_runtime.jobs.serve import serve

        return calls, serve(spec, ranks, calls.source)
    crops = wiring.connect_training(ranks, spec.runDirectory)
    return crops, train(spec, ranks, crops)


def train(spec: config.TrainingSpec, ranks, crops) -> Iterator[Event]:
    if spec.job == "synthesis":
        from freetumor_runtime.jobs.train_synthesis import train_synthesis as job
    else:
        from freetumor_runtime.jobs.train_segmentation import train_segmentation as job
    from freetumor_runtime.training.nodes import begin_alike
    from freetumor_runtime.training.step_profile import with_profile

    yield from with_profile(job(begin_alike(spec, ranks), ranks, crops.source, crops.reports.poll), spec, ranks)


if __name__ == "__main__":
    wiring.end(main())
