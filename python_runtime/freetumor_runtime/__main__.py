"""One process of a job: reads the job file, joins its ranks, connects the job to the TypeScript side. Started by it."""

from freetumor_runtime.bridge.lifeline import follow_parent, keep_rank_log, leave_signals_to_parent

# before anything slow: no orphan survives, and no Ctrl-C interrupts an import
follow_parent(), leave_signals_to_parent(), keep_rank_log()

import argparse  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from importlib import import_module  # noqa: E402

from freetumor_runtime import config  # noqa: E402
from freetumor_runtime.events import Event  # noqa: E402
from freetumor_runtime.wiring import Wires, connect, end, leave, record_failure  # noqa: E402

# jobs of a plain pool of processes, and their modules
_POOLED = {config.PrepareSpec: "prepare", config.EvaluateSpec: "evaluate", config.PictureSpec: "evaluate"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="freetumor_runtime")
    parser.add_argument("--job", required=True)
    wires: Wires | None = None
    try:
        spec = config.load_spec(parser.parse_args().job)
        ranks = join(spec)
        wires = connect(spec, ranks)
        for event in run_job(spec, ranks, wires):
            wires.report(event)
        return 0
    except BaseException as error:  # the last word of a rank: whatever it was, it is told
        record_failure(error, wires)
        return 1
    finally:
        if wires is not None:
            wires.close()
        leave()


def join(spec: config.JobSpec):
    """Ranks of a torch job; None for a plain pool of processes."""
    if type(spec) in _POOLED:
        return None
    from freetumor_runtime.training.ranks import join_ranks

    return join_ranks(spec.device, spec.threadsPerProcess, spec.seed if isinstance(spec, config.TrainingSpec) else 0)


def run_job(spec: config.JobSpec, ranks, wires: Wires) -> Iterator[Event]:
    if type(spec) in _POOLED:
        # the function bears the job's name
        return getattr(import_module(f"freetumor_runtime.jobs.{_POOLED[type(spec)]}"), spec.job)(spec)
    if isinstance(spec, config.PredictSpec):
        from freetumor_runtime.jobs.predict import predict

        return predict(spec, ranks, wires.cases)
    if isinstance(spec, config.SynthesizeSpec):
        from freetumor_runtime.jobs.synthesize import synthesize

        return synthesize(spec, ranks, wires.variants)
    if isinstance(spec, config.ServeSpec):
        from freetumor_runtime.jobs.serve import serve

        return serve(spec, ranks, wires.calls)
    from freetumor_runtime.training.nodes import begin_alike

    if spec.job == "synthesis":
        from freetumor_runtime.jobs.train_synthesis import train_synthesis

        return train_synthesis(begin_alike(spec, ranks), ranks, wires.feed, wires.poll)
    from freetumor_runtime.jobs.train_segmentation import train_segmentation

    return train_segmentation(begin_alike(spec, ranks), ranks, wires.feed, wires.poll)


if __name__ == "__main__":
    end(main())
