"""Measure the copies of real tumors in a data set of `freetumor synthesize --method shrunk`.

node dist/cli/start.js phantom --out phantoms --cases 8 --size 96 --seed 11
node dist/cli/start.js synthesize --method shrunk --images phantoms --region abdomen --out early --variants 4 \
  --tumors 2 --output ndjson > progress.ndjson
$FREETUMOR_PYTHON scripts/experiments/shrunk.py early phantoms/imagesTr phantoms/labelsTr --progress progress.ndjson

Prints JSON. Five numbers are minimum, 5 %, median, 95 % and maximum over the accepted copies. Contrasts are relative to
that of the source, which is its mean HU less that of the organ 2 to 6 voxels around it, on the grid of the scan.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

IDS = {"liver": (1, 2), "pancreas": (3, 4), "kidney": (5, 6), "lung": (1, 2)}
FACES = ndimage.generate_binary_structure(3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--map", default="", help="ids of the labels, as `synthesize --map` has them: 1:1,2:1,3:2")
    parser.add_argument("--progress", type=Path, help="standard output of `synthesize --output ndjson`")
    given = parser.parse_args()
    lines = [json.loads(line) for line in (given.synthetic / "ledger.jsonl").read_text().splitlines()]
    ids = dict(map(int, pair.split(":")) for pair in given.map.split(",") if pair)
    accepted = [line for line in lines if line["verdict"] == "accepted"]
    copies = [measured(given.synthetic, Host.read(given, line["case"], ids), line) for line in accepted]
    facts = {
        "attempts": len(lines),
        "accepted": len(accepted),
        "reasons": Counter(line["reason"] for line in lines),
        "voxelMm": sorted({tuple(copy.pop("voxelMm")) for copy in copies}),
        **{name: quantiles([copy[name] for copy in copies]) for name in (copies[0] if copies else {})},
    }
    if given.progress:
        seconds = [json.loads(line)["seconds"] for line in given.progress.read_text().splitlines() if "seconds" in line]
        facts["secondsPerScan"] = {name: quantiles([one[name] for one in seconds]) for name in seconds[0]}
    print(json.dumps(facts, indent=1))


class Host:
    """A host scan in HU with its label in ids of the region."""

    _known: dict[str, "Host"] = {}

    def __init__(self, image: Path, label: Path, ids: dict[int, int]) -> None:
        scan = nibabel.load(image)
        stored = np.asanyarray(nibabel.load(label).dataobj)
        self.image = np.asanyarray(scan.dataobj).astype(float)
        self.label = np.vectorize(lambda id: ids.get(int(id), 0))(stored) if ids else stored
        self.affine, self.voxel_mm = scan.affine, [round(float(mm), 4) for mm in scan.header.get_zooms()]

    @staticmethod
    def read(given: argparse.Namespace, case: str, ids: dict[int, int]) -> "Host":
        name = f"{case.split('/')[-1]}.nii.gz"
        if name not in Host._known:
            Host._known[name] = Host(given.images / name, given.labels / name, ids)
        return Host._known[name]


def measured(synthetic: Path, host: Host, line: dict) -> dict:
    image, change, tumors = (
        np.asanyarray(nibabel.load(synthetic / folder / line["file"]).dataobj)
        for folder in ("imagesTr", "changeTr", "tumorsTr")
    )
    assert np.array_equal(image[change == 0], host.image[change == 0]), f"{line['file']}: changed outside the mask"
    organ_id, tumor_id = IDS[line["organ"]]
    organ = host.label == organ_id
    copy = tumors == line["tumor"] + 1
    source = component_near(host.label == tumor_id, host.affine, line["source"]["centreMm"])
    source_contrast = contrast(host.image, source, organ)
    added = image - host.image
    core = ndimage.binary_erosion(copy, FACES)
    wanted = line["source"]["diameterMm"] * line["source"]["factor"]
    return {
        "voxelMm": host.voxel_mm,
        "diameterMm": wanted,
        "factor": line["source"]["factor"],
        "errorMmOnPreparedGrid": (6000 * line["measures"]["volumeMl"] / np.pi) ** (1 / 3) - wanted,
        "errorMmOnScan": (6 * copy.sum() * np.prod(host.voxel_mm) / np.pi) ** (1 / 3) - wanted,
        "sourceContrastHu": source_contrast,
        "addedOfContrast": added[copy].mean() / source_contrast,
        "addedOfContrastInCore": added[core].mean() / source_contrast if core.any() else np.nan,
        "contrastOfContrast": contrast(image.astype(float), copy, organ & ~copy) / source_contrast,
    }


def component_near(mask: np.ndarray, affine: np.ndarray, centre_mm: list[float]) -> np.ndarray:
    """Return the component (26 neighbours) that holds a position, or lies nearest to it."""
    numbers, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    at = np.rint(np.linalg.inv(affine) @ [*centre_mm, 1])[:3].astype(int)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return numbers == numbers[tuple(nearest[(slice(None), *at)])]


def contrast(image: np.ndarray, tumor: np.ndarray, organ: np.ndarray) -> float:
    near, far = (ndimage.binary_dilation(tumor, FACES, voxels) for voxels in (2, 6))
    return image[tumor].mean() - image[far & ~near & organ].mean()


def quantiles(values: list[float]) -> list[float]:
    finite = [value for value in values if np.isfinite(value)]
    return [round(float(value), 3) for value in np.quantile(finite, (0, 0.05, 0.5, 0.95, 1))] if finite else []


if __name__ == "__main__":
    main()
