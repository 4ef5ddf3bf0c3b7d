"""Faults of the machine that stop a pool of processes before its first case."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from freetumor_runtime import case_pool
from freetumor_runtime.errors import EnvironmentError


@dataclass
class Case:
    id: str


def test_shared_memory_that_cannot_be_written_is_a_fault_of_the_machine(monkeypatch):
    def refused(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(case_pool, "ProcessPoolExecutor", refused)
    with pytest.raises(EnvironmentError, match=r"/dev/shm: .*Read-only file system") as raised:
        list(case_pool.run_cases([Case("a")], print, 1, "fewer"))
    assert "--shm-size" in raised.value.hint


def test_a_temporary_folder_without_a_socket_is_a_fault_of_the_machine(monkeypatch):
    def refused(*_, **__):
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(case_pool.ProcessPoolExecutor, "submit", refused)
    with pytest.raises(EnvironmentError, match="temporary folder: .*AF_UNIX path too long") as raised:
        list(case_pool.run_cases([Case("a")], print, 1, "fewer"))
    assert "TMPDIR" in raised.value.hint


def test_a_limit_of_the_system_is_named_instead_of_a_folder(monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(case_pool.ProcessPoolExecutor, "submit", refused)
    with pytest.raises(EnvironmentError, match=r"^worker processes .*Too many open files") as raised:
        list(case_pool.run_cases([Case("a")], print, 1, "fewer"))
    assert "ulimit -n" in raised.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_process_that_removes_semaphores_is_not_killed_with_a_run():
    code = """
from multiprocessing.resource_tracker import _resource_tracker
from pathlib import Path
from freetumor_runtime import case_pool
import os
case_pool._open_pool(1, case_pool._context(print, ())).shutdown()
inherited = Path(f"/proc/{_resource_tracker._pid}/environ").read_bytes()
print("FREETUMOR_RUN_ID" in os.environ, b"FREETUMOR_RUN_ID" in inherited)
"""
    environment = {**os.environ, "FREETUMOR_RUN_ID": "a", "PYTHONPATH": str(Path(case_pool.__file__).parents[1])}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.split() == ["True", "False"]
