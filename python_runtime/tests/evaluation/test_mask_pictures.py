import base64

import numpy as np
import pytest

from freetumor_runtime.evaluation.mask_pictures import picture_planes

# 2 mm along the first axis, which points left, 1 mm along the second (front), 4 mm along the third (head)
AFFINE = np.diag([-2.0, 1.0, 4.0, 1.0])


def pixels(plane, key):
    return np.frombuffer(base64.b64decode(plane[key]), np.uint8).reshape(plane["height"], plane["width"])


def test_planes_go_through_the_largest_disagreement_in_millimetres_and_lie_as_radiologists_look():
    truth, predicted = np.zeros((2, 40, 60, 12), np.uint8)
    truth[20:25, 30:36, 5:7] = 2
    predicted[20:25, 30:36, 5:7] = 2
    predicted[3, 3, 3] = 2
    # more than the single voxel above: what is missed here
    truth[30:34, 30:34, 8] = 2
    truth[36, 30, 8] = 1
    axial, coronal, sagittal = picture_planes(predicted, truth, None, AFFINE, [2], (-100, 100))["planes"]
    assert [plane["name"] for plane in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    for plane, size in ((axial, 8 * 4), (coronal, 8 * 4), (sagittal, 4 * 4)):
        missed = pixels(plane, "truth") - pixels(plane, "predicted")
        assert missed.sum() == size, plane["name"]
    # the first axis points left, so lower voxels lie right in the body, left in the picture
    organ = pixels(axial, "image")
    assert np.argwhere(organ > 0)[:, 1].max() > np.argwhere(pixels(axial, "truth"))[:, 1].max()
    # higher voxels of the second axis lie in front, up in the picture
    rows = np.argwhere(pixels(axial, "truth"))[:, 0]
    assert np.argwhere(organ > 0)[:, 0].max() == rows.max()


def test_a_scan_is_windowed_and_the_area_outside_it_has_the_lower_end_of_the_window():
    label = np.zeros((20, 20, 20), np.uint8)
    label[10, 10, 10] = 2
    image = np.full(label.shape, 50.0)
    image[10, 10, 10] = 1000
    (axial, *_) = picture_planes(label, label, image, np.eye(4), [2], (-100, 200))["planes"]
    grey = pixels(axial, "image")
    assert sorted(set(grey.ravel().tolist())) == [0, 128, 255]
    assert np.array_equal(grey == 255, pixels(axial, "truth") == 1)
    assert (grey > 0).sum() == 20 * 20


def test_a_pair_without_tumor_or_label_is_pictured_at_its_middle():
    empty = np.zeros((8, 8, 8), np.uint8)
    for plane in picture_planes(empty, empty, None, np.eye(4), [2], (0, 1))["planes"]:
        assert not pixels(plane, "truth").any() and not pixels(plane, "predicted").any()


def test_the_whole_slice_goes_through_the_same_place_and_marks_the_enlarged_square():
    # 2 mm voxels: 240 mm to the left, 160 mm to the front
    shape, affine = (120, 80, 8), np.diag([-2.0, 2.0, 3.0, 1.0])
    truth, predicted = np.zeros((2, *shape), np.uint8)
    truth[50:55, 30:36, 4] = 2
    against = np.zeros(shape, np.uint8)
    against[50, 30, 4] = 2
    pictures = picture_planes(predicted, truth, None, affine, [2], (-100, 100), against)
    whole, axial = pictures["whole"], pictures["planes"][0]
    assert (whole["name"], whole["width"], whole["height"], whole["pixelMm"]) == ("axial", 240, 160, [1.0, 1.0])
    assert pixels(whole, "truth").sum() == pixels(axial, "truth").sum() == 4 * 5 * 6
    assert pixels(whole, "against").sum() == 4 and pixels(whole, "predicted").sum() == 0
    left, top, width, height = whole["frameMm"]
    assert width == height == axial["width"] == 120
    # the same pixels, where the square lies inside the scan
    rows, columns = np.argwhere(pixels(whole, "truth")).min(0) - np.argwhere(pixels(axial, "truth")).min(0)
    assert (columns, rows) == (pytest.approx(left, abs=1), pytest.approx(top, abs=1))


def test_a_slice_of_a_long_scan_has_at_most_320_pixels_and_their_size_in_mm():
    label = np.zeros((10, 900, 2), np.uint8)
    whole = picture_planes(label, label, None, np.eye(4), [2], (0, 1))["whole"]
    assert (whole["width"], whole["height"]) == (10, 320)
    assert whole["pixelMm"] == pytest.approx([1.0, 900 / 320])


def test_a_picture_names_its_window_only_with_a_scan():
    label = np.zeros((8, 8, 8), np.uint8)
    assert picture_planes(label, label, None, np.eye(4), [2], (0, 1))["windowHu"] is None
    assert picture_planes(label, label, label, np.eye(4), [2], (0, 1))["windowHu"] == [0, 1]
