#!/usr/bin/env python3
"""Deviation, size and time of exported SwinUNETRs on a real CT, each in an environment that has only its own runtime.

    .venv/bin/python scripts/experiments/exports.py SCAN.nii.gz --work DIR [--feature-size 48] [--patch 96 96 96]
        [--orders legacy corrected v2]

Run it with the Python of `freetumor setup --extra export`. It creates the other environments in DIR with pip, and
writes a checkpoint with random weights for each patch-merging order. It exports each and computes one window of
the scan with each file. Prints one line of JSON for each order and format.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH = "torch==2.13.0"
ENVIRONMENTS = {
    "onnx": ["onnxruntime==1.32.0", "numpy==2.4.6"],
    "torchscript": [TORCH, "numpy==2.4.6"],
    "monai-bundle": [TORCH, "monai==1.6.1", "nibabel==5.4.2", "einops==0.8.2", "fire==0.7.1"],
    "safetensors": ["safetensors==0.8.0", "numpy==2.4.6"],
}
# each prints seconds, and writes its logits or prints digests of its tensors
PROGRAMS = {
    "onnx": """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
loaded, used = time.time(), time.process_time()
logits = session.run(None, {"image": image})[0]
""",
    "torchscript": """
import torch
torch.set_num_threads(2)
network = torch.jit.load("model.ts")
loaded, used = time.time(), time.process_time()
with torch.no_grad():
    logits = network(torch.from_numpy(image)).numpy()
""",
    "monai-bundle": """
import torch
from monai.bundle import ConfigParser
torch.set_num_threads(2)
parser = ConfigParser()
parser.read_config("configs/inference.json")
network = parser.get_parsed_content("network_def").eval()
network.load_state_dict(torch.load("models/model.pt", weights_only=True)["model"])
loaded, used = time.time(), time.process_time()
with torch.no_grad():
    logits = network(torch.from_numpy(image)).numpy()
""",
    "safetensors": """
import hashlib
from safetensors.numpy import load_file
tensors = load_file("model.safetensors")
loaded, used = time.time(), time.process_time()
digests = {key: hashlib.sha256(value.tobytes()).hexdigest() for key, value in tensors.items()}
logits = None
""",
}
HEAD = """
import json, sys, time
import numpy as np
image = np.load(sys.argv[1])
started = time.time()
"""
TAIL = """
seconds = {"loadSeconds": loaded - started, "windowSeconds": None, "windowProcessorSeconds": None}
if logits is not None:
    seconds |= {"windowSeconds": time.time() - loaded, "windowProcessorSeconds": time.process_time() - used}
    np.save(sys.argv[2], logits)
print("RESULT " + json.dumps(seconds if logits is not None else {**seconds, "digests": digests}))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scan")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--feature-size", type=int, default=48)
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96])
    parser.add_argument("--orders", nargs="+", default=["legacy", "corrected", "v2"])
    parser.add_argument("--formats", nargs="+", default=list(ENVIRONMENTS))
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "python_runtime"))
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name in given.formats:
        make_environment(work / "environments" / name, ENVIRONMENTS[name])
    image = work / "window.npy"
    write_window(given.scan, given.patch, image)
    for order in given.orders:
        folder = work / f"{order}-{given.feature_size}"
        reference = write_checkpoint_of(folder, order, given.feature_size, given.patch, image)
        for name in given.formats:
            row = {"order": order, "featureSize": given.feature_size, "patch": given.patch, "format": name}
            print(json.dumps({**row, **measured(folder, name, image, reference, work)}), flush=True)


def make_environment(folder: Path, packages: list[str]) -> None:
    if (folder / "complete").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([folder / "bin/pip", "install", "-q", *packages], check=True)
    (folder / "complete").touch()


def write_window(scan: str, patch: list[int], out: Path) -> None:
    """Write a window from the middle of a scan, prepared for the abdomen; axes that are too short are padded with 0."""
    import numpy as np

    from freetumor_runtime.data.crops import window_intensity
    from freetumor_runtime.data.volumes import load_prepared_image

    prepared = window_intensity(load_prepared_image(scan, (1.5, 1.5, 1.5), -175.0).image_hu, (-175.0, 250.0)).numpy()
    middle = tuple(
        slice(max(0, (length - side) // 2), max(0, (length - side) // 2) + side)
        for length, side in zip(prepared.shape, patch, strict=True)
    )
    cut = prepared[middle]
    padded = np.pad(cut, [(0, side - length) for side, length in zip(patch, cut.shape, strict=True)])
    np.save(out, padded[None, None].astype(np.float32))


def write_checkpoint_of(folder: Path, order: str, feature_size: int, patch: list[int], image: Path) -> Path:
    """Write a checkpoint with random weights, its digests, and its logits of the window; return their file."""
    import numpy as np
    import torch

    from freetumor_runtime.checkpoints.checkpoint_file import write_checkpoint
    from freetumor_runtime.models.segmentor import build_segmentor, freeze

    reference = folder / "logits.npy"
    if reference.exists():
        return reference
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    torch.set_num_threads(2)
    size = {"outputs": 7, "feature_size": feature_size, "levels": 4}
    network = freeze(build_segmentor("swinunetr", **size, patch_merging=order))
    facts = {"kind": "swinunetr", "featureSize": feature_size, "levels": 4, "outputs": 7, "stages": []}
    facts |= {"patchMerging": order, "mergingAssumed": False, "tumorOutputs": [2, 4, 6]}
    names = ["background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor"]
    metadata = {"version": 1, "kind": "segmentor", "region": "abdomen", "labelNames": names, "segmentor": facts}
    metadata |= {"windowHu": [-175, 250], "spacingMm": [1.5, 1.5, 1.5], "patchVoxels": patch}
    state = network.state_dict()
    write_checkpoint(str(folder / "model.pt"), {"state_dict": state, "freetumor": metadata})
    digests = {key: hashlib.sha256(value.numpy().tobytes()).hexdigest() for key, value in state.items()}
    (folder / "digests.json").write_text(json.dumps(digests))
    with torch.no_grad():
        started = time.time()
        logits = network(torch.from_numpy(np.load(image))).numpy()
        (folder / "seconds.json").write_text(json.dumps(time.time() - started))
    np.save(reference, logits)
    return reference


def measured(folder: Path, name: str, image: Path, reference: Path, work: Path) -> dict:
    import numpy as np

    from freetumor_runtime.checkpoints import sandbox

    out = folder / name
    facts = {}
    if not out.exists():
        out.mkdir()
        started = time.time()
        sandbox.export(str(folder / "model.pt"), name, str(out), {"licences": []}, None)
        facts["exportSeconds"] = round(time.time() - started, 1)
    facts["bytes"] = sum(one.stat().st_size for one in out.rglob("*") if one.is_file())
    result = folder / f"{name}.npy"
    command = [str(work / "environments" / name / "bin/python"), "-c", HEAD + PROGRAMS[name] + TAIL]
    done = subprocess.run([*command, str(image), str(result)], cwd=out, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {**facts, "error": done.stderr[-500:]}
    answer = json.loads(done.stdout.split("RESULT ")[1])
    keys = ("loadSeconds", "windowSeconds", "windowProcessorSeconds")
    seconds = {key: None if answer[key] is None else round(answer[key], 1) for key in keys}
    facts |= {**seconds, "checkpointWindowSeconds": round(json.loads((folder / "seconds.json").read_text()), 1)}
    if "digests" in answer:
        return {**facts, "tensorsAreIdentical": answer["digests"] == json.loads((folder / "digests.json").read_text())}
    expected, found = np.load(reference), np.load(result)
    return {
        **facts,
        "deviation": float(np.abs(found - expected).max()),
        "largestLogit": float(np.abs(expected).max()),
        "otherLabels": int((found.argmax(1) != expected.argmax(1)).sum()),
        "voxels": int(expected[0, 0].size),
    }


if __name__ == "__main__":
    main()
