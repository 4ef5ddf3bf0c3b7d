"""Compare offline synthesis of a case by `freetumor synthesize` with a plain MONAI script of the published procedure.

    scripts/bench synthesize [-- --networks debug|published] [--image ct.nii.gz --label organs.nii.gz
        --label-ids 5:1,7:3,2:5,3:5] [--variants 4] [--repeats 1] [--whole] [--region-mm X,Y,Z] [--memory]

The procedure is that of method.md 6 and 9 (generator and baseline over the whole subvolume, Invertd, SaveImaged).
Both run on the same cores, in turns. `debug` selects the networks and the patch (40) of configs/debug-*.yaml,
`published` those of method.md 8 and patch 96. Their weights are drawn from a seed, and the baseline labels
everything as tumor, so that both sides write every scan. Both make the same number of tumors in a single attempt.
Both start from the command line, imports included. The reference loads a case once for all its variants; its
networks are plain PyTorch and MONAI.

Without an image: the kidneys of the shared real scan (`--whole`: liver, pancreas and kidneys), or a phantom if the
scan is missing. `--region-mm` keeps the organ labels only in a box of that size around their middle. The published
sizes take minutes per variant; a larger subvolume is to our advantage, a small one to that of the reference. `parts`
are seconds per variant. `memory` is that of the rank beyond its imports and weights, in a run whose textures exist.
Its bound is 3 float32 volumes, and 2 subvolumes more than there are classes. Prints JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from made_cts import make_case, write
from measuring import run

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FREETUMOR_SHARED", ROOT.parent / "shared")) / "data/totalsegmentator"
REAL = {
    "image": SHARED / "example_ct.nii.gz",
    "label": SHARED / "example_seg_fast_force_split.nii.gz",
    "label_ids": "2:5,3:5",
}
WHOLE = {"label_ids": "5:1,7:3,2:5,3:5"}
PATCH = {"debug": 40, "published": 96}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", choices=list(PATCH), default="debug")
    for name in ("image", "label"):
        parser.add_argument(f"--{name}")
    parser.add_argument(
        "--label-ids", default="1:1,2:2,3:3,5:5", help="id of the label:id of the abdomen,...; others are 0"
    )
    parser.add_argument("--region-mm", help="X,Y,Z")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--memory", action="store_true", help="also measure that of a rank: two runs more")
    parser.add_argument("--variants", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reference:
        reference(options, Path(options.reference))
        return
    # installed packages have compiled code; so has freetumor from its second start
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.update(PYTHONPATH=str(ROOT / "python_runtime"), FREETUMOR_PYTHON=sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        give_inputs(options, Path(folder))
        print(json.dumps(measured(options, Path(folder)), indent=2))


def measured(options: argparse.Namespace, folder: Path) -> dict:
    sides: dict[str, list[dict]] = {"ours": [], "reference": []}
    for repeat in range(options.repeats):
        order = ("ours", "reference") if repeat % 2 == 0 else ("reference", "ours")
        for side in order:
            made = ours(options, folder, repeat) if side == "ours" else run(reference_command(options, folder))
            sides[side].append({name: value for name, value in made.items() if name != "stdout"})
            print(f"{side}: {made['seconds']:.1f} s", file=sys.stderr)
    figures = {
        side: {
            "median": statistics.median(one["seconds"] for one in runs),
            "processorMedian": statistics.median(one["processorSeconds"] for one in runs),
            "peakMb": max(one["peakBytes"] for one in runs) >> 20,
            "runs": runs,
        }
        for side, runs in sides.items()
    }
    return {
        "row": f"offline synthesis, {options.networks}",
        "variants": options.variants,
        **figures,
        "ratio": figures["reference"]["median"] / figures["ours"]["median"],
        "processorRatio": figures["reference"]["processorMedian"] / figures["ours"]["processorMedian"],
        "target": 3 if options.networks == "debug" else 2,
        **({"memory": memory(options, folder)} if options.memory else {}),
        "loadAverage": os.getloadavg(),
    }


def memory(options: argparse.Namespace, folder: Path) -> dict:
    """Return the memory of a rank beyond imports and weights, one window per batch, for a second data set with the
    first cache.
    """
    import nibabel
    import numpy as np
    import zarr

    (prepared,) = (folder / "out0/.cache").rglob("*.zarr")
    label = np.asarray(zarr.open_group(prepared, mode="r")["label"])
    places = np.argwhere(label > 0)
    patch = PATCH[options.networks]
    sides = [
        min(length, max(patch, int(high - low) + 1))
        for length, low, high in zip(label.shape, places.min(0), places.max(0), strict=True)
    ]
    volume = int(np.prod(nibabel.load(folder / "image/case.nii.gz").shape)) * 4
    region = int(np.prod(sides)) * 4
    more = ["--set", f"prepare.cache={folder / 'out0/.cache'}", "evaluation.windowBatch=1"]
    found = {}
    for networks in ((), ("generator", "baseline")):
        made = ours(options, folder, "-".join(("memory", *networks)), networks, more)["rankMb"]
        found[" and ".join(networks) or "hand-crafted"] = made["peak"] - made["loaded"]
    return {"beyondLoadedMb": found, "boundMb": (3 * volume + (7 + 2) * region) >> 20, "regionVoxels": sides}


def give_inputs(options: argparse.Namespace, folder: Path) -> None:
    """Write the scan, its label, and weights, under the names that both sides look for."""
    import nibabel
    import numpy as np

    for kind in ("image", "label"):
        (folder / kind).mkdir()
    if options.image is None and REAL["image"].exists():
        vars(options).update(REAL | (WHOLE if options.whole else {}))
    if options.image is None:
        for kind, array in zip(("image", "label"), make_case(0, (256, 256, 160)), strict=True):
            write(folder / kind / "case.nii.gz", array)
        source = folder / "label/case.nii.gz"
    else:
        os.symlink(Path(options.image).resolve(), folder / "image/case.nii.gz")
        source = Path(options.label)
    label = nibabel.load(source)
    stored = np.asarray(label.dataobj)
    array = np.zeros(stored.shape, np.uint8)
    for pair in options.label_ids.split(","):
        given, wanted = map(int, pair.split(":"))
        array[stored == given] = wanted
    if options.region_mm:
        keep_box(array, label.affine, [float(part) for part in options.region_mm.split(",")])
    (folder / "label/case.nii.gz").unlink(missing_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, label.affine), folder / "label/case.nii.gz")
    make_weights(options.networks, folder)


def keep_box(label, affine, sides_mm: list[float]) -> None:
    """Clear all labels outside a box around the middle of the organs."""
    import numpy as np

    places = np.argwhere(label > 0)
    middle = (places.min(0) + places.max(0)) / 2
    half = np.array(sides_mm) / np.linalg.norm(affine[:3, :3], axis=0) / 2
    for axis, (at, reach) in enumerate(zip(middle, half, strict=True)):
        outside = np.abs(np.arange(label.shape[axis]) - at) > reach
        label[tuple(outside if one == axis else slice(None) for one in range(3))] = 0


def make_weights(networks: str, folder: Path) -> None:
    import torch

    from freetumor_runtime.models.segmentor import build_segmentor
    from freetumor_runtime.models.unet3d import UNet3d

    torch.manual_seed(0)
    published = networks == "published"
    generator = UNet3d(3, 32 if published else 4)
    size = {"kind": "swinunetr" if published else "small", "feature_size": 48 if published else 16, "levels": 3}
    judge = build_segmentor(**size, outputs=7, patch_merging="legacy")
    with torch.no_grad():
        # the baseline labels every voxel as liver tumor: nothing is rejected on either side
        last = [one for name, one in judge.named_parameters() if name.endswith("bias") and one.shape == (7,)][-1]
        last[2] += 1000
    stated = {"kind": size["kind"], "featureSize": size["feature_size"], "levels": 3, "outputs": 7}
    order = {"patchMerging": "legacy" if published else None, "mergingAssumed": False, "tumorOutputs": [2, 4, 6]}
    facts = {"kind": "segmentor", "segmentor": {**stated, **order}}
    weights = {f"netG.{name}": value for name, value in generator.state_dict().items()}
    torch.save({"state_dict": weights}, folder / "generator.pt")
    torch.save({"state_dict": judge.state_dict(), "freetumor": facts}, folder / "baseline.pt")


def ours(
    options: argparse.Namespace,
    folder: Path,
    name: int | str,
    networks: Sequence[str] = ("generator", "baseline"),
    more: Sequence[str] = (),
) -> dict:
    out, patch = folder / f"out{name}", PATCH[options.networks]
    command = ["node", str(ROOT / "dist/cli/main.js"), "synthesize", "--out", str(out), "--output", "ndjson"]
    command += ["--images", str(folder / "image"), "--labels", str(folder / "label")]
    for network in networks:
        command += [f"--{network}", str(folder / f"{network}.pt")]
    command += ["--region", "abdomen", "--variants", str(options.variants)]
    command += ["--channel", "organ"] if "generator" in networks else []
    command += ["--set", "synthesize.triesPerTumor=1", f"sampling.patchVoxels=[{patch},{patch},{patch}]"]
    # a cache of its own: each run prepares the case and makes its texture, as the reference does
    command += [f"prepare.cache={out / '.cache'}", "simulation.texture.count=1"]
    command += [f"runtime.threadsPerProcess={options.threads}", "report.pictures=0"]
    result = run([*command, *more])
    told = [json.loads(line) for line in result["stdout"].splitlines()]
    parts = {name: statistics.mean(one["seconds"][name] for one in told) for name in told[0]["seconds"]}
    return {
        **result,
        "parts": parts,
        "kept": told[-1]["kept"],
        "scans": len(list((out / "imagesTr").iterdir())),
        "rankMb": max((one["memoryMb"] for one in told), key=lambda one: one["peak"]),
    }


def reference_command(options: argparse.Namespace, folder: Path) -> list[str]:
    sizes = ["--networks", options.networks, "--variants", str(options.variants), "--threads", str(options.threads)]
    return [sys.executable, __file__, "--reference", str(folder), *sizes]


def reference(options: argparse.Namespace, given: Path) -> None:
    """Run plain MONAI, NumPy and SciPy, as the published scripts do it; written from docs/method.md."""
    import copy

    import numpy as np
    import torch
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import SwinUNETR
    from monai.transforms import (
        Compose,
        CropForegroundd,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        Orientationd,
        SaveImaged,
        ScaleIntensityRanged,
        Spacingd,
    )
    from plain_unet import UNet
    from scipy.ndimage import binary_erosion, gaussian_filter

    from freetumor_runtime.checkpoints.loading import load_segmentor

    torch.set_num_threads(options.threads)
    weights = torch.load(given / "generator.pt", weights_only=True)["state_dict"]
    generator = UNet(3, weights["netG.down_tr64.ops.0.conv1.weight"].shape[0]).train()
    generator.load_state_dict({name.removeprefix("netG."): value for name, value in weights.items()})
    if options.networks == "published":
        judge = SwinUNETR(in_channels=1, out_channels=7, feature_size=48, use_v2=True).eval()
        judge.load_state_dict(torch.load(given / "baseline.pt", weights_only=True)["state_dict"])
    else:  # a network of freetumor: no other implementation exists
        judge = load_segmentor(str(given / "baseline.pt"), None, torch.device("cpu")).network
    patch = (PATCH[options.networks],) * 3
    both = ["image", "label"]
    load = Compose(
        [
            LoadImaged(both),
            EnsureChannelFirstd(both),
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
        loaded = load({kind: str(given / kind / "case.nii.gz") for kind in both})
        for _ in range(options.variants):
            data = copy.deepcopy(loaded)
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
                raw = sliding_window_inference(region[None, None].as_tensor(), patch, 4, generator, 0.75)
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
                logits = sliding_window_inference(fake[None, None], patch, 4, judge, 0.75)
            seen = torch.isin(logits[0].argmax(0), torch.tensor([2, 4, 6])).numpy() & tumor
            _ = seen.sum() / (tumor.sum() + 1e-6)
            data["image"][0][tuple(box)] = fake
            data["label"][0][tuple(box)][torch.from_numpy(tumor)] = organ_id + 1
            undo(data)
    print("done")


if __name__ == "__main__":
    main()
