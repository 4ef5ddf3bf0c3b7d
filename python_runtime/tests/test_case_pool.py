"""Faults of the machine that stop a pool of processes before its first case."""

from dataclasses import dataclass

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
