"""Faults of the host that stop a pool of processes before its first case."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from freetumor_runtime.errors import EnvironmentError
from freetumor_runtime.jobs import case_pool, prepare


@dataclass
class Case:
    id: str


def test_shared_memory_that_cannot_be_written_is_a_fault_of_the_host(monkeypatch):
    def refused(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(case_pool, "ProcessPoolExecutor", refused)
    with pytest.raises(EnvironmentError, match=r"/dev/shm: .*Read-only file system") as raised:
        list(case_pool.run_cases([Case("a")], print, 1, "fewer"))
    assert "--shm-size" in raised.value.hint


def test_a_cache_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentError, match="the cache cannot be written") as raised:
        prepare._require_writable(Path(tmp_path / "file" / "cache"))
    assert "prepare.cache" in raised.value.hint
