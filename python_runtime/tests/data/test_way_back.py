"""Masks on the scan's grid against MONAI's `Invertd`, voxel by voxel, on 200 geometries."""

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Invertd, Orientationd, Spacingd, SpatialPadd
from scipy.spatial.transform import Rotation

from freetumor_runtime.data import way_back
from freetumor_runtime.data.volumes import prepared_image
from freetumor_runtime.data.way_back import nearest_on_scan

SPACINGS = [
    (0.75, 0.75, 1.5),
    (0.703125, 0.703125, 5.0),
    (0.75, 0.75, 0.75),
    (1.5, 1.5, 1.5),
    (0.9765625, 0.9765625, 3),
]
# between the sides of the geometries: some are padded
PATCH = (16, 16, 16)
AXES = list(itertools.permutations(range(3)))


def geometry(seed: int):
    """(shape, affine) of a scan: half the spacings give ties, a third of the grids is oblique or sheared."""
    rng = np.random.default_rng(seed)
    spacing = SPACINGS[seed % 8] if seed % 8 < len(SPACINGS) else tuple(rng.uniform(0.4, 5, 3))
    directions = np.diag(rng.choice([-1.0, 1.0], 3))[:, list(AXES[seed % 6])]
    if seed % 3 == 0:
        directions = Rotation.random(random_state=seed).as_matrix()
    if seed % 9 == 0:
        directions = directions @ np.array([[1, 0.1, 0], [0, 1, 0.05], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(spacing)
    # a third of the scans starts where floats are not exact
    affine[:3, 3] = rng.integers(-300, 300, 3) if seed % 3 else rng.uniform(-300, 300, 3)
    return tuple(int(side) for side in rng.integers(1 if seed % 5 == 0 else 6, 40, 3)), affine


def scan_of(shape, rng) -> torch.Tensor:
    """Air around a box of noise, so that there is something to crop."""
    hu = np.full(shape, -1000.0, np.float32)
    box = tuple(slice(side // 5, side - side // 6) for side in shape)
    hu[box] = rng.uniform(-100, 200, hu[box].shape)
    return torch.from_numpy(hu)


def by_invertd(image_IJK, affine, spacing):
    """A function that brings a mask on the prepared grid back, as the published scripts do it."""
    transforms = Compose(
        [
            Orientationd(keys="image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd(keys="image", pixdim=spacing, mode="bilinear"),
            CropForegroundd(keys="image", source_key="image", select_fn=lambda hu: hu > -175, allow_smaller=True),
            SpatialPadd(keys="image", spatial_size=PATCH),
        ]
    )
    prepared = transforms({"image": MetaTensor(image_IJK[None], affine=torch.tensor(affine, dtype=torch.float64))})
    invert = Invertd(keys="pred", transform=transforms, orig_keys="image", nearest_interp=True, to_tensor=True)

    def back(mask: np.ndarray) -> np.ndarray:
        excess = [max(0, side - length) for side, length in zip(PATCH, mask.shape, strict=True)]
        padded = np.pad(mask.astype(np.float32), [(one // 2, one - one // 2) for one in excess])
        pred = MetaTensor(torch.from_numpy(padded)[None], meta=prepared["image"].meta)
        return invert({**prepared, "pred": pred})["pred"][0].numpy().astype(np.uint8)

    return back


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_every_voxel_is_that_of_invertd(first):
    compared = 0
    for seed in range(first, first + 20):
        shape, affine = geometry(seed)
        rng = np.random.default_rng([seed, 1])
        image = scan_of(shape, rng)
        prepared = prepared_image(image, affine, (1.5, 1.5, 1.5), -175)
        back = by_invertd(image, affine, (1.5, 1.5, 1.5))
        mask = rng.integers(0, 7, prepared.grids.prepared_shape).astype(np.uint8)
        ours = nearest_on_scan(mask, prepared.grids, PATCH)
        assert ours.shape == shape and ours.dtype == np.uint8
        differing = int((ours != back(mask)).sum())
        assert differing == 0, f"geometry {seed}: {differing} of {ours.size} voxels differ"
        compared += ours.size
    assert compared > 50_000


def test_slabs_do_not_change_an_oblique_grid(monkeypatch):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (7, 3, 20), degrees=True).as_matrix() * 0.75
    image = scan_of((60, 50, 40), np.random.default_rng(0))
    prepared = prepared_image(image, affine, (1.5, 1.5, 1.5), -175)
    back = by_invertd(image, affine, (1.5, 1.5, 1.5))
    mask = np.random.default_rng(1).integers(0, 7, prepared.grids.prepared_shape).astype(np.uint8)
    for voxels in (1, 7 * 50 * 40, 1 << 30):
        monkeypatch.setattr(way_back, "_SLAB_VOXELS", voxels)
        assert np.array_equal(nearest_on_scan(mask, prepared.grids, PATCH), back(mask))


def test_a_tie_goes_to_the_even_voxel():
    # voxels of 0.75 mm lie at 0, 0.5, 1, 1.5, ... of those of 1.5 mm
    image = torch.zeros(15, 1, 1)
    prepared = prepared_image(image, np.diag([0.75, 1.5, 1.5, 1]), (1.5, 1.5, 1.5), -175)
    line = np.arange(prepared.grids.prepared_shape[0], dtype=np.uint8).reshape(-1, 1, 1)
    assert nearest_on_scan(line, prepared.grids, (1, 1, 1)).ravel().tolist() == np.rint(np.arange(15) / 2).tolist()
