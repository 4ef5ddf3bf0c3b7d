import pytest

from freetumor_runtime.data.label_ids import refuse_wrong_values
from freetumor_runtime.errors import DataError


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ([0, float("nan")], "found NaN: not a number", "write 0"),
        ([-1, 0, 1], "found -1: a negative id", "mapped to ignore"),
        ([0, 0.99999, 4.99995], "found 0.99999: nearly an integer", "data remap --round"),
        ([0, 0.9882, 2.0235], "found 0.9882: nearly an integer", "data remap --round"),
        ([0, 10.921457, 21.842914, 54.607285], "found 10.92146: ids times 10.92", "scl_slope"),
        ([0, 0.5, 1, 1.5], "found 0.5: a fraction", "interpolation"),
        ([0, 0.99999, 1.5], "found 0.99999: a fraction", "interpolation"),
    ],
)
def test_values_that_are_no_ids_are_refused_with_their_cause(values, message, hint):
    with pytest.raises(DataError, match=r"f\.nii: wrong label value \(expected integers of at least 0") as caught:
        refuse_wrong_values(values, "f.nii")
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_integers_of_any_type_are_ids():
    refuse_wrong_values([0, 1.0, 2, 255], "f.nii")
