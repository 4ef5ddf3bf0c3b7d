"""Compare `freetumor data import` of lists as large as all the published ones with a plain script that reads the same.

    scripts/bench lists [-- --repeats 3] [--entries 35000]

Writes a list for each data set of the registry, of its published size (the two largest longer, to reach ENTRIES), in
the published dialects, and for every listed file a link to a small scan. Prints one JSON line.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from measuring import alternate, run, summary

ROOT = Path(__file__).resolve().parents[2]
LARGEST = ("Flare23", "Dataset224_AbdomenAtlas1.0")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--entries", type=int, default=35_000)
    parser.add_argument("--plain", type=Path, help="the reference: lists and data below this folder")
    options = parser.parse_args()
    if options.plain is not None:
        return plain(options.plain)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), options)))
    return 0


def measure(folder: Path, options: argparse.Namespace) -> dict:
    main_js = str(ROOT / "dist/cli/main.js")
    registry = json.loads(run(["node", main_js, "data", "list", "--output", "json"])["stdout"])
    entries = make_lists(folder, registry, options.entries)
    lists = ["--lists", str(folder / "lists"), "--root", str(folder / "data"), "--out", str(folder / "manifest.json")]
    ours = ["node", main_js, "data", "import", *lists, "--output", "json"]
    theirs = [sys.executable, __file__, "--plain", str(folder)]
    run(theirs)  # once, so that the disk's speed does not matter
    runs = alternate({"ours": ours, "reference": theirs}, options.repeats)
    imported = json.loads(runs["ours"][0]["stdout"])
    if imported["numCases"] != entries or imported["missing"] or imported["refused"]:
        sys.exit(f"{entries} cases were to be imported: {imported}")
    found = {way: summary(runs[way]) for way in runs}
    ratio = found["reference"]["median"] / found["ours"]["median"]
    peak = max(one["peakBytes"] for one in runs["ours"])
    counts = {"lists": len(registry), "entries": entries}
    return {"row": "lists", **counts, **found, "ratio": ratio, "peakBytes": peak}


def make_lists(folder: Path, registry: list[dict], wanted: int) -> int:
    (folder / "lists").mkdir()
    sizes = {one["name"]: one["published"]["training"] + one["published"]["validation"] for one in registry}
    more = max(0, wanted - sum(sizes.values()))
    for name in LARGEST:
        sizes[name] += more // len(LARGEST)
    for number, one in enumerate(registry):
        name, held_out = one["name"], one["published"]["validation"]
        flat = one.get("layout", {}).get("kind") == "flat"
        for kind in ("imagesTr", "labelsTr"):
            (folder / "data" / name / kind).mkdir(parents=True)
        scan = folder / "data" / name / "scan.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.full((8, 8, 8), number, np.int16), np.eye(4)), scan)
        pairs = [pair_of(name, case, scan, folder / "data", number % 2 == 0) for case in range(sizes[name])]
        content = {
            "labels" if number % 3 else "label": {"0": "background", "1": "liver"},
            "modality": "CT" if number % 2 else {"0": "CT"},
            "training": [{**pair, **({"fold": at % 5} if flat else {})} for at, pair in enumerate(pairs[held_out:])],
            "validation": pairs[:held_out],
        }
        (folder / "lists" / f"{name}.json").write_text(json.dumps(content))
    return sum(sizes.values())


def pair_of(name: str, case: int, scan: Path, data: Path, dotted: bool) -> dict[str, str]:
    places = {"image": f"imagesTr/case_{case:05d}.nii.gz", "label": f"labelsTr/case_{case:05d}.nii.gz"}
    for place in places.values():
        os.link(scan, data / name / place)
    return {key: f"./{name}/{place}" if dotted else place for key, place in places.items()}


def plain(folder: Path) -> int:
    """Read every list, find every file, and the geometry of every image."""
    cases = []
    for file in sorted((folder / "lists").iterdir()):
        content = json.loads(file.read_text())
        for split in ("training", "validation"):
            for entry in content[split]:
                image, label = (find(folder / "data", file.stem, entry[key]) for key in ("image", "label"))
                header = nibabel.load(image).header
                geometry = {"shape": header.get_data_shape(), "affine": header.get_best_affine().tolist()}
                cases.append({"image": image, "label": label, "split": split, **geometry})
    (folder / "plain.json").write_text(json.dumps(cases))
    return 0


def find(data: Path, name: str, place: str) -> str:
    for path in (os.path.join(data, place), os.path.join(data, name, place)):
        if os.path.exists(path):
            return path
    raise FileNotFoundError(place)


if __name__ == "__main__":
    sys.exit(main())
