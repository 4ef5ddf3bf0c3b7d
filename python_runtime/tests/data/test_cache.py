import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import freetumor_runtime
from freetumor_runtime.data import cache
from freetumor_runtime.data.cache import (
    build_index,
    case_path,
    chunk_file,
    content_hash,
    read_attributes,
    read_prepared_case,
    read_prepared_subvolume,
    sweep_dead_writers,
    upgrade_prepared_case,
    verify_prepared_case,
    write_prepared_case,
)
from freetumor_runtime.errors import DataError, EnvironmentError

SHAPE = (37, 16, 50)


@pytest.fixture
def volumes():
    draw = np.random.default_rng(5)
    image = draw.integers(-400, 400, SHAPE).astype(np.int16)
    label = draw.integers(0, 3, SHAPE).astype(np.uint8)
    return image, label


def test_a_case_reads_back_as_it_was_written(tmp_path, volumes):
    path = case_path(tmp_path, "set/one")
    write_prepared_case(path, *volumes, 3, -175, {"case": "set/one"})
    image, label, attributes = read_prepared_case(path)
    assert image.dtype == np.int16 and label.dtype == np.uint8
    assert np.array_equal(image, volumes[0]) and np.array_equal(label, volumes[1])
    assert attributes == {"version": 2, "case": "set/one"}


def test_a_part_of_a_case_is_that_part_of_the_whole(tmp_path, volumes):
    path = case_path(tmp_path, "set/one")
    write_prepared_case(path, *volumes, 3, -175, {"case": "set/one"})
    part = (slice(3, 9), slice(0, 5), slice(2, 11))
    image, label, attributes = read_prepared_case(path)
    part_image, part_label, part_attributes = read_prepared_subvolume(path, part)
    assert np.array_equal(part_image, image[part]) and part_image.dtype == image.dtype
    assert np.array_equal(part_label, label[part]) and part_label.dtype == label.dtype
    assert part_attributes == attributes


def test_the_chunk_of_an_array_is_its_raw_bytes_in_c_order(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {})
    assert chunk_file(path, "image", 3) == path / "image" / "c" / "0" / "0" / "0"
    assert chunk_file(path, "image", 3).read_bytes() == volumes[0].astype("<i2").tobytes()
    assert chunk_file(path, "label", 3).read_bytes() == volumes[1].tobytes()
    codecs = json.loads((path / "image" / "zarr.json").read_text())["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes"]


def test_a_label_without_any_organ_still_has_its_chunk(tmp_path, volumes):
    path = case_path(tmp_path, "healthy")
    write_prepared_case(path, volumes[0], np.zeros(SHAPE, np.uint8), 3, -175, {})
    assert chunk_file(path, "label", 3).read_bytes() == bytes(np.prod(SHAPE))
    assert read_prepared_case(path)[1].sum() == 0


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


def test_a_cut_file_is_named(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {})
    os.truncate(chunk_file(path, "label", 3), 100)
    with pytest.raises(DataError, match=r"label.*29600 bytes were expected, found 100"):
        read_prepared_case(path)


def test_a_missing_case_and_another_format_are_refused(tmp_path, volumes):
    with pytest.raises(DataError, match="a prepared case was expected"):
        read_attributes(tmp_path / "none.zarr")
    path = case_path(tmp_path, "old")
    write_prepared_case(path, *volumes, 3, -175, {"version": 0})
    with pytest.raises(DataError, match="format 2 was expected, found 0"):
        read_attributes(path)


def flip(file, byte, bit=0):
    content = bytearray(file.read_bytes())
    content[byte] ^= 1 << bit
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_flipped_bit_is_found_by_whoever_reads_its_slab_and_by_nobody_else(tmp_path, volumes, name):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"case": "one"})
    # Plane 20, row 3, column 7.
    flip(chunk_file(path, name, 3), ((20 * 16 + 3) * 50 + 7) * (2 if name == "image" else 1))
    message = rf"case one: .*{name}/c/0/0/0: damaged since the case was prepared: plane 20, rows 0 to 15"
    for read in (verify_prepared_case, read_prepared_case):
        with pytest.raises(DataError, match=message) as refused:
            read(path)
        assert "freetumor prepare" in refused.value.hint
    with pytest.raises(DataError, match=message):
        read_prepared_subvolume(path, (slice(20, 21), slice(15, 16), slice(49, 50)))
    assert read_prepared_subvolume(path, (slice(0, 20), slice(0, 16), slice(0, 50)))[0].shape == (20, 16, 50)


METADATA = [
    "zarr.json",
    *(f"{name}/zarr.json" for name in ("image", "label", "index", "checksums")),
    "index/c/0/0/0/0",
    "checksums/c/0",
]


@pytest.mark.parametrize("name", METADATA)
def test_a_flipped_bit_of_any_other_file_is_found_before_a_voxel_is_read(tmp_path, volumes, name):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"case": "one", "windowHu": [-175, 250]})
    size = (path / name).stat().st_size
    whole = (path / name).read_bytes()
    for byte in (0, size // 3, size // 2, size - 1):
        flip(path / name, byte)
        with pytest.raises(DataError):
            read_attributes(path)
        (path / name).write_bytes(whole)
    (path / name).unlink()
    with pytest.raises(DataError):
        read_attributes(path)


def test_a_case_in_the_place_of_another_is_refused(tmp_path, volumes):
    for case in ("set/one", "set/two"):
        write_prepared_case(case_path(tmp_path, case), *volumes, 3, -175, {"case": case})
    case_path(tmp_path, "set/one").rename(tmp_path / "aside")
    case_path(tmp_path, "set/two").rename(case_path(tmp_path, "set/one"))
    with pytest.raises(DataError, match="holds case set/two"):
        read_attributes(case_path(tmp_path, "set/one"))


def without_checksums(path):
    """The case as the first format had it."""
    shutil.rmtree(path / "checksums")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["freetumor"]["version"] = 1
    (path / "zarr.json").write_text(json.dumps(document))


def test_a_case_without_checksums_gets_them_where_its_voxels_are_those_that_were_prepared(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    attributes = {"case": "one", "windowHu": [-175, 250], "contentSha256": content_hash(*volumes)}
    write_prepared_case(path, *volumes, 3, -175, attributes)
    files = {name: (path / name).read_bytes() for name in METADATA}
    without_checksums(path)
    with pytest.raises(DataError, match="format 2 was expected, found 1"):
        read_attributes(path)
    assert upgrade_prepared_case(path) == {"version": 2, **attributes}
    assert {name: (path / name).read_bytes() for name in METADATA} == files
    assert upgrade_prepared_case(path) is None

    without_checksums(path)
    flip(chunk_file(path, "label", 3), 400)
    assert upgrade_prepared_case(path) is None


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


def test_a_full_disk_is_told_and_leaves_the_earlier_case(tmp_path, volumes, monkeypatch):
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
from freetumor_runtime.data import cache

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
cache.write_prepared_case(sys.argv[1], image, image.astype(np.uint8), 2, -175, {"key": "new"})
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


def test_ids_of_any_characters_make_one_flat_name(tmp_path):
    assert case_path(tmp_path, "../a b/ä").parent == tmp_path
    assert case_path(tmp_path, "a/b") != case_path(tmp_path, "a%2Fb")
    assert case_path(tmp_path, "\ud800") != case_path(tmp_path, "\ud801")


def test_a_long_id_makes_a_name_that_a_file_may_have(tmp_path, volumes):
    ids = ["ä" * 300, "ä" * 301, "x" * 160, "x" * 161, "x" * 1000]
    assert len({case_path(tmp_path, one) for one in ids}) == len(ids)
    assert case_path(tmp_path, "x" * 160).name == "x" * 160 + ".zarr"
    for one in ids:
        write_prepared_case(case_path(tmp_path, one), *volumes, 3, -175, {"case": one})
        assert read_attributes(case_path(tmp_path, one))["case"] == one


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
from freetumor_runtime.data import cache

image = np.ones((20, 20, 20), np.int16)
print("ready", flush=True)
sys.stdin.readline()
for round in range(20):
    cache.sweep_dead_writers(os.path.dirname(sys.argv[1]))
    cache.write_prepared_case(sys.argv[1], image, image.astype(np.uint8), 2, -175, {"key": f"of {sys.argv[2]}"})
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
    sync = cache._sync_tree

    def sync_and_lose(folder):
        monkeypatch.setattr(cache, "_sync_tree", sync)
        write_prepared_case(path, *volumes, 3, -175, {"key": "a", "by": "the other"})
        sync(folder)

    monkeypatch.setattr(cache, "_sync_tree", sync_and_lose)
    write_prepared_case(path, *volumes, 3, -175, {"key": "a", "by": "this one"})
    assert read_attributes(path)["by"] == "the other"
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.zarr"]
