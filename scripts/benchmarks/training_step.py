"""Compare training steps at the published sizes with plain PyTorch and MONAI: one process per side, in turns.

    scripts/bench training_step -- [--step synthesis|segmentation|both|small|resenc] [--side 64] [--steps 2]
                                   [--repeats 1] [--threads 1] [--no-checkpointing | --cost-of-checkpointing]
                                   [--device auto|cpu|cuda] [--published DIR [--published-packages DIR]]

The reference is written from method.md as the published scripts train. synthesis: a G step and a D step, batch 1.
The reference runs S twice, with gradients of its weights and MONAI's activation checkpointing. It has the graphs of
D and S in memory together, gradients of D in the G step, and Adam without `fused`. Its gradients are cleared before
the D step (the published code forgets that), so that both sides have the same losses. segmentation: one volume of
two crops, painted by a frozen G and judged by a frozen S online, then a SwinUNETR with activation checkpointing and
AdamW. Ours are the jobs themselves, with items from memory.

small: the segmentor of the debug configurations, four crops of 40^3, 8 steps. The reference is the same network and
loss of plain PyTorch layers by autograd, with fused AdamW and the default allocator (plain_small.py).

`--cost-of-checkpointing` compares freetumor with itself: the side `reference` has activation checkpointing. `--step
resenc` exists only there: nnU-Net's network with deep supervision, two crops. Row `nnunet` has its reference.

`--published`: a checkout of the published repository. Its own synthesis step is measured as a third side, with only
the changes that it needs to run. Its imports beyond our pinned packages (opencv-python-headless, elasticdeform with
NumPy 1.26) must lie in `--published-packages`, a folder made by `pip install --target`.

With a CUDA device each step also has a row for it: networks in bfloat16 on both sides, ours compiled, memory of the
device, and the fraction of the timed steps in which the GPU worked. Losses are then those of bfloat16.

Both sides start with equal weights, crops, tumors and textures; `lossDifference` is the largest difference of a
loss, `firstLossDifference` that of the first step, before updates amplify rounding. Seconds are wall time, `processor` those of the processor; `peakRatio` compares the processes' largest memory.
Prints JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch
from training_step_sides import ours

ONLY_BY_NAME = "long, and much memory: networks of the published sizes"
SIDES = ("ours", "reference", "published")
STEPS = ("synthesis", "segmentation", "small", "resenc")
WATCH_GPU = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
TARGETS = {"synthesis": 1.6, "segmentation": 1.3}
# by step: sides of the crops, and timed steps of a process
SIDES_AND_STEPS = {"small": (40, 8)}


def main() -> None:
    options = options_of(sys.argv[1:])
    if options.only:
        print(json.dumps(one_side(options)))
        return
    steps = STEPS[:2] if options.step == "both" else [options.step]
    devices = (
        ["cpu", *(["cuda"] if torch.cuda.is_available() else [])] if options.device == "auto" else [options.device]
    )
    rows = [row(options, step, device) for device in devices for step in steps]
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", choices=[*STEPS, "both"], default="both")
    parser.add_argument("--side", type=int, help="of a crop; default 64, of step small 40")
    parser.add_argument("--width", type=int, default=32, help="base channels of G and D; the published width is 32")
    parser.add_argument("--feature-size", type=int, default=48, help="of the SwinUNETR; published: 48")
    parser.add_argument("--steps", type=int, help="timed steps of a process, after one that is not; default 2, small 8")
    parser.add_argument("--repeats", type=int, default=1, help="processes of each side")
    parser.add_argument("--threads", type=int, default=1)
    checkpointing = parser.add_mutually_exclusive_group()
    checkpointing.add_argument("--no-checkpointing", action="store_true", help="the reference keeps its activations")
    checkpointing.add_argument(
        "--cost-of-checkpointing", action="store_true", help="the reference is freetumor with activation checkpointing"
    )
    parser.add_argument("--only", choices=SIDES, help="one side in this process, in --folder")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--published", type=Path, help="a checkout of the published repository")
    parser.add_argument("--published-packages", type=Path, help="what the published code imports and we do not")
    options = parser.parse_args(arguments)
    side, steps = SIDES_AND_STEPS.get(options.step, (64, 2))
    options.side, options.steps = options.side or side, options.steps or steps
    if options.step == "resenc" and not options.cost_of_checkpointing:
        parser.error("--step resenc: add --cost-of-checkpointing; row nnunet has a reference")
    if options.step != "small" and options.step != "resenc" and (options.side < 64 or options.side % 32):
        parser.error(f"--side: expected a multiple of 32 from 64 (PyTorch norms no single voxel), found {options.side}")
    # of our side
    options.checkpointing = options.cost_of_checkpointing and options.only == "reference"
    return options


def row(options: argparse.Namespace, step: str, device: str) -> dict:
    runs: dict[str, list[dict]] = {"reference": [], "ours": []}
    if options.published is not None and step == "synthesis" and device == "cpu" and not options.cost_of_checkpointing:
        runs["published"] = []
    with tempfile.TemporaryDirectory() as folder:
        ours.write_weights(Path(folder), options, step)
        for _ in range(options.repeats):
            for side, done in runs.items():
                done.append(in_child(options, step, device, side, folder))
    median = {side: statistics.median(t for one in done for t in one["seconds"]) for side, done in runs.items()}
    processor = {side: statistics.median(t for one in done for t in one["processor"]) for side, done in runs.items()}
    peak = {side: statistics.median(one["peakBytes"] for one in done) for side, done in runs.items()}
    name = f"{step} step, checkpointing" if options.cost_of_checkpointing else f"{step} step"
    has_target = device == "cpu" and step in TARGETS and not options.cost_of_checkpointing
    return {
        "row": name if device == "cpu" else f"{name}, {torch.cuda.get_device_name()}",
        **({"target": TARGETS[step]} if has_target else {}),
        **({"note": "reference: freetumor with activation checkpointing"} if options.cost_of_checkpointing else {}),
        **{
            side: {"median": median[side], "processorMedian": processor[side], "peakBytes": peak[side], "runs": done}
            for side, done in runs.items()
        },
        "ratio": median["reference"] / median["ours"],
        "processorRatio": processor["reference"] / processor["ours"],
        "peakRatio": peak["ours"] / peak["reference"],
        **({"publishedRatio": median["published"] / median["ours"]} if "published" in runs else {}),
        "lossDifference": farthest(runs["ours"][0]["losses"], runs["reference"][0]["losses"]),
        "firstLossDifference": farthest(runs["ours"][0]["losses"][:1], runs["reference"][0]["losses"][:1]),
    }


def in_child(options: argparse.Namespace, step: str, device: str, side: str, folder: str) -> dict:
    command = [sys.executable, "-W", "ignore", __file__, "--step", step, "--only", side, "--folder", folder]
    command += ["--device", device]
    for name in ("side", "width", "feature_size", "steps", "threads"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    for flag in ("no_checkpointing", "cost_of_checkpointing"):
        command += [f"--{flag.replace('_', '-')}"] if getattr(options, flag) else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    if side == "published":
        command += ["--published", str(options.published)]
        if options.published_packages is not None:
            environment["PYTHONPATH"] = f"{options.published_packages}{os.pathsep}{environment['PYTHONPATH']}"
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def one_side(options: argparse.Namespace) -> dict:
    """Return losses of every step; wall and processor seconds of all but the first."""
    on_gpu = options.device == "cuda"
    seconds, processor, losses = [], [], []
    watch = None
    wall, cpu = time.perf_counter(), time.process_time()
    # the imports of one side count in no memory of another
    side = import_module(f"training_step_sides.{'ours' if options.cost_of_checkpointing else options.only}")
    for told in side.steps(options):
        if on_gpu:
            torch.cuda.synchronize()
            watch = watch or subprocess.Popen(WATCH_GPU, stdout=subprocess.PIPE, text=True)
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - cpu)
        losses.append(told)
        wall, cpu = time.perf_counter(), time.process_time()
    peak = torch.cuda.max_memory_allocated() if on_gpu else peak_memory()
    found = {"seconds": seconds[1:], "processor": processor[1:], "losses": losses, "peakBytes": peak}
    return found | ({"gpuBusy": share_of(watch)} if watch is not None else {})


def peak_memory() -> int:
    """Return the largest memory of this process; getrusage would count that of its parent before exec."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def share_of(watch: subprocess.Popen) -> float | None:
    """Return the mean that nvidia-smi has reported since its start, 0 to 1."""
    watch.terminate()
    told = [int(line) for line in watch.communicate()[0].split() if line.isdigit()]
    return statistics.mean(told) / 100 if told else None


def farthest(one: list[dict], other: list[dict]) -> float:
    """Return the largest absolute difference of a loss at a step."""
    return max(abs(a[name] - b[name]) for a, b in zip(one, other, strict=True) for name in b)


if __name__ == "__main__":
    main()
