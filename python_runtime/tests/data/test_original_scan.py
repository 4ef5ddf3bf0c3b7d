"""A change of the prepared grid on the scan's own grid: only inside the mask, in stored units, geometry as it was."""

import hashlib
import io
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Invertd, Orientationd, Spacingd
from scipy.spatial.transform import Rotation

from freetumor_runtime.data.original_scan import SubvolumeChange, apply_changes, load_original, write_like
from freetumor_runtime.data.prepared_case import resample_and_crop
from freetumor_runtime.data.way_back import scan_grids

# 20 x 24 x 10 voxels of 0.8 x 0.8 x 2.5 mm, axes turned and flipped against RAS, not at the origin
AFFINE = np.array([[0, -0.8, 0, 40], [0.8, 0, 0, -31], [0, 0, -2.5, 17], [0, 0, 0, 1]], float)

MARK = {"kind": "image", "verdict": "accepted", "variant": 0, "host": "00" * 32, "settings": "11" * 32}


def write_scan(path, dtype, slope, inter, rng):
    stored = rng.integers(900, 1100, (20, 24, 10)).astype(dtype)
    image = nibabel.Nifti1Image(stored, None)
    image.header.set_data_dtype(dtype)
    image.set_sform(AFFINE, 2)
    image.set_qform(AFFINE, 1)
    image.header["descrip"] = b"patient SMITH"
    image.header["aux_file"] = b"/home/smith"
    content = bytearray(image.to_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(bytes(content))
    return stored


# 1 mm voxels in RAS that hold most of the scan
PREPARED = np.array([[1, 0, 0, 20], [0, 1, 0, -33], [0, 0, 1, -6], [0, 0, 0, 1]], float)
GRIDS = replace(
    scan_grids((20, 24, 10), AFFINE, (22, 20, 24), PREPARED, (0, 0, 0), (1, 1, 1)), resampled_shape=(22, 20, 24)
)


def region(rng):
    """A change in a box of the prepared grid."""
    delta, synthetic = np.zeros((22, 20, 24), np.float32), np.zeros((22, 20, 24), np.uint8)
    box = (slice(6, 15), slice(5, 12), slice(8, 18))
    delta[box] = rng.uniform(-60, -10, (9, 7, 10))
    synthetic[8:13, 6:10, 10:16] = 4
    return SubvolumeChange(1, 2, delta, synthetic, (0, 0, 0), [box])


@pytest.mark.parametrize(
    ("dtype", "slope", "inter"), [(np.int16, 1, -1024), (np.uint16, 0.5, -500), (np.float32, 1, -1000)]
)
def test_the_change_is_the_interpolated_one_and_nothing_else_moves(tmp_path, dtype, slope, inter):
    rng = np.random.default_rng(0)
    stored = write_scan(tmp_path / "scan.nii", dtype, slope, inter, rng)
    scan = load_original(str(tmp_path / "scan.nii"))
    label = np.ones(stored.shape, np.uint8)
    label[:3] = 0  # no organ there
    change = region(rng)
    changed, label_out, mask, numbers = apply_changes(scan, label, [change], GRIDS)

    assert (changed[mask == 0] == stored[mask == 0]).all()
    assert mask.sum() > 100 and not mask[:3].any()
    # the same by brute force: trilinear in world coordinates, voxel by voxel
    for voxel in np.argwhere(mask)[::37]:
        place = np.linalg.inv(PREPARED) @ AFFINE @ [*voxel, 1]
        low = np.floor(place[:3]).astype(int)
        part = place[:3] - low
        delta = 0.0
        for corner in np.ndindex(2, 2, 2):
            at = low + corner
            weight = np.prod(np.where(corner, part, 1 - part))
            if (at >= 0).all() and (at < change.delta_hu_XYZ.shape).all():
                delta += weight * change.delta_hu_XYZ[tuple(at)]
        expected = stored[tuple(voxel)] + delta / slope
        tolerance = 0.5 + 1e-6 if np.dtype(dtype).kind in "iu" else 1e-3
        assert abs(float(changed[tuple(voxel)]) - expected) <= tolerance
    # Tumor labels: the nearest voxel of the region, on organ only, other voxels as they were. Every second slice is a
    # tie between two voxels, which MONAI decides (see below): there either may be the nearest.
    for voxel in np.argwhere(label == 1)[::17]:
        place = (np.linalg.inv(PREPARED) @ AFFINE @ [*voxel, 1])[:3]
        near = [np.rint(place + moved).astype(int) for moved in (-1e-6, 1e-6)]
        inside = [(one >= 0).all() and (one < change.synthetic_XYZ.shape).all() for one in near]
        found = {2 if held and change.synthetic_XYZ[tuple(one)] else 1 for one, held in zip(near, inside, strict=True)}
        assert label_out[tuple(voxel)] in found
    assert not label_out[:3].any()
    # the map of tumor numbers has its voxels where the label map has the tumor
    assert np.array_equal(numbers, np.where(label_out == 2, 4, 0))


def inverted_by_monai(image_IJK, affine, spacing_mm, label_XYZ):
    """The label on the prepared grid, brought back as the published code brings labels back."""
    transforms = Compose(
        [
            Orientationd(keys="image", axcodes="RAS", labels=None),
            Spacingd(keys="image", pixdim=spacing_mm, mode="bilinear"),
            CropForegroundd(keys="image", source_key="image", select_fn=lambda hu: hu > -175, allow_smaller=True),
        ]
    )
    image = MetaTensor(torch.from_numpy(image_IJK)[None], affine=torch.from_numpy(affine))
    prepared = transforms({"image": image})
    invert = Invertd(keys="label", transform=transforms, orig_keys="image", nearest_interp=True, to_tensor=True)
    label = MetaTensor(torch.from_numpy(label_XYZ.astype(np.float32))[None], meta=prepared["image"].meta)
    return invert({**prepared, "label": label})["label"][0].numpy().astype(np.uint8)


OBLIQUE = Rotation.from_euler("xyz", (7, 3, 20), degrees=True).as_matrix()


@pytest.mark.parametrize("directions", [np.eye(3), np.diag([-1, -1, 1]), np.eye(3)[:, [2, 0, 1]], OBLIQUE])
@pytest.mark.parametrize("voxel_mm", [(0.75, 0.75, 1.5), (0.703125, 0.703125, 5), (0.75, 0.75, 0.75), (1.5, 1.5, 1.5)])
def test_tumor_labels_come_back_as_monai_brings_labels_back_voxel_by_voxel(tmp_path, voxel_mm, directions):
    rng = np.random.default_rng(4)
    shape, spacing_mm = (64, 60, 36), (1.5, 1.5, 1.5)
    image = np.full(shape, -1000, np.int16)
    # air around it, so that there is something to crop
    image[4:62, 5:58, 5:30] = rng.integers(-100, 200, (58, 53, 25))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions @ np.diag(voxel_mm), (-31, 17, 8)
    file = nibabel.Nifti1Image(image, None)
    file.set_sform(affine, 2)
    nibabel.save(file, tmp_path / "scan.nii")
    scan = load_original(str(tmp_path / "scan.nii"))
    organ = np.ones(shape, np.uint8)
    hu, _, prepared_affine, start = resample_and_crop(image, organ, scan.header.affine, spacing_mm, -175)
    part = tuple(slice(side // 8, side - side // 9) for side in hu.shape)
    tumors = np.zeros(hu.shape, np.uint8)
    tumors[part] = rng.integers(0, 2, tumors[part].shape) * 2
    delta = np.where(tumors > 0, -50, 0).astype(np.float32)
    first = [one.start for one in part]
    box = tuple(slice(0, one.stop - one.start) for one in part)
    change = SubvolumeChange(1, 2, delta[part], tumors[part], first, [box])
    grids = scan_grids(shape, scan.header.affine, hu.shape, prepared_affine, start, spacing_mm)
    _, label, _, _ = apply_changes(scan, organ, [change], grids)
    expected = inverted_by_monai(image.astype(np.float32), scan.header.affine, spacing_mm, tumors)
    assert (expected == 2).sum() > 1000
    assert np.array_equal(label == 2, expected == 2)


def test_two_organs_side_by_side_change_by_their_own_tumor_alone(tmp_path):
    rng = np.random.default_rng(3)
    stored = write_scan(tmp_path / "scan.nii", np.int16, 1, -1024, rng)
    scan = load_original(str(tmp_path / "scan.nii"))
    label = np.full(stored.shape, 5, np.uint8)
    label[:8] = 1
    one = region(rng)
    other = SubvolumeChange(5, 6, one.delta_hu_XYZ * 2, one.synthetic_XYZ * 2, one.start, one.boxes)
    both = apply_changes(scan, label, [one, other], GRIDS)
    alone = [apply_changes(scan, label, [change], GRIDS) for change in (one, other)]
    for made, first, second in zip(both, *alone, strict=True):
        assert np.array_equal(made[:8], first[:8]) and np.array_equal(made[8:], second[8:])
    assert set(np.unique(both[1][:8])) == {1, 2} and set(np.unique(both[1][8:])) == {5, 6}
    assert set(np.unique(both[3][:8])) == {0, 4} and set(np.unique(both[3][8:])) == {0, 8}


def test_a_written_scan_has_the_geometry_and_the_rescale_of_its_host_and_none_of_its_words(tmp_path):
    rng = np.random.default_rng(1)
    write_scan(tmp_path / "scan.nii", np.int16, 0.5, -1000, rng)
    scan = load_original(str(tmp_path / "scan.nii"))
    write_like(str(tmp_path / "out.nii.gz"), scan, scan.stored_IJK, is_scan=True, mark=MARK)
    write_like(str(tmp_path / "label.nii.gz"), scan, np.ones((20, 24, 10), np.uint8), is_scan=False, mark=MARK)
    host, child, label = (nibabel.load(tmp_path / name) for name in ("scan.nii", "out.nii.gz", "label.nii.gz"))
    for other in (child, label):
        assert np.abs(other.affine - host.affine).max() < 1e-6
        assert (int(other.header["sform_code"]), int(other.header["qform_code"])) == (2, 1)
        assert b"SMITH" not in other.header.binaryblock and b"smith" not in other.header.binaryblock
        assert b"synthetic" in other.header.binaryblock
    assert child.get_data_dtype() == np.int16
    assert np.array_equal(child.get_fdata(), host.get_fdata())
    assert label.get_data_dtype() == np.uint8 and label.get_fdata().max() == 1


# Every field that may hold text, by version, and the numeric ones that no reader of a 3-D CT looks at.
TEXT_FIELDS = {
    1: ("data_type", "db_name", "descrip", "aux_file", "intent_name", "regular"),
    2: ("descrip", "aux_file", "intent_name", "unused_str"),
}
UNUSED_NUMBERS = ("intent_p1", "intent_p2", "intent_p3", "cal_max", "cal_min", "slice_duration", "toffset")
UNUSED_WHOLE_NUMBERS = {1: ("extents", "glmax", "glmin"), 2: ()}
WORD = b"CANARY"


def write_scan_full_of_words(path, version, endianness):
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header = kind(endianness=endianness)
    header.set_data_shape((20, 24, 10))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 2)
    header.set_xyzt_units("mm", "sec")
    for name in TEXT_FIELDS[version]:
        header[name] = (WORD * 20)[: header[name].dtype.itemsize]
    for name in (*UNUSED_NUMBERS, *UNUSED_WHOLE_NUMBERS[version]):
        field = np.frombuffer((WORD * 2)[: header[name].dtype.itemsize], header[name].dtype)
        header[name] = field[0]
    # No qform: its numbers are unused. So are the sizes beyond the third axis.
    words = np.frombuffer(WORD * 8, header["quatern_b"].dtype)
    for name, value in zip(("quatern_b", "quatern_c", "quatern_d", "qoffset_x"), words, strict=False):
        header[name] = value
    header["dim"][4:] = np.frombuffer(WORD * 8, header["dim"].dtype)[:4]
    header["pixdim"][4:] = np.frombuffer(WORD * 8, header["pixdim"].dtype)[:4]
    header["scl_slope"], header["scl_inter"] = 0.5, -1000
    extension = nibabel.nifti1.Nifti1Extension("comment", WORD * 10)
    offset = (352 if version == 1 else 544) + extension.get_sizeondisk()
    header["vox_offset"] = offset
    stored = np.arange(4800).reshape(20, 24, 10).astype(header.get_data_dtype())
    content = io.BytesIO()
    content.write(header.binaryblock + b"\1\0\0\0")
    extension.write_to(content, endianness == ">")
    path.write_bytes(content.getvalue() + stored.tobytes(order="F"))
    return header, stored


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_no_byte_of_text_of_the_host_reaches_what_is_written(tmp_path, version, endianness):
    header, stored = write_scan_full_of_words(tmp_path / "host.nii", version, endianness)
    assert (tmp_path / "host.nii").read_bytes().count(WORD) > 30
    scan = load_original(str(tmp_path / "host.nii"))
    write_like(str(tmp_path / "scan.nii"), scan, scan.stored_IJK, is_scan=True, mark=MARK)
    write_like(str(tmp_path / "label.nii"), scan, np.ones(stored.shape, np.uint8), is_scan=False, mark=MARK)
    for name in ("scan.nii", "label.nii"):
        content = (tmp_path / name).read_bytes()
        # Half of the word, too: short fields hold no more of it.
        assert b"CAN" not in content and b"ARY" not in content and b"NAC" not in content and b"YRA" not in content

    child = nibabel.load(tmp_path / "scan.nii").header
    kept = ("datatype", "bitpix", "scl_slope", "scl_inter", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z")
    assert all(np.array_equal(load_raw(tmp_path / "scan.nii", header)[name], header[name]) for name in kept)
    assert child.get_zooms() == header.get_zooms()[:3] and child.get_xyzt_units() == ("mm", "sec")
    assert type(child) is type(header) and child.endianness == endianness
    again = load_original(str(tmp_path / "scan.nii"))
    assert np.array_equal(again.stored_IJK, stored) and again.stored_IJK.dtype == stored.dtype


def load_raw(path, like):
    return type(like)(path.read_bytes()[: like.sizeof_hdr], endianness=like.endianness, check=False)


def test_stored_values_stay_inside_their_type(tmp_path):
    rng = np.random.default_rng(2)
    write_scan(tmp_path / "scan.nii", np.uint8, 1, 0, rng)
    scan = load_original(str(tmp_path / "scan.nii"))
    change = region(rng)
    lowered = SubvolumeChange(1, 2, change.delta_hu_XYZ * 100, change.synthetic_XYZ, change.start, change.boxes)
    changed, _, mask, _ = apply_changes(scan, np.ones((20, 24, 10), np.uint8), [lowered], GRIDS)
    assert changed.dtype == np.uint8 and changed[mask == 1].min() == 0


@pytest.mark.parametrize("endianness", ["<", ">"])
def test_a_pair_gives_a_single_file_of_equal_voxels(tmp_path, endianness):
    stored = np.random.default_rng(0).integers(900, 1100, (5, 6, 4)).astype(np.int16)
    image = nibabel.Nifti1Pair(stored, AFFINE, nibabel.Nifti1Pair.header_class(endianness=endianness))
    image.header.set_slope_inter(1, -1024)
    image.to_filename(tmp_path / "scan.hdr")
    scan = load_original(str(tmp_path / "scan.hdr"))
    both = (tmp_path / "scan.hdr").read_bytes() + (tmp_path / "scan.img").read_bytes()
    assert scan.sha256 == hashlib.sha256(both).hexdigest()
    write_like(str(tmp_path / "out.nii.gz"), scan, scan.stored_IJK, is_scan=True, mark=MARK)
    written, source = nibabel.load(tmp_path / "out.nii.gz"), nibabel.load(tmp_path / "scan.hdr")
    assert isinstance(written, nibabel.Nifti1Image)
    assert written.header.endianness == endianness
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(source.dataobj))
    np.testing.assert_array_equal(written.affine, source.affine)
