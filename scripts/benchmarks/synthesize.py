"""Offline synthesis of a real scan: `freetumor synthesize` against a straightforward MONAI script of the published procedure
(METHOD 6, 9: the generator and the baseline over the whole region, Invertd, SaveImaged), on the same cores, alternating.

    .venv/bin/python scripts/benchmarks/synthesize.py --generator model.pt --baseline model.pt
        --image ct.nii.gz --label organs.nii.gz --label-map TotalSegmentator --label-ids 5:1,7:3,2:5,3:5 [--variants 4]

Both make the same number of tumors with one try each; both start from the command line, imports included. Prints JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("generator", "baseline", "image", "label"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--label-map", required=True, help="of freetumor synthesize")
    parser.add_argument("--label-ids", required=True, help="the same map for the reference, from:to,...")
    parser.add_argument("--patch", type=int, default=40)
    parser.add_argument("--variants", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", action="store_true", help="run the reference once, in this process")
    options = parser.parse_args()
    if options.reference:
        reference(options)
        return
    sides: dict[str, list[dict]] = {"ours": [], "reference": []}
    for repeat in range(options.repeats):
        order = ("ours", "reference") if repeat % 2 == 0 else ("reference", "ours")
        for side in order:
            sides[side].append(ours(options) if side == "ours" else in_child(reference_command(options)))
    median = {side: sorted(one["seconds"] for one in runs)[len(runs) // 2] for side, runs in sides.items()}
    report = {
        "row": "offline synthesis",
        "variants": options.variants,
        **{side: {"median": median[side], "runs": runs} for side, runs in sides.items()},
        "ratio": median["reference"] / median["ours"],
        "loadAverage": os.getloadavg(),
    }
    print(json.dumps(report, indent=2))


def ours(options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("image", "label"):
            (Path(folder) / kind).mkdir()
            os.symlink(getattr(options, kind), Path(folder) / kind / "case.nii.gz")
        out = Path(folder) / "out"
        command = ["node", str(ROOT / "dist/cli/main.js"), "synthesize", "--out", str(out), "--output", "ndjson"]
        command += ["--images", f"{folder}/image", "--labels", f"{folder}/label", "--label-map", options.label_map]
        command += ["--generator", options.generator, "--baseline", options.baseline]
        command += ["--variants", str(options.variants), "--set", "synthesize.triesPerTumor=1"]
        # a texture is made once for all data sets; the reference has its own
        command += ["simulation.texture.count=1", f"runtime.threadsPerProcess={options.threads}", "report.pictures=0"]
        result = in_child(command)
        told = [json.loads(line) for line in result.pop("stdout").splitlines()]
        parts: dict[str, float] = {}
        for one in told:
            for name, seconds in one["seconds"].items():
                parts[name] = parts.get(name, 0) + seconds if name != "read" else seconds
        return {**result, "parts": parts, "variants": len(told)}


def reference_command(options: argparse.Namespace) -> list[str]:
    given = [
        part for name in ("generator", "baseline", "image", "label") for part in (f"--{name}", getattr(options, name))
    ]
    maps = ["--label-map", options.label_map, "--label-ids", options.label_ids]
    sizes = ["--variants", str(options.variants), "--patch", str(options.patch), "--threads", str(options.threads)]
    return [sys.executable, __file__, "--reference", *given, *maps, *sizes]


def in_child(command: list[str]) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python_runtime"), "FREETUMOR_PYTHON": sys.executable}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return {"seconds": seconds, "largestProcessMbSoFar": peak, "stdout": done.stdout}


def reference(options: argparse.Namespace) -> None:
    """Plain MONAI, NumPy and SciPy, as the published scripts do it; written from METHOD."""
    import numpy as np
    import torch
    from monai.inferers import sliding_window_inference
    from monai.transforms import (
        Compose,
        CropForegroundd,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        MapLabelValued,
        Orientationd,
        SaveImaged,
        ScaleIntensityRanged,
        Spacingd,
    )
    from scipy.ndimage import binary_erosion, gaussian_filter

    from freetumor_runtime.models.checkpoint import load_generator, load_segmentor

    torch.set_num_threads(options.threads)
    device = torch.device("cpu")
    generator = load_generator(options.generator, "organ", device).network
    judge = load_segmentor(options.baseline, None, device)
    pairs = [tuple(map(int, pair.split(":"))) for pair in options.label_ids.split(",")]
    wanted = dict(pairs)
    both = ["image", "label"]
    load = Compose(
        [
            LoadImaged(both),
            EnsureChannelFirstd(both),
            MapLabelValued(["label"], list(range(1, 256)), [wanted.get(source, 0) for source in range(1, 256)]),
            Orientationd(both, axcodes="RAS", labels=None),
            Spacingd(both, pixdim=(1.5, 1.5, 1.5), mode=("bilinear", "nearest")),
            ScaleIntensityRanged(["image"], -175, 250, 0.0, 1.0, clip=True),
            CropForegroundd(both, source_key="image"),
        ]
    )
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.random((420, 300, 320)), 3)
    texture = 0.2 * (texture - texture.min()) / (texture.max() - texture.min()) + 0.05
    texture = gaussian_filter((texture > rng.random(texture.shape)).astype(float), 4)
    texture = np.clip(texture * 0.52 / texture[texture > 0.12].mean(), 0, 1)
    with tempfile.TemporaryDirectory() as folder:
        undo = Compose(
            [
                Invertd(both, transform=load, orig_keys=both, nearest_interp=[False, True], to_tensor=True),
                SaveImaged(both, output_dir=folder, output_postfix="synthetic", separate_folder=False, print_log=False),
            ]
        )
        for _ in range(options.variants):
            data = load({"image": options.image, "label": options.label})
            image, label = data["image"][0], data["label"][0]
            box = []
            for axis in range(3):
                others = tuple(other for other in range(3) if other != axis)
                places = np.flatnonzero((label.numpy() > 0).any(axis=others))
                box.append(slice(int(places[0]), int(places[-1]) + 1))
            region, organ_map = image[tuple(box)].clone(), label[tuple(box)].numpy()
            organ_id = int(rng.choice([target for target in (1, 3, 5) if (organ_map == target).any()]))
            organ = organ_map == organ_id
            with torch.no_grad():
                raw = sliding_window_inference(region[None, None].as_tensor(), (options.patch,) * 3, 4, generator, 0.75)
            difference = torch.tanh(raw[0, (organ_id - 1) // 2]).numpy() * organ
            difference = gaussian_filter(difference, 1, truncate=3, mode="constant")
            radius = int(rng.choice([4, 8, 16, 32]))
            slices = np.flatnonzero(organ.any(axis=(0, 1)))
            z = int(slices[0] + rng.uniform(0.3, 0.7) * (slices[-1] - slices[0]))
            inner = np.argwhere(binary_erosion(organ[:, :, z], np.ones((5, 5))))
            x, y = inner[rng.integers(len(inner))] if len(inner) else np.argwhere(organ[:, :, z])[0]
            grid = np.ogrid[tuple(slice(0, side) for side in organ.shape)]
            shape = sum(((axis - at) / radius) ** 2 for axis, at in zip(grid, (x, y, z), strict=True)) < 1
            tumor = shape & organ
            weight = gaussian_filter(tumor.astype(float), 1.5)
            start = [
                int(rng.integers(0, side - length)) for side, length in zip(texture.shape, organ.shape, strict=True)
            ]
            window = texture[tuple(slice(at, at + length) for at, length in zip(start, organ.shape, strict=True))]
            fake = region.numpy() - weight * difference * window * organ
            fake = torch.from_numpy(fake.astype(np.float32))
            with torch.no_grad():
                logits = sliding_window_inference(fake[None, None], (options.patch,) * 3, 4, judge.network, 0.75)
            seen = torch.isin(logits[0].argmax(0), torch.tensor(judge.tumor_outputs)).numpy() & tumor
            _ = seen.sum() / (tumor.sum() + 1e-6)
            data["image"][0][tuple(box)] = fake
            data["label"][0][tuple(box)][torch.from_numpy(tumor)] = organ_id + 1
            undo(data)
    print("done")


if __name__ == "__main__":
    main()
