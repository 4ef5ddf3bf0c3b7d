"""Compare the loading of a full-size synthesis checkpoint with a bare torch.load: time and peak memory.

    .venv/bin/python scripts/benchmarks/checkpoint_load.py [--repeats 5] [--folder DIR]

Writes the file (published sizes, 0.44 GB, formula weights) in a temporary folder and reads it once, so that the
disk's speed does not matter. Then measures each way in fresh processes, in turns. `tensors`: every value was read
once. `networks`: generator and segmentor are ready. Peak memory is above that of the process after all imports.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ONLY_BY_NAME = "prints figures of its own form, and writes 0.44 GB"
MOST_RATIO = 1.2
RUNTIME = Path(__file__).resolve().parents[2] / "python_runtime"

PRELUDE = """
import json, sys, time
from pathlib import Path
import torch
from monai.networks.nets import SwinUNETR
from freetumor_runtime.checkpoints.loading import load_generator, load_segmentor
from freetumor_runtime.checkpoints.checkpoint_file import read_checkpoint, verified
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
torch.set_num_threads(1)
path, cpu = sys.argv[1], torch.device("cpu")

def kibibytes(line):
    text = Path("/proc/self/status").read_text()
    return int(next(one for one in text.splitlines() if one.startswith(line + ":")).split()[1])

def part(weights, name):
    return {key[len(name) + 1:]: value for key, value in weights.items() if key.startswith(name + ".")}

def touch(tensors):
    return sum(float(value.sum()) for value in tensors.values())
"""

EPILOGUE = """
Path("/proc/self/clear_refs").write_text("5")
before, started = kibibytes("VmRSS"), time.perf_counter()
kept = measured()
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "megabytes": (kibibytes("VmHWM") - before) / 1024}))
"""

WAYS = {
    "tensors": {
        "bare": """
def measured():
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return weights, touch(weights)
""",
        "ours": """
def measured():
    tensors = read_checkpoint(path, verify=False).tensors
    return tensors, touch(tensors)
""",
    },
    "networks": {
        "bare": """
def measured():
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    generator, segmentor = UNet3d(3), build_segmentor(
        "swinunetr", outputs=7, feature_size=48, levels=4, patch_merging="legacy")
    generator.load_state_dict(part(weights, "netG"))
    segmentor.load_state_dict(part(weights, "netSeg"))
    return generator, segmentor
""",
        "ours": """
def measured():
    return load_generator(path, None, cpu, verify=False), load_segmentor(path, None, cpu, verify=False)
""",
    },
    "verification": {
        "crc32": """
def measured():
    return verified(path)
""",
        "sha256": """
from freetumor_runtime.checkpoints.checkpoint_file import sha256_of
def measured():
    return sha256_of(path)
""",
    },
}

WRITE = """
import sys, torch
from tests.parity import with_formula_weights
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
segmentor = build_segmentor("swinunetr", outputs=7, feature_size=48, levels=4, patch_merging="legacy")
networks = {"netG": UNet3d(3), "netD": UNet3d(3), "netSeg": segmentor}
weights = {
    f"{name}.{key}": value
    for name, network in networks.items()
    for key, value in with_formula_weights(network).state_dict().items()
}
torch.save({"state_dict": weights, "epoch": 99}, sys.argv[1])
print(sum(value.numel() for value in weights.values()))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", default=None, help="where the file is written (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = str(Path(folder) / "TGAN.pt")
        values = int(python(WRITE, path))
        report: dict = {"megabytes": round(Path(path).stat().st_size / 1e6, 1), "values": values}
        Path(path).read_bytes()
        for what, ways in WAYS.items():
            runs: dict[str, list[dict]] = {way: [] for way in ways}
            for _ in range(options.repeats):
                for way, program in ways.items():
                    runs[way].append(json.loads(python(PRELUDE + program + EPILOGUE, path)))
            report[what] = {way: summary(measured) for way, measured in runs.items()}
    for what in ("tensors", "networks"):
        ours, bare = report[what]["ours"], report[what]["bare"]
        report[what]["ratio"] = {key: round(ours[key] / bare[key], 3) for key in ("seconds", "megabytes")}
    print(json.dumps(report, indent=2))
    ratios = [ratio for what in ("tensors", "networks") for ratio in report[what]["ratio"].values()]
    return 0 if max(ratios) <= MOST_RATIO else 1


def python(program: str, path: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        cwd=RUNTIME,
        env={"PYTHONPATH": str(RUNTIME), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


def summary(runs: list[dict]) -> dict[str, float]:
    """Return medians over the repeats, and the fastest, which a busy machine disturbs least."""
    return {
        "seconds": round(statistics.median(run["seconds"] for run in runs), 3),
        "secondsFastest": round(min(run["seconds"] for run in runs), 3),
        "megabytes": round(statistics.median(run["megabytes"] for run in runs), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
