"""A made scan with its label, and the settings of its preparation."""

from dataclasses import replace

import nibabel
import numpy as np

from freetumor_runtime.config.cases import PrepareCase, PrepareSpec

SHAPE = (40, 36, 22)
# LPS with unequal spacing and a tilt of some degrees, as a gantry leaves it
TILTED = np.array([[-1.1, 0.03, 0, 60], [0.02, -0.9, 0.2, 40], [0, 0.05, 2.5, -300], [0, 0, 0, 1]])
LPS = np.diag([-1.1, -0.9, 2.5, 1.0])
LPS[:3, 3] = 60, 40, -300


def body(seed=0):
    """Smooth tissue in air, with two organs; label ids 5 and 9 as in some data set."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    radius = np.sqrt(x**2 + y**2)
    image = np.where(radius < 0.8, 60 + 80 * np.sin(5 * x) * np.cos(4 * y + z), -1000.0)
    image[..., 0] = -1000
    image += np.random.default_rng(seed).normal(0, 5, SHAPE)
    label = np.where((x + 0.3) ** 2 + y**2 + z**2 < 0.15, 5, np.where((x - 0.4) ** 2 + y**2 + z**2 < 0.08, 9, 0))
    return image.astype(np.float32), label.astype(np.uint8)


def save(path, array, affine):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


def prepare_spec(tmp_path):
    return PrepareSpec("prepare", str(tmp_path / "cache"), 2, (1.5, 1.5, 1.5), (-175.0, 250.0), 7, "none", True, ())


def make_case(tmp_path, name="one", affine=LPS, seed=0, **changes):
    image, label = body(seed)
    case = PrepareCase(
        name,
        save(tmp_path / f"{name}_ct.nii.gz", image, affine),
        save(tmp_path / f"{name}_seg.nii.gz", label, affine),
        {"5": 1, "9": 2},
    )
    return replace(case, **changes)
