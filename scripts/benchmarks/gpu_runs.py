"""Run the shipped abdomen configurations on one GPU, at their published sizes.

    scripts/bench gpu_runs -- [--jobs baseline,synthesis,segmentation] [--variants bf16,bf16+compile,fp32]
                              [--steps 25] [--side 160] [--set KEY=VALUE ...]

Measures the work of one rank of eight in a step, its wait for items, and how busy the GPU is. In
configs/abdomen-JOB.yaml the script replaces only the data (phantoms of `side` voxels, made and prepared once), the
number of steps, the items of a step (an eighth) and the number of processes (one). A job takes the weights of the
previous one. Seconds of a step and of its wait for items are those that the run reports, without its first five
steps (compilation, first textures). `busy` is the mean that nvidia-smi reports during the steps, `memory` the
maximum of the device. There is no reference: `training_step` compares a step with one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ONLY_BY_NAME = "needs a CUDA device"
ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = 5
WATCH = [
    "nvidia-smi",
    "--id=0",
    "--query-gpu=utilization.gpu,memory.used",
    "--format=csv,noheader,nounits",
    "--loop-ms=100",
]
PHANTOMS = {"labelledCases": 4, "validationCases": 0, "hostCases": 8, "testCases": 0, "seed": 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="baseline,synthesis,segmentation")
    parser.add_argument("--variants", default="bf16,bf16+compile,fp32", help="precision, with +compile to compile")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--side", type=int, default=160, help="of the phantoms")
    parser.add_argument("--set", nargs="+", default=[], help="configuration keys, as of the command line")
    options = parser.parse_args()
    os.environ["FREETUMOR_PYTHON"] = sys.executable
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        weights: dict[str, str] = {}
        for job in options.jobs.split(","):
            config = configuration(Path(folder), job, weights, options)
            for variant in options.variants.split(","):
                out = Path(folder) / f"{job}-{variant}"
                rows.append(measured(job, variant, config, out, options))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                weights.setdefault(job, rows[-1].pop("checkpoint"))
    print(json.dumps({"rows": rows}))
    return 0


def configuration(folder: Path, job: str, weights: dict[str, str], options: argparse.Namespace) -> Path:
    shipped = yaml.safe_load((ROOT / f"configs/abdomen-{job}.yaml").read_text())
    datasets = [{"name": "phantom_labelled"}] + ([] if job == "baseline" else [{"name": "phantom_hosts"}])
    shipped["data"] = {
        "root": str(folder / "phantoms"),
        "phantoms": {**PHANTOMS, "sizeVoxels": options.side},
        "datasets": datasets,
    }
    shipped["prepare"] = {"cache": str(folder / "cache")}
    for name, made_by in (("baseline", "baseline"), ("generator", "synthesis")):
        if "trainFrom" in (shipped["networks"].get(name) or {}):
            shipped["networks"][name].pop("trainFrom")
            shipped["networks"][name]["checkpoint"] = weights[made_by]
    shipped["training"] = {"target": "lits", "task": "freesyn"} if job == "segmentation" else {}
    shipped["training"] |= {"steps": options.steps + LEFT_OUT, "warmupSteps": 0}
    ranks = shipped["runtime"]["processesPerNode"]
    shipped["sampling"]["itemsPerStep"] //= ranks
    shipped["runtime"]["processesPerNode"] = 1
    path = folder / f"{job}.yaml"
    path.write_text(yaml.safe_dump(shipped))
    return path


def measured(job: str, variant: str, config: Path, out: Path, options: argparse.Namespace) -> dict:
    precision, _, compiled = variant.partition("+")
    values = [f"runtime.precision={precision}", f"runtime.compile={str(bool(compiled)).lower()}", *options.set]
    command = ["node", "dist/cli/main.js", "train", "--config", str(config), "--out", str(out), "--output", "ndjson"]
    started = time.perf_counter()
    run = subprocess.Popen([*command, "--set", *values], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    seconds, waits, checkpoint, first, watch = [], [], None, None, None
    busy, memory = [], []
    assert run.stdout is not None
    for line in run.stdout:
        event = json.loads(line)
        if event["type"] == "checkpoint":
            checkpoint = str(Path(event["directory"]) / "model.pt")
        if event["type"] != "step":
            continue
        first = first or time.perf_counter() - started
        if event["step"] == LEFT_OUT - 1:
            watch = watched()
        elif event["step"] >= LEFT_OUT:
            seconds.append(event["seconds"])
            waits.append(event["waitSeconds"])
        if len(seconds) == options.steps and watch is not None:
            busy, memory = ended(watch)
            watch = None
    if run.wait() != 0:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}")
    note = f"waiting for items {sum(waits) / sum(seconds):.2%} of the steps (most {max(waits) * 1e3:.1f} ms)"
    note += f"; GPU busy {statistics.mean(busy):.0f} %, memory {max(memory) / 1024:.1f} GiB" if busy else ""
    note += f"; first step after {first:.0f} s"
    ours = {"median": statistics.median(seconds), "seconds": seconds, "waits": waits, "gpuBusy": busy}
    return {"row": f"{job}, {variant}", "ours": ours, "note": note, "checkpoint": checkpoint}


def watched() -> subprocess.Popen | None:
    """Return percent of time that the GPU worked lately, and MiB of its memory in use; None without a GPU."""
    try:
        return subprocess.Popen(WATCH, stdout=subprocess.PIPE, text=True)
    except OSError:
        return None


def ended(watch: subprocess.Popen) -> tuple[list[int], list[int]]:
    watch.terminate()
    told = [line.split(",") for line in watch.communicate()[0].splitlines() if line.count(",") == 1]
    return [int(busy) for busy, _ in told], [int(memory) for _, memory in told]


if __name__ == "__main__":
    sys.exit(main())
