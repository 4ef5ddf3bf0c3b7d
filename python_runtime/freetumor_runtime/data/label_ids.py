"""Label ids of prepared cases: the ids of the region, and one id for voxels without an annotation (docs/data.md)."""

from collections.abc import Sequence

import numpy as np

# The convention of the field, above the ids of every region. `IGNORED_LABEL` of src/volume/labels.ts.
IGNORED_LABEL = 255
# Cross-entropy refuses it, so an id that a region lacks is no class by accident.
_NO_CLASS = -1


def training_ids(training_labels: Sequence[int]) -> np.ndarray:
    """Return the training id of each uint8 region id, int64 [256]; ignored voxels stay ignored."""
    ids = np.full(256, _NO_CLASS, np.int64)
    ids[: len(training_labels)] = training_labels
    ids[IGNORED_LABEL] = IGNORED_LABEL
    return ids
