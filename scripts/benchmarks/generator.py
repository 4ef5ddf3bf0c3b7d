"""Compare the generator over a subvolume by sliding windows with MONAI's sliding_window_inference, alternating.

    scripts/bench generator -- [--base-channels 8] [--patch 64] [--region 112] [--repeats 3]

- `crop`: one crop, as in online synthesis, against the same network with PyTorch's own batch norm in training mode.
- `region`: every window by itself, against MONAI with a window batch of 1: the same numbers.
- `tumor`: only the windows that reach a tumor of radius 8 (method.md 6), against the published way, all windows in
  batches of 4; their norms differ, so the numbers differ.

The published sizes are 32 channels and 96; weights are drawn from a seed. Prints JSON.
"""

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from freetumor_runtime.inference.sliding_field import SlidingField
from freetumor_runtime.models.segmentor import freeze
from freetumor_runtime.models.unet3d import BatchStatisticsNorm, UNet3d

_OVERLAP = 0.75
# what an edge of sigma 2 and the blur of the difference reach beyond a tumor of radius 8
_TUMOR_SIDE = 2 * (8 + 8 + 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-channels", type=int, default=8)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--region", type=int, default=112)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    generator = freeze(UNet3d(3, options.base_channels))
    plain = with_plain_norms(generator)
    patch = (options.patch,) * 3
    image_XYZ = torch.rand((options.region,) * 3)
    crop_B1XYZ = torch.rand((1, 1, *patch))
    whole = (slice(0, options.region),) * 3
    start = (options.region - _TUMOR_SIDE) // 2
    tumor = (slice(start, start + _TUMOR_SIDE),) * 3

    def by_monai(batch: int) -> Tensor:
        return sliding_window_inference(image_XYZ[None, None], patch, batch, plain, _OVERLAP)[0]

    def ours(box) -> Tensor:
        return SlidingField(generator, image_XYZ, patch, _OVERLAP).at(box)

    rows = [
        compared(
            "generator crop",
            lambda: generator(crop_B1XYZ),
            lambda: plain(crop_B1XYZ),
            options.repeats,
        ),
        compared(
            "generator region",
            lambda: ours(whole),
            lambda: by_monai(1),
            options.repeats,
        ),
        compared("generator tumor", lambda: ours(tumor), lambda: by_monai(4), options.repeats),
    ]
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def with_plain_norms(network: nn.Module) -> nn.Module:
    """The network as it was published: batch norms that use batch statistics and keep running averages."""
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BatchStatisticsNorm):
                norm = nn.BatchNorm3d(len(child.weight))
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm.train())
    return plain


@torch.no_grad()
def compared(row: str, ours: Callable[[], Tensor], reference: Callable[[], Tensor], repeats: int) -> dict:
    ways = {"ours": ours, "reference": reference}
    seconds: dict[str, list[float]] = {side: [] for side in ways}
    processor: dict[str, list[float]] = {side: [] for side in ways}
    results: dict[str, Tensor] = {}
    for repeat in range(repeats + 1):
        for side in ways if repeat % 2 == 0 else reversed(ways):
            started, used = time.perf_counter(), time.process_time()
            results[side] = ways[side]()
            if repeat > 0:  # the first round warms up
                seconds[side].append(time.perf_counter() - started)
                processor[side].append(time.process_time() - used)
    median = {side: statistics.median(seconds[side]) for side in ways}
    used_median = {side: statistics.median(processor[side]) for side in ways}
    same = results["ours"].shape == results["reference"].shape
    return {
        "row": row,
        **{
            side: {
                "median": median[side],
                "seconds": seconds[side],
                "processorMedian": used_median[side],
            }
            for side in ways
        },
        "ratio": median["reference"] / median["ours"],
        "processorRatio": used_median["reference"] / used_median["ours"],
        "largestDifference": float((results["ours"] - results["reference"]).abs().max()) if same else None,
    }


if __name__ == "__main__":
    main()
