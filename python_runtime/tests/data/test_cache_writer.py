import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import freetumor_runtime
from freetumor_runtime.data import cache_writer
from freetumor_runtime.data.cache import case_path, read_attributes, read_prepared_case
from freetumor_runtime.data.cache_writer import build_index, sweep_dead_writers, write_prepared_case
from freetumor_runtime.errors import EnvironmentError

SHAPE = (37, 16, 50)


@pytest.fixture
def volumes():
    draw = np.random.default_rng(5)
    image = draw.integers(-400, 400, SHAPE).astype(np.int16)
    label = draw.integers(0, 3, SHAPE).astype(np.uint8)
    return image, label


def test_the_index_counts_each_class_by_block(volumes):
    image, label = volumes
    index = build_index(image, label, 3, -175)
    assert index.shape == (3, 3, 1, 4) and index.dtype == np.uint16
    for x, y, z in np.ndindex(3, 1, 4):
        block = np.s_[16 * x : 16 * x + 16, 16 * y : 16 * y + 16, 16 * z : 16 * z + 16]
        expected = [((label[block] == 0) & (image[block] > -175)).sum(), *((label[block] == c).sum() for c in (1, 2))]
        assert index[:, x, y, z].tolist() == expected
    assert build_index(np.zeros((16, 16, 16), np.int16), np.ones((16, 16, 16), np.uint8), 2, -175).tolist() == [
        [[[0]]],
        [[[4096]]],
    ]


def test_writing_again_replaces_the_case_and_leaves_nothing_aside(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"key": "a"})
    write_prepared_case(path, volumes[0] + 1, volumes[1], 3, -175, {"key": "b"})
    image, _, attributes = read_prepared_case(path)
    assert np.array_equal(image, volumes[0] + 1) and attributes["key"] == "b"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.zarr"]


def test_a_failed_write_leaves_the_earlier_case_and_nothing_aside(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"key": "a"})
    with pytest.raises(TypeError):
        write_prepared_case(path, *volumes, 3, -175, {"key": object()})
    assert read_attributes(path)["key"] == "a"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.zarr"]


def test_a_full_disk_is_reported_and_leaves_the_earlier_case(tmp_path, volumes, monkeypatch):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"key": "a"})

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(EnvironmentError, match=r"one\.zarr: cannot be written \(No space left on device\)"):
        write_prepared_case(path, *volumes, 3, -175, {"key": "b"})
    assert read_attributes(path)["key"] == "a"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.zarr"]


WRITER_KILLED_AT = """
import os, signal, sys
import numpy as np
from freetumor_runtime.data import cache_writer

place, calls = sys.argv[2], int(sys.argv[3])
original = getattr(os, place)

def die_at_last(*arguments):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)

setattr(os, place, die_at_last)
image = np.ones((20, 20, 20), np.int16)
cache_writer.write_prepared_case(sys.argv[1], image, image.astype(np.uint8), 2, -175, {"key": "new"})
"""


@pytest.mark.parametrize(
    ("place", "calls", "left"),
    # While it writes aside; between the two renames that put it in the place of another; before it syncs the folder.
    [("fsync", 9, "old"), ("rename", 3, None), ("fsync", 26, "new")],
)
def test_a_writer_killed_anywhere_leaves_a_whole_case_or_none(tmp_path, volumes, place, calls, left):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"key": "old"})
    package = str(Path(freetumor_runtime.__file__).parents[1])
    killed = subprocess.run(
        [sys.executable, "-c", WRITER_KILLED_AT, path, place, str(calls)], env=os.environ | {"PYTHONPATH": package}
    )
    assert killed.returncode == -signal.SIGKILL
    assert (read_attributes(path)["key"] if path.exists() else None) == left
    sweep_dead_writers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if left is None else ["one.zarr"])


HOLDS_A_FOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_only_folders_of_dead_writers_are_swept_whatever_their_host_and_process(tmp_path):
    names = {"dead": "a.zarr.tmp.0123456789abcdef", "alive": "b.zarr.tmp.fedcba9876543210", "whole": "d.zarr"}
    for name in names.values():
        (tmp_path / name / "image").mkdir(parents=True)
    writer = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_FOLDER, tmp_path / names["alive"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout.readline() == b"held\n"
    assert sweep_dead_writers(tmp_path) == [names["dead"]]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([names["alive"], names["whole"]])
    writer.kill()
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
    assert sweep_dead_writers(tmp_path) == [names["alive"]]
    writer.communicate()


WRITES_OFTEN = """
import os, socket, sys
import numpy as np

# two containers with one host name, whose processes have one id
socket.gethostname = lambda: "node"
os.getpid = lambda: 7
from freetumor_runtime.data import cache_writer

image = np.ones((20, 20, 20), np.int16)
print("ready", flush=True)
sys.stdin.readline()
for round in range(20):
    cache_writer.sweep_dead_writers(os.path.dirname(sys.argv[1]))
    cache_writer.write_prepared_case(sys.argv[1], image, image.astype(np.uint8), 2, -175, {"key": f"of {sys.argv[2]}"})
"""


def test_writers_of_one_case_with_one_host_name_and_process_id_do_not_disturb_each_other(tmp_path):
    path = case_path(tmp_path, "one")
    package = str(Path(freetumor_runtime.__file__).parents[1])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES_OFTEN, path, str(at)],
            env=os.environ | {"PYTHONPATH": package},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for at in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    errors = [writer.communicate()[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    assert read_attributes(path)["key"] in ("of 0", "of 1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.zarr"]


def test_a_case_that_another_writer_has_published_meanwhile_stays(tmp_path, volumes, monkeypatch):
    path = case_path(tmp_path, "one")
    sync = cache_writer._sync_tree

    def sync_and_lose(folder):
        monkeypatch.setattr(cache_writer, "_sync_tree", sync)
        write_prepared_case(path, *volumes, 3, -175, {"key": "a", "by": "the other"})
        sync(folder)

    monkeypatch.setattr(cache_writer, "_sync_tree", sync_and_lose)
    write_prepared_case(path, *volumes, 3, -175, {"key": "a", "by": "this one"})
    assert read_attributes(path)["by"] == "the other"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.zarr"]
