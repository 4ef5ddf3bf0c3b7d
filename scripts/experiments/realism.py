"""Checks of `freetumor realism` on phantoms: planted copies, doses of a change, and two halves of one set.

FREETUMOR_PYTHON=.venv/bin/python
node dist/cli/start.js phantom --out phantoms --cases 120 --seed 1
PYTHONPATH=python_runtime $FREETUMOR_PYTHON scripts/experiments/realism.py copies phantoms --out copies.json
PYTHONPATH=python_runtime $FREETUMOR_PYTHON scripts/experiments/realism.py doses phantoms --out doses.json
PYTHONPATH=python_runtime $FREETUMOR_PYTHON scripts/experiments/realism.py halves phantoms --out halves.json
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import ndimage

from freetumor_runtime.config.realism import (
    ComparedGroup,
    CompareTumorsSpec,
    MeasuredFile,
    RealismCase,
    RealismOrgan,
    SizeClass,
)
from freetumor_runtime.realism import measuring
from freetumor_runtime.realism.comparison import compare_group, find_copies
from freetumor_runtime.realism.patches import LEAST_DIAMETER_MM
from freetumor_runtime.realism.zones import FoundTumor, Scan, find_tumors

ORGANS = (
    RealismOrgan("liver", 1, 2),
    RealismOrgan("pancreas", 3, 4),
    RealismOrgan("kidney", 5, 6),
)
GRID_MM = 1.0
SIZES = (
    SizeClass("under 10 mm", 0, 10),
    SizeClass("10 to 20 mm", 10, 20),
    SizeClass("over 20 mm", 20, None),
)
ALL = ComparedGroup("all/all", "group", "all", "all")


def scans_in(folder: Path) -> list[tuple[str, Scan]]:
    images = sorted((folder / "imagesTr").glob("*.nii.gz"))
    if not images:
        sys.exit(f"{folder}: no phantom found (expected imagesTr/*.nii.gz)")
    return [
        (
            path.name,
            measuring.load_scan(RealismCase(path.name, *two(folder, path), None, ORGANS, None, None)),
        )
        for path in images
    ]


def two(folder: Path, image: Path) -> tuple[str, str]:
    return str(image), str(folder / "labelsTr" / image.name)


def tumors_of(scan: Scan) -> list[FoundTumor]:
    return list(
        find_tumors(
            scan.label_XYZ,
            scan.numbers_XYZ,
            [(one.name, one.label, one.tumorLabel) for one in ORGANS],
        )
    )


def spec_of(files: list[MeasuredFile], seed: int, **more) -> CompareTumorsSpec:
    settings = {
        "permutations": 199,
        "resamples": 500,
        "minTumors": 20,
        "minPatients": 6,
        "encoder": False,
        **more,
    }
    return CompareTumorsSpec("compare-tumors", 1, seed, sizes=SIZES, files=tuple(files), cases=(), **settings)


def measured(directory: str, name: str, scan: Scan, synthetic: bool, patient: str) -> MeasuredFile:
    path = str(Path(directory) / f"{name}.npz")
    measuring.write_measures(path, "", *measuring.measure_scan(scan, ORGANS, GRID_MM))
    return MeasuredFile(name, patient, None, synthetic, path)


def planted_copy(
    source: Scan,
    tumor: FoundTumor,
    host: Scan,
    draw: np.random.Generator,
    noise_hu: float,
) -> tuple[Scan, dict]:
    """Return the host with a copy of the tumor: shifted, flipped, scaled, with other HU and noise."""
    scale = float(draw.uniform(0.8, 1.25))
    flips = tuple(axis for axis in range(3) if draw.random() < 0.5)
    offset_hu = float(draw.uniform(-30, 30))
    box = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in tumor.box)
    image = source.image_XYZ[box].astype(np.float32)
    mask = np.zeros(source.label_XYZ.shape, np.float32)
    mask[tumor.box][tumor.mask_XYZ] = 1
    mask = mask[box]
    image, mask = np.flip(image, flips), np.flip(mask, flips)
    shape = tuple(int(np.ceil(size * scale)) + 2 for size in image.shape)
    shift = draw.uniform(0, 1, 3)
    centre_in, centre_out = (np.array(image.shape) - 1) / 2, (np.array(shape) - 1) / 2
    start = centre_in - (centre_out + shift - 0.5) / scale
    image, mask = (
        ndimage.affine_transform(array, [1 / scale] * 3, start, shape, order=1, mode="nearest")
        for array in (image, mask)
    )
    inside = mask >= 0.5
    room = [size - need for size, need in zip(host.image_XYZ.shape, shape, strict=True)]
    at = [int(draw.integers(0, max(1, free))) for free in room]
    place = tuple(slice(begin, begin + need) for begin, need in zip(at, shape, strict=True))
    hu, label = (
        host.image_XYZ.astype(np.float32).copy(),
        np.where(np.isin(host.label_XYZ, [2, 4, 6]), 0, host.label_XYZ),
    )
    noise = draw.normal(0, noise_hu, shape)
    hu[place] = np.where(inside, image + offset_hu + noise, hu[place])
    label[place] = np.where(inside, tumor.tumor_label, label[place])
    about = {"scale": scale, "flips": flips, "offsetHu": offset_hu, "noiseHu": noise_hu}
    return Scan(hu, label.astype(np.uint8), None, None, host.spacing_mm), about


def is_compared(tumor: FoundTumor, scan: Scan) -> bool:
    """Return whether copies of the tumor are searched for; a scaled copy is at least 0.8 times as long."""
    return np.count_nonzero(tumor.mask_XYZ) * np.prod(scan.spacing_mm) >= np.pi / 6 * (LEAST_DIAMETER_MM / 0.8) ** 3


def copies(arguments: argparse.Namespace) -> dict:
    """Plant copies of real tumors, and count those whose nearest real tumor is the source and is called a copy."""
    draw = np.random.default_rng(arguments.seed)
    scans = scans_in(arguments.phantoms)
    sources = [(name, scan, tumor) for name, scan in scans for tumor in tumors_of(scan) if is_compared(tumor, scan)]
    with TemporaryDirectory() as directory:
        files = [measured(directory, f"real-{name}", scan, False, name) for name, scan in scans]
        abouts = []
        for number in range(arguments.number):
            name, source, tumor = sources[int(draw.integers(len(sources)))]
            host = scans[int(draw.integers(len(scans)))][1]
            scan, about = planted_copy(source, tumor, host, draw, float(draw.uniform(0, arguments.noise)))
            files.append(measured(directory, f"copy-{number}", scan, True, f"copy-{number}"))
            abouts.append({**about, "source": f"real-{name}", "sourceTumor": tumor.number})
        result = find_copies(spec_of(files, arguments.seed))
    by_case = {}
    # a rough copy may have a speck apart from it
    for one in sorted(result["nearest"], key=lambda one: -one["diameterMm"]):
        by_case.setdefault(one["case"], one)
    rows = [{**about, **by_case.get(f"copy-{number}", {})} for number, about in enumerate(abouts)]
    found = [
        row
        for row in rows
        if row.get("real")
        and row["real"]["copy"]
        and row["real"]["case"] == row["source"]
        and row["real"]["tumor"] == row["sourceTumor"]
    ]
    print(f"{len(found)} of {len(rows)} planted copies found; thresholds {result['thresholds']}")
    return {
        "found": len(found),
        "planted": len(rows),
        "thresholds": result["thresholds"],
        "rows": rows,
    }


def change_blur(hu: np.ndarray, inside: np.ndarray, dose: float, draw: np.random.Generator) -> np.ndarray:
    return np.where(inside, ndimage.gaussian_filter(hu, dose), hu)


def change_noise(hu: np.ndarray, inside: np.ndarray, dose: float, draw: np.random.Generator) -> np.ndarray:
    return np.where(inside, hu + draw.normal(0, dose, hu.shape), hu)


def change_shift(hu: np.ndarray, inside: np.ndarray, dose: float, draw: np.random.Generator) -> np.ndarray:
    return np.where(inside, hu + dose, hu)


def change_edge(hu: np.ndarray, inside: np.ndarray, dose: float, draw: np.random.Generator) -> np.ndarray:
    """Darken the outermost voxels of the tumor to its mean, as a share: a hard step at the border."""
    edge = inside & ~ndimage.binary_erosion(inside)
    return np.where(edge, (1 - dose) * hu + dose * hu[inside].min(), hu) if inside.any() else hu


DOSES = {
    "blur": (change_blur, (0.4, 0.6, 0.8, 1.2, 2.0)),
    "noise": (change_noise, (5.0, 10.0, 20.0, 30.0, 50.0)),
    "huShift": (change_shift, (10.0, 20.0, 40.0, 60.0, 80.0)),
    "sharpEdge": (change_edge, (0.2, 0.4, 0.6, 0.8, 1.0)),
}


def halves_of(names: list[str], draw: np.random.Generator) -> set[str]:
    return set(draw.permutation(names)[: len(names) // 2].tolist())


def doses(arguments: argparse.Namespace) -> dict:
    """Change the tumors of one half in five doses, and compare it with the other half."""
    draw = np.random.default_rng(arguments.seed)
    scans = scans_in(arguments.phantoms)
    changed = halves_of([name for name, _ in scans], draw)
    curves: dict[str, list] = {}
    with TemporaryDirectory() as directory:
        reals = [measured(directory, name, scan, False, name) for name, scan in scans if name not in changed]
        plain = [measured(directory, name, scan, True, name) for name, scan in scans if name in changed]
        none = figures([*reals, *plain], arguments.seed)
        for kind in arguments.kinds.split(","):
            change, amounts = DOSES[kind]
            curves[kind] = [{"dose": 0, **none}]
            for dose in amounts:
                made = []
                for name, scan in scans:
                    if name not in changed:
                        continue
                    hu = scan.image_XYZ.astype(np.float32)
                    for tumor in tumors_of(scan):
                        inside = np.zeros(hu.shape, bool)
                        inside[tumor.box] = tumor.mask_XYZ
                        hu = change(hu, inside, dose, draw)
                    made.append(measured(directory, name, replace(scan, image_XYZ=hu), True, name))
                curves[kind].append({"dose": dose, **figures([*reals, *made], arguments.seed)})
                print(
                    kind,
                    dose,
                    {name: round(one["value"], 3) for name, one in curves[kind][-1].items() if name != "dose"},
                )
    return curves


def figures(files: list[MeasuredFile], seed: int) -> dict:
    result = compare_group(ALL, spec_of(files, seed, permutations=49, resamples=100))
    wanted = (
        "frechetTumor",
        "frechetRim",
        "histogramTumor",
        "spectrumDistance",
        "classifierAuc",
    )
    return {
        one["name"]: {key: one[key] for key in ("value", "ci", "p")}
        for one in result["measures"]
        if one["name"] in wanted
    }


def halves(arguments: argparse.Namespace) -> dict:
    """Compare two halves of one set again and again: p values are uniform, so 5 % are below 0.05."""
    draw = np.random.default_rng(arguments.seed)
    scans = scans_in(arguments.phantoms)
    found: dict[str, list[float]] = {}
    with TemporaryDirectory() as directory:
        files = [measured(directory, name, scan, False, name) for name, scan in scans]
        for number in range(arguments.number):
            chosen = halves_of([one.caseId for one in files], draw)
            sides = [replace(one, synthetic=one.caseId in chosen) for one in files]
            result = compare_group(ALL, spec_of(sides, number, permutations=99, resamples=2))
            for one in result["measures"]:
                found.setdefault(one["name"], []).append(one["p"])
    rates = {
        name: {
            "below005": float(np.mean(np.array(ps) < 0.05 + 1e-12)),
            "mean": float(np.mean(ps)),
        }
        for name, ps in found.items()
    }
    for name, rate in rates.items():
        print(
            f"{name}: {100 * rate['below005']:.1f} % below 0.05, mean p {rate['mean']:.3f} ({arguments.number} splits)"
        )
    return {"rates": rates, "p": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=["copies", "doses", "halves"])
    parser.add_argument("phantoms", type=Path, help="folder that `freetumor phantom` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=200, help="planted copies or splits")
    parser.add_argument("--noise", type=float, default=10.0, help="largest noise added to a copy (HU)")
    parser.add_argument("--kinds", default=",".join(DOSES), help="changes of `doses`")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = {"copies": copies, "doses": doses, "halves": halves}[arguments.check](arguments)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
