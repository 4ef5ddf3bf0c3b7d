"""Compressed cases: the same voxels as uncompressed ones, for us and for Zarr; every damage is found."""

import numpy as np
import pytest
import zarr

from freetumor_runtime.data.cache import (
    case_path,
    chunk_file,
    read_attributes,
    read_prepared_case,
    read_prepared_subvolume,
    total_bytes,
    verify_prepared_case,
)
from freetumor_runtime.data.cache_writer import write_prepared_case
from freetumor_runtime.errors import DataError

SHAPE = (70, 33, 64)
PARTS = [
    (slice(None), slice(None), slice(None)),
    (slice(3, 40), slice(30, 33), slice(0, 64)),
    (slice(69, 70), slice(0, 1), slice(31, 33)),
    (slice(5, 5), slice(0, 33), slice(0, 64)),
]


@pytest.fixture
def volumes():
    draw = np.random.default_rng(5)
    x, y, z = np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij")
    image = (x * 8 - y * 5 + z * 3 + draw.normal(0, 15, SHAPE) - 300).astype(np.int16)
    return image, ((x > 20) & (z > 10)).astype(np.uint8)


@pytest.fixture
def case(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"case": "one", "windowHu": [-175, 250]}, "blosc")
    return path


def test_a_compressed_case_has_the_voxels_and_the_index_of_an_uncompressed_one(tmp_path, volumes, case):
    plain = case_path(tmp_path, "plain")
    write_prepared_case(plain, *volumes, 3, -175, {"case": "plain", "windowHu": [-175, 250]})
    for part in PARTS:
        for ours, theirs in zip(
            read_prepared_subvolume(case, part)[:2], read_prepared_subvolume(plain, part)[:2], strict=True
        ):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert read_attributes(case)["version"] == 3
    index = chunk_file(case, "index", 4).read_bytes()
    assert index == chunk_file(plain, "index", 4).read_bytes()
    assert total_bytes(case) < 0.6 * total_bytes(plain)


def test_zarr_reads_the_shards_that_are_written_without_it(volumes, case):
    group = zarr.open_group(case, mode="r")
    for name, wanted in zip(("image", "label"), volumes, strict=True):
        assert np.array_equal(np.asarray(group[name]), wanted)


def test_a_write_is_deterministic(tmp_path, volumes, case):
    write_prepared_case(tmp_path / "again" / "one.zarr", *volumes, 3, -175, {"case": "one"}, "blosc")
    for name in ("image", "label"):
        assert (
            chunk_file(tmp_path / "again" / "one.zarr", name, 3).read_bytes() == chunk_file(case, name, 3).read_bytes()
        )


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_flipped_bit_is_found_only_by_readers_of_its_chunk(case, name):
    file = chunk_file(case, name, 3)
    content = bytearray(file.read_bytes())
    content[40] ^= 4
    file.write_bytes(content)
    message = rf"case one: .*{name}/c/0/0/0: damaged since the case was prepared: chunk at voxel \[0, 0, 0\]"
    for read in (verify_prepared_case, read_prepared_case):
        with pytest.raises(DataError, match=message) as refused:
            read(case)
        assert "freetumor prepare" in refused.value.hint
    assert read_prepared_subvolume(case, (slice(40, 60), slice(0, 5), slice(0, 5)))[0].shape == (20, 5, 5)


@pytest.mark.parametrize("damage", ["index", "truncated", "longer", "missing", "empty"])
def test_a_damaged_index_or_file_is_a_typed_error(case, damage):
    file = chunk_file(case, "label", 3)
    content = bytearray(file.read_bytes())
    if damage == "index":
        content[-30] ^= 1
    changed = {"truncated": content[:-7], "longer": content + b"1234", "empty": b""}.get(damage, content)
    file.write_bytes(changed)
    if damage == "missing":
        file.unlink()
    with pytest.raises(DataError, match=r"label/c/0/0/0: .*(its index|no such file|not found)"):
        verify_prepared_case(case)
