import json
import os
import shutil

import numpy as np
import pytest

from freetumor_runtime.data.cache import (
    case_path,
    chunk_file,
    content_hash,
    read_attributes,
    read_prepared_case,
    read_prepared_subvolume,
    verify_prepared_case,
)
from freetumor_runtime.data.cache_writer import upgrade_prepared_case, write_prepared_case
from freetumor_runtime.errors import DataError

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


def test_a_case_that_another_command_replaced_is_refused_by_name(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {"case": "one", "contentSha256": content_hash(*volumes)})
    assert np.array_equal(read_prepared_case(path, content_hash(*volumes))[0], volumes[0])
    image, label = volumes[0] + 1, volumes[1]
    write_prepared_case(path, image, label, 3, -175, {"case": "one", "contentSha256": content_hash(image, label)})
    with pytest.raises(DataError, match=r"case one: .*one\.zarr: replaced since it was prepared") as raised:
        read_prepared_case(path, content_hash(*volumes))
    assert "prepare.cache" in raised.value.hint


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


def test_a_cut_file_is_named(tmp_path, volumes):
    path = case_path(tmp_path, "one")
    write_prepared_case(path, *volumes, 3, -175, {})
    os.truncate(chunk_file(path, "label", 3), 100)
    with pytest.raises(DataError, match=r"label.*expected 29600 bytes, found 100"):
        read_prepared_case(path)


def test_a_missing_case_and_another_format_are_refused(tmp_path, volumes):
    with pytest.raises(DataError, match="expected a prepared case"):
        read_attributes(tmp_path / "none.zarr")
    path = case_path(tmp_path, "old")
    write_prepared_case(path, *volumes, 3, -175, {"version": 0})
    with pytest.raises(DataError, match="expected 2 or 3, found 0"):
        read_attributes(path)


def flip(file, byte, bit=0):
    content = bytearray(file.read_bytes())
    content[byte] ^= 1 << bit
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_flipped_bit_is_found_only_by_readers_of_its_slab(tmp_path, volumes, name):
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
    with pytest.raises(DataError, match="holds another case .set/two"):
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
    with pytest.raises(DataError, match="expected 2 or 3, found 1"):
        read_attributes(path)
    assert upgrade_prepared_case(path) == {"version": 2, **attributes}
    assert {name: (path / name).read_bytes() for name in METADATA} == files
    assert upgrade_prepared_case(path) is None

    without_checksums(path)
    flip(chunk_file(path, "label", 3), 400)
    assert upgrade_prepared_case(path) is None


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
