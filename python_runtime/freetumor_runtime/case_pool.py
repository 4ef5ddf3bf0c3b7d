"""Cases worked on by processes, so that one bad case costs itself only; prepare and evaluate run on it.

What the work imports is imported once, in the process that the workers are forked from; the job itself does without.
"""

import errno
import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any, Protocol

from freetumor_runtime.errors import ConfigError, EnvironmentError, FreetumorError
from freetumor_runtime.events import CaseResult


class Case(Protocol):
    @property
    def id(self) -> str: ...


# hints for limits of the system
_LIMITS = {
    errno.EMFILE: "raise the limit: `ulimit -n 4096`",
    errno.EAGAIN: "raise the limit: `ulimit -u`",
    errno.ENOMEM: "close other programs",
}

# Must be picklable: a function of a module, or functools.partial of one.
Work = Callable[[Any], dict[str, Any]]


def run_cases(
    cases: Sequence[Case], work: Work, workers: int, fewer_workers: str, imports: Sequence[str] = ()
) -> Iterator[CaseResult]:
    """Yield each case when it is done: the result of `work(case)`, or `{error: {kind, message, hint}}` if it failed.

    A killed process loses only its case, and workers end with their parent. `fewer_workers` is the hint to use fewer of
    them; `imports` are modules that the work imports. Raises ConfigError for two cases of one id.
    """
    refuse_twins(cases)
    pending = list(cases)
    while pending:
        lost = []
        for case, outcome in _run_pool(pending, work, workers, fewer_workers, imports):
            if outcome is None:
                lost.append(case)
            else:
                yield CaseResult(case.id, outcome)
        if lost and workers == 1:
            message = f"case {lost[0].id}: its process was killed, probably for memory"
            yield CaseResult(lost[0].id, _failure("environment", message, fewer_workers))
            lost = lost[1:]
        # The case that killed its process is unknown among several: the rest runs one by one.
        pending, workers = lost, 1


def refuse_twins(cases: Sequence[Case]) -> None:
    """Raise ConfigError for two cases of one id."""
    counts = Counter(case.id for case in cases)
    twins = sorted(case_id for case_id, count in counts.items() if count > 1)
    if twins:
        raise ConfigError(f"cases {twins[:5]} are listed more than once", "give every case a unique id")


def _run_pool(
    cases: Sequence[Case], work: Work, workers: int, fewer_workers: str, imports: Sequence[str]
) -> Iterator[tuple[Case, dict[str, Any] | None]]:
    """Yield each case with its outcome; None if its process was killed. With one worker, that is the first None."""
    pool = _open_pool(workers, _context(work, imports))
    lost: set[str] = set()
    with pool:
        futures: dict[Future, Case] = {}
        try:
            for case in cases:
                futures[pool.submit(outcome_of, case, work, fewer_workers)] = case
        except BrokenProcessPool:
            # The process was killed while cases were still being submitted.
            handed = {case.id for case in futures.values()}
            lost |= {case.id for case in cases if case.id not in handed}
        except OSError as error:
            # the pool's socket lies there
            raise _not_started(
                error, "temporary folder", "set TMPDIR to a writable folder with a short path"
            ) from error
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    lost.add(futures[future].id)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for case in cases:
        if case.id in lost:
            yield case, None


def _open_pool(workers: int, context: ForkServerContext) -> ProcessPoolExecutor:
    try:
        _start_tracker()
        return ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_start_worker)
    except OSError as error:
        # the pool's semaphores lie there
        hint = "mount /dev/shm writable with at least 64 MB (docker run --shm-size=1g)"
        raise _not_started(error, "/dev/shm", hint) from error


def _not_started(error: OSError, place: str, hint: str) -> EnvironmentError:
    """Return the fault of a pool that cannot start: a limit of the system, or else that of the place of its files."""
    reason = f"worker processes cannot start ({error.strerror or error})"
    if error.errno in _LIMITS:
        return EnvironmentError(reason, _LIMITS[error.errno])
    return EnvironmentError(f"{place}: {reason}", hint)


def _start_tracker() -> None:
    """Start the process of Python that removes the semaphores of killed processes from /dev/shm, then ends.

    The supervisor of a run kills all processes that have its variable at once.
    """
    run_id = os.environ.pop("FREETUMOR_RUN_ID", None)
    try:
        resource_tracker.ensure_running()
    finally:
        if run_id is not None:
            os.environ["FREETUMOR_RUN_ID"] = run_id


def _context(work: Work, imports: Sequence[str]) -> ForkServerContext:
    """Return a context whose workers fork from a separate process, which imports the modules once for all of them.

    Forked from the job itself, they would inherit its threads and sockets; spawned, each would import again.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([getattr(work, "func", work).__module__, *imports])
    return context


def _start_worker() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    parent = parent_process()

    def leave_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(97)

    # A killed parent cannot stop its workers.
    threading.Thread(target=leave_with_parent, daemon=True).start()


def outcome_of(case: Case, work: Work, less_memory: str) -> dict[str, Any]:
    """Return the result of `work(case)`, or `{error: {kind, message, hint}}` with the hint `less_memory`."""
    try:
        return work(case)
    except FreetumorError as error:
        return _failure(error.kind, str(error), error.hint)
    except MemoryError:
        return _failure("environment", f"case {case.id}: not enough memory", less_memory)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which is no MemoryError
            return _failure("environment", f"case {case.id}: not enough memory", less_memory)
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"case {case.id}: {type(error).__name__} in {where.name}: {error}"
        return _failure("runtime", message, "look at the file; report this if it is sound")


def _failure(kind: str, message: str, hint: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message, "hint": hint}}
