"""Measure one texture of the published size on one core: ours, to the file that ranks share, against SciPy.

    scripts/bench texture [-- --repeats 3 --texture 9]

The SciPy code follows method.md 5.5 exactly. Both run in turns, each in a process of its own. Prints seconds and the
peak memory of each as JSON.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from measuring import alternate, summary

SIZE = (420, 300, 320)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--texture", type=int, default=9)
    parser.add_argument("--make", choices=["ours", "reference"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.texture)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    ways = {
        name: [sys.executable, __file__, "--make", name, "--texture", str(options.texture)]
        for name in ("ours", "reference")
    }
    runs = alternate(ways, options.repeats)
    inside = {name: [json.loads(one["stdout"]) for one in runs[name]] for name in ways}
    rows = {name: {**summary(inside[name]), "peakBytes": max(one["peakBytes"] for one in runs[name])} for name in ways}
    ratio = rows["reference"]["processorMedian"] / rows["ours"]["processorMedian"]
    print(json.dumps({"row": "texture", **rows, "ratio": ratio, "fileBytes": inside["ours"][0]["bytes"]}))


def make(way: str, index: int) -> None:
    """Print the seconds of the texture alone, without the imports."""
    import numpy as np
    import tumor_by_numpy

    from freetumor_runtime.synthesis.texture import TEXTURE_SIGMAS, TextureBank

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter(), time.process_time()
        if way == "ours":
            TextureBank(folder, SIZE, 0).part(index, (0, 0, 0), (8, 8, 8))
            size = sum(file.stat().st_size for file in Path(folder).glob("*.npy"))
        else:
            size = tumor_by_numpy.texture_volume(SIZE, *TEXTURE_SIGMAS[index], np.random.default_rng(0)).nbytes
        wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    print(json.dumps({"seconds": wall, "processorSeconds": processor, "bytes": size}))


if __name__ == "__main__":
    main()
