"""Compare whole-volume segmentation by our windows with MONAI's sliding_window_inference over the same windows.

    scripts/bench predict -- [--image ct.nii.gz ...] [--organ labels.nii.gz --organ-ids 7] [--checkpoint model.pt]
        [--patch 96] [--overlap 0.5] [--repeats 3]

Both run in one process, alternating; then the gain of skipped windows is measured, with the masks compared. Without
--image: a phantom of 512 x 512 x 60. Without --checkpoint: the small segmentor with weights drawn from a seed. That
is the hardest case, since a fast network leaves the largest fraction to the code around it. `--network swinunetr`
selects that network. `--organ` (of the first image) adds prediction of tumors in an organ only. Prints JSON.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from made_cts import make_case, write
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.grids import align_label
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.original_grid import needed_on_prepared
from freetumor_runtime.data.volumes import load_prepared_image
from freetumor_runtime.inference.open_scan import route_to_scan
from freetumor_runtime.inference.sliding_windows import Segmented, labels_of, segment_volume
from freetumor_runtime.models.segmentor import build_segmentor, freeze

CPU = torch.device("cpu")
# At most 2 % slower than MONAI over the same windows.
LEAST_RATIO = 1 / 1.02
LARGEST_DIFFERENCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", action="append", default=[])
    parser.add_argument("--organ")
    parser.add_argument("--organ-ids", type=int, nargs="*", default=[])
    parser.add_argument("--checkpoint")
    parser.add_argument("--network", choices=["small", "swinunetr"], default="small")
    parser.add_argument("--feature-size", type=int, default=None)
    parser.add_argument("--merging")
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--blend", choices=["constant", "gaussian"], default="constant")
    parser.add_argument("--window-batch", type=int, default=4)
    parser.add_argument("--min-foreground", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = network_of(options)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        images = options.image or [made_image(Path(folder))]
        for path in images:
            rows += rows_of(path, network, options, with_organ=path == images[0])
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def network_of(options: argparse.Namespace) -> nn.Module:
    if options.checkpoint:
        return load_segmentor(options.checkpoint, options.merging, CPU).network
    torch.manual_seed(0)
    size = options.feature_size or {"small": 16, "swinunetr": 48}[options.network]
    return freeze(
        build_segmentor(
            options.network,
            outputs=7,
            feature_size=size,
            levels=3,
            patch_merging="corrected",
        )
    )


def made_image(folder: Path) -> str:
    write(folder / "made.nii.gz", make_case(0, (512, 512, 60))[0])
    return str(folder / "made.nii.gz")


def rows_of(path: str, network: nn.Module, options: argparse.Namespace, with_organ: bool) -> list[dict]:
    prepared = load_prepared_image(path, (1.5, 1.5, 1.5), -175)
    image_XYZ = window_intensity(prepared.image_hu, (-175, 250))
    patch = (options.patch,) * 3
    name = Path(path).name.removesuffix(".gz").removesuffix(".nii")

    def ours(**changes) -> Segmented:
        return segment_volume(
            network,
            image_XYZ,
            patch,
            options.overlap,
            options.blend,
            options.window_batch,
            **changes,
        )

    def reference() -> Tensor:
        with torch.no_grad():
            return sliding_window_inference(
                image_XYZ[None, None],
                patch,
                options.window_batch,
                network,
                options.overlap,
                mode=options.blend,
            )[0]

    whole, expected_CXYZ = compared(f"predict {name}", ours, reference, options.repeats)
    targets = {"target": round(LEAST_RATIO, 3), "targetDifference": LARGEST_DIFFERENCE}
    rows = [{**whole, **targets, "shape": list(image_XYZ.shape)}]

    def add_gain(what: str, where_XYZ: Tensor | None, **changes) -> None:
        """Run once, against the same reference: skipping windows gains a multiple, not a few per cent."""
        segmented, seconds, processor = timed(lambda: ours(**changes))
        found = {"median": seconds, "processorMedian": processor}
        gain = {"row": f"predict {name}, {what}", "ours": found, "reference": whole["reference"]}
        rows.append(with_ratios({**gain, **agreement(segmented, expected_CXYZ, where_XYZ)}))

    add_gain(f"foreground {options.min_foreground:g}", None, min_foreground=options.min_foreground)
    if options.organ and with_organ:
        label, affine = load_nifti(options.organ)
        aligned = align_label(label, affine, prepared.grids.source_shape, prepared.grids.source_affine)
        if aligned is None:
            raise SystemExit(f"{options.organ}: its grid is not that of {path}")
        organ_IJK = np.isin(aligned, options.organ_ids) if options.organ_ids else aligned != 0
        wanted_XYZ = torch.from_numpy(needed_on_prepared(organ_IJK, route_to_scan(prepared.grids)))
        add_gain("organ", wanted_XYZ, wanted_XYZ=wanted_XYZ)
    return rows


def compared(
    row: str, ours: Callable[[], Segmented], reference: Callable[[], Tensor], repeats: int
) -> tuple[dict, Tensor]:
    """Return times and processor times of both in turns, and the logits of the reference."""
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "reference": []}
    found: dict[str, Segmented | Tensor] = {}
    for repeat in range(repeats):
        # the order changes, so that neither is always behind the other
        for side in ("ours", "reference") if repeat % 2 == 0 else ("reference", "ours"):
            found[side], seconds, processor = timed(ours if side == "ours" else reference)
            times[side].append((seconds, processor))
    segmented, expected_CXYZ = found["ours"], found["reference"]
    assert isinstance(segmented, Segmented) and isinstance(expected_CXYZ, Tensor)
    result: dict = {"row": row}
    for side, runs in times.items():
        wall, used = zip(*runs, strict=True)
        medians = {"median": statistics.median(wall), "processorMedian": statistics.median(used)}
        result[side] = {**medians, "seconds": wall, "processorSeconds": used}
    return with_ratios({**result, **agreement(segmented, expected_CXYZ, None)}), expected_CXYZ


def timed(work: Callable[[], Segmented | Tensor]) -> tuple[Segmented | Tensor, float, float]:
    started, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - started, time.process_time() - processor


def with_ratios(row: dict) -> dict:
    ours, reference = row["ours"], row["reference"]
    ratios = {"ratio": "median", "processorRatio": "processorMedian"}
    return {**row, **{name: reference[key] / ours[key] for name, key in ratios.items()}}


def agreement(segmented: Segmented, expected_CXYZ: Tensor, where_XYZ: Tensor | None) -> dict:
    """Compare logits and masks, inside `where_XYZ` if it is given."""
    inside = torch.ones(expected_CXYZ.shape[1:], dtype=torch.bool) if where_XYZ is None else where_XYZ
    other = labels_of(segmented.logits_CXYZ)[inside] != labels_of(expected_CXYZ)[inside]
    windows = {"all": segmented.windows, "computed": segmented.computed}
    return {
        "windows": {**windows, "blank": segmented.blank, "leftOut": segmented.left_out},
        "largestDifference": float((segmented.logits_CXYZ[:, inside] - expected_CXYZ[:, inside]).abs().max()),
        "otherVoxels": int(other.sum()),
        "voxels": int(inside.sum()),
    }


if __name__ == "__main__":
    main()
