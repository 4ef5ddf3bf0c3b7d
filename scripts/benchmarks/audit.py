"""Measure what `freetumor data audit` finds and its cost: copies of real scans and phantoms, and a search among
thousands.

    scripts/bench audit [-- --scans DIR] [--phantoms 40] [--turned-phantoms 4] [--descriptors 1000 10000 161310]

The originals are phantoms and all volumes below DIR (default: the reference data next to the checkout). Label maps
count as scans that the audit must not confuse. The script makes copies of each scan: exact copies in all 48 orders
and directions of axes, with other types and wrong headers (of a large scan, its middle slices; of phantoms beyond
the first few, two copies); crops that keep 75 % of the volume; and resampled copies. Exit code 1 when the audit
misses an exact copy or more than 5 % of the others, or takes two originals for one.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from measuring import run
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FREETUMOR_SHARED", ROOT.parent / "shared")) / "data"
MAIN = str(ROOT / "dist/cli/main.js")
# Real scans; other files there are label maps.
SCANS = (
    "example_ct.nii.gz",
    "example_ct_dicom_as_nifti.nii.gz",
    "CRLM-CT-1004_ct.nii.gz",
    "ct_ds2.nii.gz",
)
TURNS = [(order, flips) for order in itertools.permutations(range(3)) for flips in itertools.product((1, -1), repeat=3)]
MOST_TURNED_VOXELS = 2_000_000
KEPT = 0.75
CROPS = {"all axes": (1, 1, 1), "slices": (0, 0, 1), "in the plane": (1, 1, 0)}
RESAMPLED = {
    # of no source: a copy on its own grid would be an exact one
    "1.3 mm": ((1.3, 1.3, 1.3), None),
    "2 mm, soft-tissue window": ((2, 2, 2), (-175, 250)),
    "slices of 5 mm": ((1, 1, 5), None),
}
LEAST_FOUND = 0.95


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, default=SHARED)
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--turned-phantoms", type=int, default=4)
    parser.add_argument(
        "--size",
        type=int,
        default=64,
        help="voxels a side of a phantom; at 48 they are alike, at 96 their pairs take an hour",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--descriptors", type=int, nargs="*", default=[1000, 10_000, 161_310])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), options)
    print(json.dumps(row))
    return 0 if row["ok"] else 1


def measure(folder: Path, options: argparse.Namespace) -> dict:
    cache = folder / "cache"
    scans, labels = originals(folder, options)
    exact = {"copies": 0, "found": 0, "missed": []}
    for number, scan in enumerate(scans):
        whole = not is_phantom(scan) or number < len(scans) - options.phantoms + options.turned_phantoms
        original, *copies = exact_copies(scan, folder / "copies", number, 48 if whole else 2)
        pairs = audit([original, *copies], cache, folder, options)["pairs"]
        told = {frozenset(pair["cases"]) for pair in pairs if pair["kind"] == "exact"}
        missed = [copy.stem for copy in copies if frozenset((original.name, copy.name)) not in told]
        exact["copies"] += len(copies)
        exact["found"] += len(copies) - len(missed)
        exact["missed"] += missed
        shutil.rmtree(folder / "copies")
    rng = np.random.default_rng(options.seed)
    made = [copy for scan in scans for copy in near_copies(scan, folder / "near", rng)]
    near = audit([*scans, *labels, *made], cache, folder, options)
    told = {frozenset(original_of(name) for name in pair["cases"]): pair for pair in near["pairs"]}
    direct = {frozenset(pair["cases"]) for pair in near["pairs"]}
    false = [sorted(names) for names in told if len(names) > 1]
    kinds = {kind: [copy for copy in made if f"~{kind}" in copy.name] for kind in ("crop", "resampled")}
    shares = {kind: share(copies, direct) for kind, copies in kinds.items()}
    passed = not exact["missed"] and all(one["share"] >= LEAST_FOUND for one in shares.values()) and not false
    return {
        "row": "audit",
        "ok": passed,
        "originals": {
            "scans": len(scans),
            "ofThemPhantoms": options.phantoms,
            "labelMaps": len(labels),
        },
        "exact": exact,
        **shares,
        "falsePairs": false,
        "cost": near["cost"],
        "search": [search(count) for count in options.descriptors],
    }


def originals(folder: Path, options: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    phantoms = folder / "phantoms"
    if options.phantoms > 0:
        command = [
            "phantom",
            "--out",
            str(phantoms),
            "--cases",
            str(options.phantoms),
            "--size",
            str(options.size),
        ]
        subprocess.run(
            ["node", MAIN, *command, "--seed", str(options.seed)],
            check=True,
            capture_output=True,
        )
    found = [path for path in sorted(options.scans.rglob("*.nii.gz")) if "odd_nifti" not in path.parts]
    scans = [path for path in found if path.name in SCANS]
    if not scans:
        print(f"no real scans below {options.scans}: phantoms alone", file=sys.stderr)
    made = sorted((phantoms / "imagesTr").glob("*.nii.gz"))
    return [*scans, *made], [path for path in found if path.name not in SCANS]


def is_phantom(path: Path) -> bool:
    return path.parent.name == "imagesTr"


def audit(paths: list[Path], cache: Path, folder: Path, options: argparse.Namespace) -> dict:
    """Return the audit's report, with its cost for each case that was new to the cache."""
    known = len(list((cache / "fingerprints").glob("*.json")))
    manifest = folder / "manifest.json"
    cases = [case_of(path) for path in paths]
    manifest.write_text(json.dumps({"version": 1, "cases": cases}))
    command = [
        "node",
        MAIN,
        "data",
        "audit",
        str(manifest),
        "--cache",
        str(cache),
        "--output",
        "json",
    ]
    done = run([*command, "--workers", str(options.workers)])
    fresh = max(1, len(list((cache / "fingerprints").glob("*.json"))) - known)
    report = json.loads(done["stdout"])
    cost = {
        "cases": len(paths),
        "newCases": fresh,
        "workers": options.workers,
        "secondsPerNewCase": round(done["seconds"] / fresh, 3),
        "processorSecondsPerNewCase": round(done["processorSeconds"] / fresh, 3),
        "closerLooks": report["compared"],
        "peakBytes": done["peakBytes"],
    }
    return {**report, "cost": cost}


def case_of(path: Path) -> dict:
    """Return a manifest entry. All cases are on one side, so nothing is a leak and everything is listed."""
    name = path.name
    role = {"kind": "host"}
    place = {
        "image": str(path),
        "label": None,
        "fold": None,
        "split": "test",
        "labelMap": None,
    }
    return {
        "id": name,
        "dataset": "Made",
        "patient": name,
        "region": "abdomen",
        "role": role,
        **place,
    }


def exact_copies(scan: Path, folder: Path, number: int, count: int):
    """Return the scan, or the middle slices of a large one, and its copies."""
    folder.mkdir()
    array = np.asarray(nibabel.load(scan).dataobj).astype(np.int16)
    slices = max(4, MOST_TURNED_VOXELS // (array.shape[0] * array.shape[1]))
    array = array[..., max(0, (array.shape[2] - slices) // 2) :][..., :slices]
    path = folder / f"{stem(scan)}.nii"
    save(path, array, (1.0, 0.0), nibabel.load(scan).affine)
    yield path
    turns = TURNS if count == len(TURNS) else [TURNS[(7 * number + 5) % 48], TURNS[(11 * number + 26) % 48]]
    for at, (order, flips) in enumerate(turns):
        turned = array.transpose(order)[tuple(slice(None, None, flip) for flip in flips)]
        path = folder / f"{stem(scan)}~exact{at}.nii"
        affine = np.diag([*[(1, 1, 1), (0.7, 0.9, 3), (-2, 1.5, 1)][at % 3], 1.0])
        save(path, *typed(turned, at), affine)
        yield path


def typed(array: np.ndarray, at: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the same HU in one of five types, and the rescale that goes with it."""
    if at % 5 == 4:
        return (array.astype(np.int32) + 32_768).astype(np.uint16), (1.0, -32_768.0)
    return array.astype([np.int16, np.int32, np.float32, np.float64][at % 5]), (
        1.0,
        0.0,
    )


def near_copies(scan: Path, folder: Path, rng: np.random.Generator):
    folder.mkdir(exist_ok=True)
    image = nibabel.as_closest_canonical(nibabel.load(scan))
    hu, spacing = (
        np.asarray(image.dataobj).astype(np.int16),
        image.header.get_zooms()[:3],
    )
    for at, axes in enumerate(CROPS.values()):
        sides = [round(side * KEPT ** (axis / sum(axes))) for side, axis in zip(hu.shape, axes, strict=True)]
        first = [int(rng.integers(0, whole - side + 1)) for whole, side in zip(hu.shape, sides, strict=True)]
        part = hu[tuple(slice(low, low + side) for low, side in zip(first, sides, strict=True))]
        order, flips = TURNS[rng.integers(len(TURNS))]
        turned = part.transpose(order)[tuple(slice(None, None, flip) for flip in flips)]
        path = folder / f"{stem(scan)}~crop{at}.nii"
        # Orientation and spacing differ from the header: crops are recognised by their voxels.
        save(path, turned, (1.0, 0.0), np.eye(4))
        yield path
    for at, (target, window) in enumerate(RESAMPLED.values()):
        factors = np.array(spacing) / target
        values = ndimage.zoom(hu.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
        if window is not None:
            values = (np.clip(values, *window) - window[0]) / (window[1] - window[0])
        path = folder / f"{stem(scan)}~resampled{at}.nii"
        # Axes in another order, as the header states.
        affine = np.zeros((4, 4))
        affine[0, 1], affine[1, 0], affine[2, 2], affine[3, 3] = (
            -target[0],
            target[1],
            target[2],
            1,
        )
        save(path, values[::-1].transpose(1, 0, 2).astype(np.float32), (1.0, 0.0), affine)
        yield path


def save(path: Path, array: np.ndarray, rescale: tuple[float, float], affine: np.ndarray) -> None:
    image = nibabel.Nifti1Image(np.asfortranarray(array), affine)
    content = bytearray(image.to_bytes())
    content[112:120] = np.array(rescale, "<f4").tobytes()
    path.write_bytes(content)


def stem(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")


def original_of(name: str) -> str:
    return name.removesuffix(".nii.gz").removesuffix(".nii").split("~")[0]


def share(copies: list[Path], pairs: set[frozenset[str]]) -> dict:
    missed = [copy.name for copy in copies if frozenset((copy.name, f"{original_of(copy.name)}.nii.gz")) not in pairs]
    return {
        "copies": len(copies),
        "share": round(1 - len(missed) / max(1, len(copies)), 4),
        "missed": missed,
    }


def search(count: int) -> dict:
    """Measure the search alone, among `count` random descriptors; the peak includes them."""
    script = str(Path(__file__).with_name("audit_search.mjs"))
    done = run(["node", "--max-old-space-size=16000", script, str(count)])
    return {**json.loads(done["stdout"]), "peakBytes": done["peakBytes"]}


if __name__ == "__main__":
    sys.exit(main())
