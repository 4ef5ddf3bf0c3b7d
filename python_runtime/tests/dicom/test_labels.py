from pathlib import Path

import numpy as np
import pydicom
import pytest

from freetumor_runtime.dicom.headers import Unreadable
from freetumor_runtime.dicom.labels import fill_even_odd, paint, read_label_object
from freetumor_runtime.dicom.series import Refused, series_below, stack_of
from tests.dicom import made_series as made
from tests.parity import shared_data

SHAPE = (40, 30, 8)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def inside(polygon: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Return the pixels in a polygon by crossings of a ray, one pixel and one edge at a time."""
    found = np.zeros((columns, rows), bool)
    for x in range(columns):
        for y in range(rows):
            for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                if (y1 <= y) != (y2 <= y) and x >= x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                    found[x, y] ^= True
    return found


def test_the_fill_agrees_with_a_ray_through_every_pixel():
    rng = np.random.default_rng(3)
    for _ in range(60):
        polygon = rng.uniform(-4, 24, (int(rng.integers(3, 12)), 2))
        if rng.random() < 0.5:
            polygon = np.rint(polygon)  # vertices and edges on pixel centres
        np.testing.assert_array_equal(fill_even_odd([polygon], 20, 18), inside(polygon, 20, 18))


def test_a_contour_in_another_one_is_a_hole():
    square = np.array([(1.5, 1.5), (10.5, 1.5), (10.5, 10.5), (1.5, 10.5)])
    hole = square / 3 + 4
    filled = fill_even_odd([square, hole], 14, 14)
    assert filled.sum() == 81 - fill_even_odd([hole], 14, 14).sum()


@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_a_structure_set_gives_the_mask_that_was_outlined(tmp_path, name):
    lps = made.lps_of(made.ORIENTATIONS[name])
    column, row = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    radii = {2: 8.3, 3: 11.7, 4: 9.9, 5: 4.2}
    hole = {3: 3.1}
    made.write_structures(
        tmp_path / "rt.dcm",
        [
            ("Liver", [made.circle(lps, k, (19.2, 14.6), r) for k, r in radii.items()]
             + [made.circle(lps, k, (18.1, 15.3), r) for k, r in hole.items()]),
            ("GTV", [made.circle(lps, 4, (22.0, 14.0), 3.6)]),
        ],
    )  # fmt: skip
    truth = np.zeros(SHAPE, np.uint8)
    for k, r in radii.items():
        truth[:, :, k][np.hypot(column - 19.2, row - 14.6) < r] = 1
    for k, r in hole.items():
        truth[:, :, k][np.hypot(column - 18.1, row - 15.3) < r] = 0
    truth[:, :, 4][np.hypot(column - 22.0, row - 14.0) < 3.6] = 2
    labels, voxels, notes = paint(str(tmp_path / "rt.dcm"), SHAPE, lps, {1: 1, 2: 2}, [1, 2])
    for label in (1, 2):
        assert dice(labels == label, truth == label) >= 0.99
    assert (voxels[2], notes) == (int((labels == 2).sum()), [])


def test_a_tumor_wins_over_its_organ_in_any_order_of_the_rois(tmp_path):
    lps = made.lps_of()
    rois = [("Tumor", [made.circle(lps, 1, (10, 10), 3)]), ("Liver", [made.circle(lps, 1, (10, 10), 8)])]
    made.write_structures(tmp_path / "rt.dcm", rois)
    labels, voxels, _ = paint(str(tmp_path / "rt.dcm"), SHAPE, lps, {1: 2, 2: 1}, [1, 2])
    assert (labels == 2).sum() == voxels[1] > 0
    assert labels[10, 10, 1] == 2


def test_gaps_between_contours_and_open_contours_are_noted_by_number(tmp_path):
    lps = made.lps_of()
    made.write_structures(tmp_path / "rt.dcm", [("DOE", [made.circle(lps, k, (10, 10), 3) for k in (1, 4)])])
    _, _, notes = paint(str(tmp_path / "rt.dcm"), SHAPE, lps, {1: 1}, [1])
    assert notes == ["ROI 1: 2 slices between its first and its last have no contour"]
    made.write_structures(tmp_path / "open.dcm", [("DOE", [made.circle(lps, 1, (10, 10), 3)])], kind="OPEN_PLANAR")
    labels, _, notes = paint(str(tmp_path / "open.dcm"), SHAPE, lps, {1: 1}, [1])
    assert (labels.sum(), notes) == (0, ["ROI 1: a contour that is no closed polygon was left out"])


def test_a_contour_that_repeats_another_one_makes_no_hole(tmp_path):
    lps = made.lps_of()
    circle, line = made.circle(lps, 1, (10, 10), 3), made.circle(lps, 1, (10, 10), 3)[:2]
    made.write_structures(tmp_path / "one.dcm", [("DOE", [circle])])
    made.write_structures(tmp_path / "two.dcm", [("DOE", [circle, circle, line])])
    once, _, _ = paint(str(tmp_path / "one.dcm"), SHAPE, lps, {1: 1}, [1])
    twice, _, notes = paint(str(tmp_path / "two.dcm"), SHAPE, lps, {1: 1}, [1])
    np.testing.assert_array_equal(twice, once)
    assert notes == [
        "ROI 1: a contour that repeats another one was left out",
        "ROI 1: a contour without an area was left out",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x06\x30\x26\x00LO", b"\x06\x30\x26\x00LH"),  # a value representation that does not exist
        (b"\x06\x30\x20\x00SQ", b"\x06\x30\x20\x00FD"),  # a sequence as numbers
        (b"\x06\x30\x84\x00IS\x02\x001 ", b"\x06\x30\x84\x00IS\x02\x00\xff\xfe"),  # a number as bytes
    ],
)
def test_a_damaged_label_object_is_unreadable(tmp_path, old, new):
    path = tmp_path / "rt.dcm"
    lps = made.lps_of()
    made.write_structures(path, [("Liver", [made.circle(lps, 1, (10, 10), 3)])])
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(Unreadable):
        read_label_object(str(path))
        paint(str(path), SHAPE, lps, {1: 1}, [1])


@pytest.mark.parametrize("k", [1.5, -2, 20])
def test_a_contour_on_no_slice_is_refused(tmp_path, k):
    lps = made.lps_of()
    made.write_structures(tmp_path / "rt.dcm", [("Liver", [made.circle(lps, k, (10, 10), 3)])])
    with pytest.raises(Refused) as refused:
        paint(str(tmp_path / "rt.dcm"), SHAPE, lps, {1: 1}, [1])
    assert refused.value.code == "other-grid"


def test_contours_without_numbers_are_unreadable(tmp_path):
    path = tmp_path / "rt.dcm"
    made.write_structures(path, [("Liver", [made.circle(made.lps_of(), 1, (10, 10), 3, points=4)])])
    one = pydicom.dcmread(path)
    one.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    one.save_as(path)
    with pytest.raises(Unreadable):
        paint(str(path), SHAPE, made.lps_of(), {1: 1}, [1])


def made_segmentation(folder: Path, kind: str, **options) -> tuple[str, np.ndarray]:
    """Write a CT and a SEG of two overlapping boxes by highdicom; return its path and boxes [slice, row, column]."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    source = [pydicom.dcmread(path) for path in made.write_ct(folder / "ct")]
    for one in source:
        one.StudyDate, one.StudyTime, one.AccessionNumber, one.StudyID = "20200101", "120000", "1", "1"
        one.PatientBirthDate, one.PatientSex, one.ReferringPhysicianName = "", "", ""
    boxes = np.zeros((made.SLICES, made.ROWS, made.COLUMNS, 2), bool)
    boxes[1:5, 3:12, 4:15, 0] = True
    boxes[2:4, 5:8, 9:20, 1] = True
    described = [
        hd.seg.SegmentDescription(
            number, f"DOE {number}", codes.SCT.Tissue, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for number, code in ((1, codes.SCT.Liver), (2, codes.SCT.Neoplasm))
    ]
    values = getattr(hd.seg.SegmentationTypeValues, kind)
    pixels = boxes.astype(np.float32) if kind == "FRACTIONAL" else boxes.astype(np.uint8)
    if kind == "LABELMAP":
        pixels = np.where(boxes[..., 1], 2, boxes[..., 0]).astype(np.uint8)
    segmentation = hd.seg.Segmentation(
        source, pixels, values, described, f"{made.ROOT}.8", 8, f"{made.ROOT}.8.1", 1,
        "maker", "model", "1", "1", **options,
    )  # fmt: skip
    path = folder / "seg.dcm"
    segmentation.save_as(path)
    return str(path), boxes


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("BINARY", {}),
        ("FRACTIONAL", {}),
        ("LABELMAP", {}),
        ("LABELMAP", {"transfer_syntax_uid": "1.2.840.10008.1.2.5"}),
        ("LABELMAP", {"transfer_syntax_uid": "1.2.840.10008.1.2.4.80"}),
    ],
)
def test_a_segmentation_of_highdicom_gives_its_masks(tmp_path, kind, options):
    path, boxes = made_segmentation(tmp_path, kind, **options)
    stack = stack_of(next(iter(series_below(str(tmp_path / "ct")).values())))
    found = read_label_object(path)
    assert found.series_uid == stack.slices[0].series_uid
    assert [one.code for one in found.segments] == ["SCT:10200004", "SCT:108369006"]
    labels, voxels, _ = paint(path, stack.shape, stack.lps, {1: 1, 2: 2}, [1, 2])
    expected = np.where(boxes[..., 1], 2, boxes[..., 0]).transpose(2, 1, 0)
    np.testing.assert_array_equal(labels, expected)
    assert voxels[2] == boxes[..., 1].sum()


def test_a_segmentation_on_a_flipped_and_smaller_grid_is_placed(tmp_path):
    path, boxes = made_segmentation(tmp_path, "BINARY")
    stack = stack_of(next(iter(series_below(str(tmp_path / "ct")).values())))
    one = pydicom.dcmread(path)
    from pydicom.pixels import pack_bits

    frames = one.pixel_array[:, ::-1, :]  # rows from the bottom
    shared = one.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    for group in one.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        x, y, z = (float(value) for value in place.ImagePositionPatient)
        place.ImagePositionPatient = [x, y + (made.ROWS - 1) * made.SPACING[0], z]
    one.PixelData = pack_bits(frames.astype(np.uint8))
    one.save_as(path)
    labels, _, _ = paint(path, stack.shape, stack.lps, {1: 1, 2: 2}, [1, 2])
    np.testing.assert_array_equal(labels, np.where(boxes[..., 1], 2, boxes[..., 0]).transpose(2, 1, 0))


def test_a_segmentation_on_another_grid_is_refused(tmp_path):
    path, _ = made_segmentation(tmp_path, "BINARY")
    for change in (
        np.diag([1.1, 1.0, 1.0, 1.0]),
        np.array([[1, 0, 0, 0.3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    ):
        with pytest.raises(Refused) as refused:
            paint(path, (made.COLUMNS, made.ROWS, made.SLICES), change @ made.lps_of(), {1: 1}, [1])
        assert refused.value.code == "other-grid"


def test_a_real_segmentation_gives_the_mask_that_its_maker_wrote():
    path = Path(shared_data("dicom/dcmqi/liver.dcm"))
    stack = stack_of(next(iter(series_below(str(path.parent / "ct-3slice")).values())))
    found = read_label_object(str(path))
    assert [(one.number, one.code) for one in found.segments] == [(1, "SRT:T-62000")]
    labels, voxels, _ = paint(str(path), stack.shape, stack.lps, {1: 1}, [1])
    import zlib

    header, data = (path.parent / "liver_seg.nrrd").read_bytes().split(b"\n\n", 1)
    assert b"sizes: 512 512 3" in header
    truth = np.frombuffer(zlib.decompress(data, 31), "<i2").reshape(512, 512, 3, order="F")
    np.testing.assert_array_equal(labels, truth)
    assert voxels == {1: 107_098}
