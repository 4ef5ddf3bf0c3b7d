"""Our arithmetic of grids against MONAI's and PyTorch's, bit by bit, on random grids."""

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing, compute_shape_offset, zoom_affine
from monai.networks import to_norm_affine
from monai.transforms import Spacing
from scipy.spatial.transform import Rotation

from freetumor_runtime.data import grid_arithmetic
from freetumor_runtime.data.grid_arithmetic import (
    covering_grid,
    nearest_along_axis,
    normalised,
    spaced_grid,
    voxel_sides,
    with_voxel_sides,
)
from freetumor_runtime.data.grids import nearest_voxels

AXES = list(itertools.permutations(range(3)))
COMMON_MM = (0.5, 0.6, 0.703125, 0.75, 0.9765625, 1.0, 1.25, 1.4996, 1.5, 1.5003, 2.0, 2.5, 3.0, 5.0)


def random_grid(seed):
    """(shape, affine): all orders of axes, all flips, every third one oblique, every ninth one sheared."""
    rng = np.random.default_rng(seed)
    sides_mm = rng.choice(COMMON_MM, 3) if seed % 2 else rng.uniform(0.3, 6, 3)
    directions = np.diag(rng.choice([-1.0, 1.0], 3))[:, list(AXES[seed % 6])]
    if seed % 3 == 0:
        directions = Rotation.random(random_state=seed).as_matrix()
    if seed % 9 == 0:
        directions = directions @ np.array([[1, 0.1, 0], [0, 1, 0.05], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(sides_mm)
    affine[:3, 3] = rng.integers(-300, 300, 3) if seed % 5 else rng.uniform(-300, 300, 3)
    return tuple(int(side) for side in rng.integers(1, 600, 3)), affine


def wanted_mm(seed):
    rng = np.random.default_rng([seed, 1])
    return (1.5, 1.5, 1.5) if seed % 4 < 2 else tuple(rng.uniform(0.5, 4, 3))


@pytest.mark.parametrize("first", range(0, 2000, 500))
def test_every_grid_is_that_of_monai(first):
    for seed in range(first, first + 500):
        shape, affine = random_grid(seed)
        assert np.array_equal(voxel_sides(affine), affine_to_spacing(affine)), seed
        made = zoom_affine(affine, wanted_mm(seed), diagonal=False)
        assert np.array_equal(with_voxel_sides(affine, wanted_mm(seed)), made), seed
        theirs_shape, theirs_origin = compute_shape_offset(shape, affine, made, False)
        ours_shape, ours_origin = covering_grid(shape, affine, made)
        assert ours_shape == tuple(theirs_shape) and np.array_equal(ours_origin, theirs_origin), seed


def test_every_straight_spaced_grid_is_that_of_the_transform():
    kinds = set()
    # multiples of 3 are oblique: MONAI resamples those
    for seed in (one for one in range(450) if one % 3):
        shape, affine = random_grid(seed)
        shape = tuple(1 + side % 12 for side in shape)
        image = MetaTensor(torch.zeros(1, *shape), affine=torch.tensor(affine))
        wanted = tuple(voxel_sides(affine) + 1e-4) if seed % 7 == 0 else wanted_mm(seed)
        theirs = Spacing(pixdim=wanted, mode="nearest")(image)
        ours = spaced_grid(shape, affine, wanted)
        assert ours.shape == theirs.shape[1:], seed
        assert np.array_equal(ours.affine, theirs.affine.numpy()), seed
        kinds.add(ours.unchanged)
    assert kinds == {True, False}


def test_every_normalised_map_is_that_of_monai():
    for seed in range(500):
        rng = np.random.default_rng(seed)
        to_source = np.eye(4)
        to_source[:3] = rng.uniform(-3, 3, (3, 4))
        source, wanted = (tuple(int(side) for side in rng.integers(1, 600, 3)) for _ in range(2))
        theirs = to_norm_affine(torch.from_numpy(to_source)[None], source, wanted, align_corners=False)
        assert np.array_equal(normalised(to_source, source, wanted), theirs[0].numpy()), seed


def test_the_steps_between_two_faces_are_those_of_pytorch():
    for length in range(2, 1200):
        theirs = torch.linspace(-1, 1, length, dtype=torch.float64) * (length - 1) / length
        assert np.array_equal(grid_arithmetic._steps(length), theirs.numpy()), length


def nearest_by_pytorch(scale, shift, source, wanted):
    to_source = torch.eye(4, dtype=torch.float64)
    to_source[0, 0], to_source[0, 3] = scale, shift
    theta = to_norm_affine(to_source[None], (source, 1, 1), (wanted, 1, 1), align_corners=False)
    theta = theta[:, [2, 1, 0, 3]][:, :, [2, 1, 0, 3]]
    grid = torch.nn.functional.affine_grid(theta[:, :3], [1, 1, wanted, 1, 1], align_corners=False)
    line = torch.arange(source, dtype=torch.float64)[None, None, :, None, None]
    found = torch.nn.functional.grid_sample(line, grid, mode="nearest", padding_mode="border", align_corners=False)
    return found.flatten().to(torch.int64).numpy()


def test_every_nearest_voxel_is_that_of_pytorch():
    ties = 0
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        source, wanted = (int(side) for side in rng.integers(1, 600, 2))
        # shares of small numbers, and their roundings, give ties
        scale = float(rng.integers(1, 9) / rng.integers(1, 9)) if seed % 3 else float(rng.uniform(-4, 4))
        shift = float(rng.integers(-8, 8) / 4) if seed % 2 else float(rng.uniform(-9, 9))
        if seed % 5 == 0:
            scale = float(rng.choice(COMMON_MM) / 1.5)
        ours = nearest_along_axis(scale, shift, source, wanted)
        assert np.array_equal(ours, nearest_by_pytorch(scale, shift, source, wanted)), seed
        ties += int((np.abs((np.arange(wanted) * scale + shift) % 1 - 0.5) < 1e-9).sum())
    assert ties > 10_000


def test_every_label_voxel_is_that_of_the_transform():
    for seed in range(150):
        rng = np.random.default_rng(seed)
        shape = tuple(int(side) for side in rng.integers(1, 300, 3))
        affine = np.diag([*(rng.choice(COMMON_MM, 3) if seed % 3 else rng.uniform(0.3, 6, 3)), 1.0])
        affine[:3, 3] = rng.integers(-300, 300, 3) if seed % 2 else rng.uniform(-300, 300, 3)
        ours, ours_affine = nearest_voxels(shape, affine, wanted_mm(seed))
        for axis, mm in enumerate(wanted_mm(seed)):
            line_affine = np.diag([affine[axis, axis], mm, mm, 1.0])
            line_affine[0, 3] = affine[axis, 3]
            line = torch.arange(shape[axis], dtype=torch.float32)[None, :, None, None]
            moved = Spacing(pixdim=(mm, mm, mm), mode="nearest")(MetaTensor(line, affine=torch.tensor(line_affine)))
            assert np.array_equal(ours[axis], moved.numpy().ravel().astype(int)), (seed, axis)
            assert ours_affine[axis, 3] == moved.affine[0, 3], (seed, axis)
