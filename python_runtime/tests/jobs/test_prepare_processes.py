"""The worker processes of a preparation: failed, killed and needless ones."""

import fcntl
import json
import os
import select
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import freetumor_runtime
from freetumor_runtime.config.cases import PrepareCase
from freetumor_runtime.data.cache import case_path, chunk_file, read_prepared_case
from freetumor_runtime.errors import ConfigError
from freetumor_runtime.events import CaseResult, Finished
from freetumor_runtime.jobs.prepare import prepare, prepare_all, prepare_case
from tests.jobs.scans_to_prepare import make_case, prepare_spec

IMPORTABLE = {"PYTHONPATH": str(Path(freetumor_runtime.__file__).parents[1])}


@pytest.fixture
def spec(tmp_path):
    return prepare_spec(tmp_path)


def test_a_failed_case_is_a_result_and_the_others_continue(tmp_path, spec):
    cases = [
        make_case(tmp_path, "good"),
        make_case(tmp_path, "unmapped", labelMap={}),
        make_case(tmp_path, "gone", image=str(tmp_path / "gone.nii.gz")),
    ]
    events = list(prepare(replace(spec, cases=tuple(cases))))
    results = {event.case_id: event.result for event in events if isinstance(event, CaseResult)}
    assert results["good"]["path"] == str(case_path(spec.directory, "good"))
    assert results["unmapped"]["error"]["kind"] == "data" and "[5, 9]" in results["unmapped"]["error"]["message"]
    assert results["gone"]["error"]["kind"] == "data" and "gone.nii.gz" in results["gone"]["error"]["message"]
    assert events[-1] == Finished(0, "completed", "")


class DeadlyCase(PrepareCase):
    """Kills the worker process that unpickles it, as the system does when memory runs out."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_killed_worker_costs_its_case_only(tmp_path, spec):
    cases = [make_case(tmp_path, f"good{i}") for i in range(3)]
    cases.insert(1, DeadlyCase("deadly", "", None, {}))
    results = {event.case_id: event.result for event in prepare_all(cases, spec, 2)}
    assert results["deadly"]["error"]["kind"] == "environment" and "deadly" in results["deadly"]["error"]["message"]
    assert all("error" not in results[f"good{i}"] for i in range(3)) and len(results) == 4


PARENT_OF_A_BUSY_WORKER = """
import os, sys, time
from freetumor_runtime.config.cases import PrepareCase, PrepareSpec
from freetumor_runtime.jobs.prepare import prepare_all

def say_and_wait(descriptor_path):
    with open(descriptor_path, "w") as pipe:
        print(os.getpid(), file=pipe)
    time.sleep(3600)

class EndlessCase(PrepareCase):
    def __reduce__(self):
        return say_and_wait, (self.image,)

if __name__ == "__main__":
    spec = PrepareSpec("prepare", sys.argv[1], 1, (1.5, 1.5, 1.5), (-175.0, 250.0), 7, "none", True, ())
    list(prepare_all([EndlessCase("endless", sys.argv[2], None, {})], spec, 1))
"""


def test_a_worker_does_not_outlive_a_killed_parent(tmp_path):
    script, pipe = tmp_path / "parent.py", tmp_path / "worker.fifo"
    script.write_text(PARENT_OF_A_BUSY_WORKER)
    os.mkfifo(pipe)
    parent = subprocess.Popen([sys.executable, script, tmp_path / "cache", pipe], env=os.environ | IMPORTABLE)
    try:
        worker = os.pidfd_open(int(pipe.read_text()))
    finally:
        parent.kill()
        parent.wait()
    # Readable once the process is gone; the hour it would sleep is cut off long before.
    assert select.select([worker], [], [], 60)[0]
    os.close(worker)


PREPARATION_THAT_TELLS = """
import json, sys
from freetumor_runtime.config.cases import PrepareSpec
from freetumor_runtime.config.parsing import parse
from freetumor_runtime.jobs.prepare import prepare_all

if __name__ == "__main__":
    spec = parse(PrepareSpec, json.loads(sys.argv[1]), "job")
    for event in prepare_all(spec.cases, spec, 2):
        print(event.case_id, flush=True)
"""


def test_a_killed_preparation_leaves_complete_cases_and_resumes_with_the_others(tmp_path, spec):
    cases = tuple(make_case(tmp_path, f"case{i}", seed=i) for i in range(6))
    script = tmp_path / "prepare.py"
    script.write_text(PREPARATION_THAT_TELLS)
    job = json.dumps(asdict(replace(spec, cases=cases)))
    running = subprocess.Popen([sys.executable, script, job], env=os.environ | IMPORTABLE, stdout=subprocess.PIPE)
    first = running.stdout.readline().decode().strip()
    running.kill()
    running.wait()
    # What it printed last came through a pipe that its workers hold, too: at its end they are ending.
    running.stdout.read()
    for aside in Path(spec.directory).glob("*.zarr.tmp.*"):
        wait_for_the_writer_of(aside)

    whole = {path.stem for path in Path(spec.directory).glob("*.zarr") if read_prepared_case(path)}
    assert first in whole and len(whole) < 6
    again = {event.case_id: event.result for event in prepare_all(cases, spec, 2)}
    assert {name for name, result in again.items() if result["reused"]} == whole
    assert sorted(entry.name for entry in Path(spec.directory).iterdir()) == [f"case{i}.zarr" for i in range(6)]
    undisturbed = replace(spec, directory=str(tmp_path / "undisturbed"))
    for event in prepare_all(cases, undisturbed, 2):
        for array in ("image", "label", "index"):
            dimensions = 4 if array == "index" else 3
            expected = chunk_file(event.result["path"], array, dimensions).read_bytes()
            assert chunk_file(again[event.case_id]["path"], array, dimensions).read_bytes() == expected


def wait_for_the_writer_of(aside: Path) -> None:
    """A writer holds a lock on its folder as long as it lives."""
    descriptor = os.open(aside, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def test_two_cases_of_one_id_are_refused(tmp_path, spec):
    case = make_case(tmp_path)
    with pytest.raises(ConfigError, match="one"):
        list(prepare_all([case, case], spec, 1))


CACHE_LOOKED_UP = """
import json, sys
from freetumor_runtime.config.cases import PrepareSpec
from freetumor_runtime.config.parsing import parse
from freetumor_runtime.jobs.prepare import prepare_all

if __name__ == "__main__":
    spec = parse(PrepareSpec, json.loads(sys.argv[1]), "job")
    reused = [event.result["reused"] for event in prepare_all(spec.cases, spec, 1)]
    print(json.dumps([reused, "monai" in sys.modules, "multiprocessing.forkserver" in sys.modules]))
"""


def test_cases_that_are_all_prepared_cost_neither_a_process_nor_the_import_of_monai(tmp_path, spec):
    cases = tuple(make_case(tmp_path, f"case{i}", seed=i) for i in range(2))
    for case in cases:
        prepare_case(case, spec)
    script = tmp_path / "lookup.py"
    script.write_text(CACHE_LOOKED_UP)
    job = json.dumps(asdict(replace(spec, cases=cases)))
    told = subprocess.check_output([sys.executable, script, job], env=os.environ | IMPORTABLE)
    assert json.loads(told) == [[True, True], False, False]
