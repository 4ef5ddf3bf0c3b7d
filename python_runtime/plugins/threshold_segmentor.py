"""A minimal plug-in segmentor: dark voxels within soft tissue are tumor. For tests and as a start for your own.

freetumor plugin check --python python -- threshold_segmentor.py
"""

import numpy as np
from freetumor_plugin import serve

OUTPUTS = ["background", "liver", "liver_tumor"]


def segment(request):
    """Return label ids: 1 for soft tissue, 2 for darker voxels with soft tissue around them."""
    hu = request["image"]
    tissue = hu > 70
    around = np.zeros(hu.shape, np.int16)
    for axis in range(3):
        for step in (-6, 6):
            around += np.roll(tissue, step, axis)
    labels = tissue.astype(np.uint8)
    labels[(hu > 0) & ~tissue & (around >= 4)] = 2
    return labels


serve(name="threshold", version="1", licence="Apache-2.0", segment=segment, segments={"outputs": OUTPUTS})
