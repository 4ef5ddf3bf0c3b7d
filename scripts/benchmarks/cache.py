"""Compare the compressed layout of the cache with the uncompressed one: size, and processor time of a crop of 96^3.

    scripts/bench cache [-- --image CT.nii.gz --label LABEL.nii.gz]

The case is the shared real CT (CRLM, 0.8 x 0.8 x 5 mm, without a label), or a phantom if that is missing, on the grid
of 1.5 mm. `ours` is the compressed layout, read as the feeder reads it, in one thread. `reference` is zarr-python: it
reads crops of the same files. `plain` is the uncompressed layout. Crops of both layouts must be identical. Prints JSON;
exit code 1 when the size is above 45 % or a crop above 10 ms.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_cts import make_case, write

from freetumor_runtime.config.cases import PrepareCase, PrepareSpec
from freetumor_runtime.data.cache import total_bytes
from freetumor_runtime.jobs.prepare import prepare_case

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FREETUMOR_SHARED", ROOT.parent / "shared")) / "data/crlm/CRLM-CT-1004_ct.nii.gz"
SIDE = 96
MOST_SHARE, MOST_SECONDS = 0.45, 0.010


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image")
    parser.add_argument("--label")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measured(Path(folder), options.image, options.label)
    print(json.dumps(row))
    return 0 if row["size"] <= MOST_SHARE and row["ours"]["median"] <= MOST_SECONDS else 1


def specification() -> PrepareSpec:
    return PrepareSpec("prepare", "", 1, (1.5, 1.5, 1.5), (-175.0, 250.0), 7, "none", True, ())


def measured(folder: Path, image: str | None, label: str | None) -> dict:
    if image is None and SHARED.exists():
        image = str(SHARED)
    if image is None:
        for name, array in zip(("image", "label"), make_case(0, (256, 256, 160)), strict=True):
            write(folder / f"{name}.nii.gz", array)
        image, label = str(folder / "image.nii.gz"), str(folder / "label.nii.gz")
    ids = {str(value): min(value, 6) for value in range(1, 256)} if label is not None else {}
    case = PrepareCase("one", image, label, ids)
    spec = specification()
    plain, packed = (
        prepare_case(case, replace(spec, directory=str(folder / compression), compression=compression))
        for compression in ("none", "blosc")
    )
    (_, by_plain), (_, by_packed) = crops_by_node([plain["path"], packed["path"]])
    assert by_plain["sha256"] == by_packed["sha256"], "the crops of the two layouts differ"
    sides = {"ours": by_packed["milliseconds"], "plain": by_plain["milliseconds"]}
    figures = {name: {"median": statistics.median(each) / 1000} for name, each in sides.items()}
    reference = {"median": by_zarr(packed["path"], packed["shape"])}
    size = total_bytes(packed["path"]) / total_bytes(plain["path"])
    return {
        "row": "cache: crop of 96^3",
        **figures,
        "reference": reference,
        "ratio": reference["median"] / figures["ours"]["median"],
        "size": size,
        "shape": packed["shape"],
        "seconds": {"plain": plain["seconds"], "packed": packed["seconds"]},
        "note": f"size {size:.1%} (at most {MOST_SHARE:.0%}); uncompressed {figures['plain']['median'] * 1000:.1f} ms; "
        f"at most {MOST_SECONDS * 1000:.0f} ms wanted",
        "loadAverage": os.getloadavg(),
    }


def crops_by_node(paths: list[str]) -> list[tuple[str, dict]]:
    command = ["node", str(ROOT / "scripts/benchmarks/cache.mjs"), *paths]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return [(one["path"], one) for one in told]


def by_zarr(path: str, shape: list[int]) -> float:
    """Return the processor time of a crop by zarr-python, in seconds."""
    import zarr

    arrays = [zarr.open_group(path, mode="r")[name] for name in ("image", "label")]
    draw = np.random.default_rng(7)
    seconds = []
    for _ in range(12):
        start = [int(draw.integers(0, max(1, side - SIDE))) for side in shape]
        part = tuple(slice(at, min(at + SIDE, side)) for at, side in zip(start, shape, strict=True))
        before = time.process_time()
        for array in arrays:
            np.asarray(array[part])
        seconds.append(time.process_time() - before)
    return statistics.median(seconds[2:])


if __name__ == "__main__":
    sys.exit(main())
