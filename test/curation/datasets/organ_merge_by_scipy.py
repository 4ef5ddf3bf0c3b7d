"""Compare merged organ labels with an independent implementation by NumPy and SciPy; organ-merge.test.ts runs this.

Standard input: one JSON object per line with the inputs and our result. Prints {"maps", "wrong", "filled"}.
"""

import json
import sys

import numpy as np
from scipy import ndimage

ORGANS = {"abdomen": {1: 2, 3: 4, 5: 6}, "chest": {1: 2}}


def merged(organs: np.ndarray, given: np.ndarray | None, region: str) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Return the merged label, and the number and voxels of filled holes by organ id."""
    result = organs.copy()
    for organ, tumor in ORGANS[region].items():
        result[organs == tumor] = organ
    if given is not None:
        result = np.where(given > 0, given, result)
    before = result.copy()
    holes = {organ: [0, 0] for organ in ORGANS[region]}
    components, count = ndimage.label(np.pad(before, 1) == 0)
    padded = np.pad(before, 1)
    for number in range(1, count + 1):
        inside = components == number
        if inside[0, 0, 0]:
            continue
        around = ndimage.binary_dilation(inside) & ~inside
        ids = set(padded[around].tolist())
        for organ, tumor in ORGANS[region].items():
            if ids <= {organ, tumor}:
                result[inside[1:-1, 1:-1, 1:-1]] = organ
                holes[organ][0] += 1
                holes[organ][1] += int(inside.sum())
    return result, holes


def main() -> None:
    counts = {"maps": 0, "wrong": 0, "filled": 0}
    for line in sys.stdin:
        one = json.loads(line)
        organs = np.array(one["organs"], np.uint8).reshape(one["shape"])
        given = None if one["given"] is None else np.array(one["given"], np.uint8).reshape(one["shape"])
        label, holes = merged(organs, given, one["region"])
        counts["maps"] += 1
        ours = np.array(one["label"], np.uint8).reshape(one["shape"])
        same = np.array_equal(label, ours) and list(holes.values()) == one["holes"]
        counts["wrong"] += not same
        counts["filled"] += sum(number for number, _ in holes.values())
    print(json.dumps(counts))


main()
