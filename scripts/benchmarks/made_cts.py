"""Write phantoms of full size for benchmarks: a body with organs and a tumor, noise as in a scan, in .nii.gz."""

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np

SHAPE = (512, 512, 200)
SPACING_MM = (0.8, 0.8, 1.5)
NAMES = ["background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor"]
# Centre and radii in [-1, 1] of the volume, RAS: right is the first axis.
ORGANS = [
    (1, 60, (0.35, 0.1, 0.2), (0.3, 0.3, 0.45)),
    (2, 30, (0.35, 0.1, 0.2), (0.05, 0.05, 0.12)),
    (3, 45, (-0.05, 0.05, 0.0), (0.15, 0.06, 0.1)),
    (5, 35, (0.3, -0.35, -0.3), (0.1, 0.1, 0.3)),
    (5, 35, (-0.3, -0.35, -0.3), (0.1, 0.1, 0.3)),
]


def make_data_set(folder: Path, cases: int, shape: tuple[int, int, int] = SHAPE) -> None:
    """Write `imagesTr`, `labelsTr` and `dataset.json`; keep a folder that is complete."""
    done = folder / "complete.json"
    wanted = {"cases": cases, "shape": shape}
    if done.exists() and json.loads(done.read_text()) == json.loads(json.dumps(wanted)):
        return
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(cases):
        image, label = make_case(number, shape)
        write(folder / f"imagesTr/case_{number:03d}.nii.gz", image)
        write(folder / f"labelsTr/case_{number:03d}.nii.gz", label)
    labels = {name: number for number, name in enumerate(NAMES)}
    facts = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": cases, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(facts))
    done.write_text(json.dumps(wanted))


def make_case(seed: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return image int16 HU and label uint8."""
    rng = np.random.default_rng(seed)
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, side)) for side in shape)]
    body = (axes[0] / 0.85) ** 2 + (axes[1] / 0.65) ** 2 + 0 * axes[2] < 1
    image = np.full(shape, -1000, np.float32)
    image[body] = -90
    image[(axes[0] / 0.75) ** 2 + (axes[1] / 0.55) ** 2 + 0 * axes[2] < 1] = 30
    label = np.zeros(shape, np.uint8)
    shift = rng.uniform(-0.03, 0.03, 3)
    for identifier, hu, centre, radii in ORGANS:
        inside = sum(((axis - c - s) / r) ** 2 for axis, c, s, r in zip(axes, centre, shift, radii, strict=True)) < 1
        image[inside] = hu
        label[inside] = identifier
    noise = rng.standard_normal(shape, np.float32) * 14
    image[body] += noise[body]
    return np.rint(image).astype(np.int16), label


def write(path: Path, array: np.ndarray) -> None:
    affine = np.diag([*SPACING_MM, 1.0])
    with gzip.open(path, "wb", compresslevel=5) as file:
        file.write(nibabel.Nifti1Image(array, affine).to_bytes())
