"""Compare a call of `runtime.segment` on a 96^3 crop with the time of the network within it.

    .venv/bin/python scripts/benchmarks/calls.py [--calls 30] [--network small|published] [--device cpu|cuda]

The rest is transport, windowing, argmax and waiting. One process makes one call after another. "reference" is the
time inside the network as the runtime measures it (its device synchronised). `overheadMs` is the median of the
differences and must stay below 10. `small` is a network that takes a fraction of a second: the overhead does not
depend on the network, but the noise of the network's own time does. `processorMs` is the processor time of a call in
Node and Python without the network; other load on the machine does not count.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import torch

from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.config.common import SlidingWindowsSpec
from freetumor_runtime.data.call_source import SegmentCall
from freetumor_runtime.jobs.serve import NetworkWatch, segment
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.synthesis.subvolume import Tools

MOST_MS = 10.0
SIZES = {"small": ("small", 8, 3), "published": ("swinunetr", 48, 4)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--network", choices=list(SIZES), default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "baseline.pt"
        kind, width, levels = SIZES[options.network]
        torch.manual_seed(0)
        network = build_segmentor(kind, outputs=7, feature_size=width, levels=levels, patch_merging="corrected")
        segmentor = {"kind": kind, "featureSize": width, "levels": levels, "outputs": 7, "tumorOutputs": [2, 4, 6]}
        segmentor |= {"patchMerging": "corrected" if kind == "swinunetr" else None, "mergingAssumed": False}
        metadata = {"region": "abdomen", "segmentor": segmentor}
        torch.save({"state_dict": network.state_dict(), "freetumor": metadata}, path)
        asked = {"baseline": str(path), "calls": options.calls, "device": options.device, "cache": folder}
        command = ["node", str(Path(__file__).with_suffix(".mjs")), json.dumps(asked)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        python_ms = processor_ms(str(path), options.calls)
    row = {"row": f"calls, {options.network}", **json.loads(done.stdout), "mostMs": MOST_MS}
    row["processorMs"] = {"node": row.pop("nodeProcessorMs"), "python": python_ms}
    print(json.dumps(row))
    return 0 if row["overheadMs"]["median"] <= MOST_MS else 1


def processor_ms(path: str, calls: int) -> float:
    """Return the median processor time of the job's work on a crop minus that of the network, without a socket."""
    torch.set_num_threads(1)
    judge = load_segmentor(path, None, torch.device("cpu"))
    inside: list[float] = []
    judge.network.register_forward_pre_hook(lambda *_: inside.append(-time.thread_time()))
    judge.network.register_forward_hook(lambda *_: inside.append(time.thread_time()))
    spec = SimpleNamespace(
        windowHu=(-175.0, 250.0),
        segmentPatchVoxels=(96, 96, 96),
        segmentWindows=SlidingWindowsSpec(0.75, "constant", 4),
    )
    tools = Tools(spec, torch.device("cpu"), None, None, False, judge, 0)
    image_hu = torch.randint(-300, 400, (96, 96, 96), dtype=torch.int16)
    taken = []
    for _ in range(calls):
        inside.clear()
        started = time.thread_time()
        segment(SegmentCall(0, image_hu, None, False), tools, NetworkWatch(torch.device("cpu"), []))
        taken.append(time.thread_time() - started - sum(inside))
    return 1000 * sorted(taken)[len(taken) // 2]


if __name__ == "__main__":
    sys.exit(main())
