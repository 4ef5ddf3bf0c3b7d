import numpy as np

from freetumor_runtime.evaluation.masks import box_around, is_any


def test_a_mask_of_ids_is_that_of_isin_in_any_order_of_memory():
    label = np.asfortranarray(np.random.default_rng(0).integers(0, 7, (5, 6, 7), dtype=np.uint8))
    for ids in ([2], [2, 4, 6], [0, 300], []):
        found = is_any(label, ids)
        assert np.array_equal(found, np.isin(label, ids)) and found.flags.f_contiguous


def test_a_box_holds_all_that_is_not_0_in_either_and_nothing_more():
    one, other = np.zeros((2, 9, 8, 7), np.uint8)
    assert box_around(one, other) is None
    one[2, 3, 4] = 5
    assert box_around(one) == (slice(2, 3), slice(3, 4), slice(4, 5))
    other[8, 0, 6] = 1
    assert box_around(one, other) == (slice(2, 9), slice(0, 4), slice(4, 7))
    assert box_around(other > 0) == (slice(8, 9), slice(0, 1), slice(6, 7))
