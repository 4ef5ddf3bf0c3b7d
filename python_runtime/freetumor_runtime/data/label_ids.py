"""Label ids of prepared cases: the ids of the region, and one id for voxels without an annotation (docs/data.md)."""

from collections.abc import Sequence

import numpy as np

from freetumor_runtime.errors import DataError

# The convention of the field, above the ids of every region. `IGNORED_LABEL` of src/volume/labels.ts.
IGNORED_LABEL = 255
# Cross-entropy refuses it, so an id that a region lacks is no class by accident.
_NO_CLASS = -1
# Distance from an integer that rounding in a file format explains; interpolation gives others, too.
_NEAR_ID = 0.05


def training_ids(training_labels: Sequence[int]) -> np.ndarray:
    """Return the training id of each uint8 region id, int64 [256]; ignored voxels stay ignored."""
    ids = np.full(256, _NO_CLASS, np.int64)
    ids[: len(training_labels)] = training_labels
    ids[IGNORED_LABEL] = IGNORED_LABEL
    return ids


def refuse_wrong_values(values: Sequence[float] | np.ndarray, path: str) -> None:
    """Raise DataError for values of a label that are no ids, and name the cause.

    `refuseWrongValues` of src/curation/datasets/remap.ts has the same words.
    """
    values = np.asarray(values, np.float64)
    wrong = values[~((values >= 0) & (values == np.rint(values)) & np.isfinite(values))]
    if wrong.size == 0:
        return
    value, cause, remedy = _cause_of(wrong, values)
    # as JavaScript writes them, so that both languages have one message
    found = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(f"{value:.7g}", f"{value:.7g}")
    message = f"{path}: wrong label value (expected integers of at least 0, found {found}: {cause})"
    raise DataError(message, remedy)


def _cause_of(wrong: np.ndarray, values: np.ndarray) -> tuple[float, str, str]:
    absent = wrong[~np.isfinite(wrong)]
    if absent.size:
        return absent[0], "not a number", "write 0, or an id of its own, in these voxels"
    negative = wrong[wrong == np.rint(wrong)]
    if negative.size:
        return negative[0], "a negative id", "replace it, for instance by an id that is mapped to ignore"
    if (_from_integer(wrong) <= _NEAR_ID).all():
        return wrong[0], "nearly an integer", "round the values with `freetumor data remap --round`"
    least = np.abs(values[values != 0]).min()
    # a mixture of two ids is rarely a multiple of the smallest mixture above 1
    if least > 1 and (_from_integer(values / least) < 1e-3).all():
        return wrong[0], f"ids times {least:.4g}", "correct scl_slope in the header, or use the original label"
    remedy = "use the original label: this one was resampled with interpolation, or has probabilities"
    return wrong[0], "a fraction", remedy


def _from_integer(values: np.ndarray) -> np.ndarray:
    return np.abs(values - np.rint(values))


def empty_organ_mask(path: str) -> DataError:
    """Return the error of an organ mask without an organ: every predicted tumor would lie outside it."""
    return DataError(
        f"{path}: empty organ mask (expected voxels of the organ, found only 0)",
        "segment the organ again, or remove this mask: the scan then has none",
    )
