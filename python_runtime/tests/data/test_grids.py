import numpy as np

from freetumor_runtime.data.grids import align_label, spacing_of


def test_grids_that_differ_by_rounding_or_in_size_are_distinguished():
    label = np.arange(24).reshape(2, 3, 4)
    rounded = np.eye(4)
    rounded[0, 3] = 0.004
    assert np.array_equal(align_label(label, rounded, (2, 3, 4), np.eye(4)), label)
    assert align_label(label, np.eye(4), (2, 3, 5), np.eye(4)) is None
    assert align_label(label, np.diag([1, 1, 1.1, 1]), (2, 3, 4), np.eye(4)) is None
    turned = np.array([[0, -1, 0, 2], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert np.array_equal(align_label(label, turned, (3, 2, 4), np.eye(4)), np.rot90(label))


def test_spacing_is_the_length_of_a_voxel_however_it_is_turned():
    turned = np.array([[0, -2, 0, 5], [1, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 1.0]])
    assert spacing_of(turned) == [1, 2, 0.5]
