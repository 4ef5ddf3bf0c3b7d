"""Linear interpolation on the scan's grid, against SciPy."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from freetumor_runtime.data.nifti import save_nifti
from freetumor_runtime.data.original_grid import linear_on_scan, needed_on_prepared
from freetumor_runtime.data.volumes import load_prepared_image
from freetumor_runtime.data.way_back import nearest_on_scan
from freetumor_runtime.inference.open_scan import route_to_scan

SHAPE = (23, 31, 12)


def turned(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def affine_of(directions: np.ndarray, spacing=(0.8, 1.1, 2.6), origin=(-20, 30, 7)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


SHEAR = np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1.0]])
AFFINES = {
    "RAS": affine_of(np.eye(3)),
    "LPS": affine_of(np.diag([-1.0, -1, 1])),
    "slices along the first axis": affine_of(np.eye(3)[[2, 0, 1]]),
    "turned by 12 degrees": affine_of(turned(12)),
    "sheared": affine_of(SHEAR),
}


@pytest.fixture(params=AFFINES.values(), ids=AFFINES.keys())
def scan(request, tmp_path):
    """A scan with air around a body, prepared and cropped; and the way back."""
    rng = np.random.default_rng(0)
    hu = np.full(SHAPE, -1000, np.int16)
    hu[4:-4, 5:-6, 2:-1] = rng.integers(-100, 200, (15, 20, 9))
    save_nifti(str(tmp_path / "scan.nii"), hu, request.param, np.int16)
    prepared = load_prepared_image(str(tmp_path / "scan.nii"), (1.5, 1.5, 1.5), -175)
    return prepared, route_to_scan(prepared.grids)


def places(route) -> np.ndarray:
    voxels = np.indices(route.shape).reshape(3, -1)
    return route.to_prepared[:3, :3] @ voxels + route.to_prepared[:3, 3:]


def off_grid(route) -> np.ndarray:
    at = places(route)
    outside = (at < -0.5 - 1e-6) | (at > np.array(route.prepared_shape)[:, None] - 0.5 + 1e-6)
    return outside.any(axis=0).reshape(route.shape)


def in_parts(values: np.ndarray):
    """Planes as sliding windows complete them: some, one, the rest."""
    bounds = [0, 5, 6, values.shape[1]]
    for first, stop in itertools.pairwise(bounds):
        yield first, torch.from_numpy(values[:, first:stop])


def test_parts_of_any_size_give_the_same_bits(scan):
    prepared, route = scan
    values = np.random.default_rng(1).normal(size=(2, *prepared.image_hu.shape)).astype(np.float32)
    found = []
    for planes in (in_parts(values), [(0, torch.from_numpy(values))]):
        ours = np.full((2, *SHAPE), np.nan, np.float32)
        for place, values_CIJK, _ in linear_on_scan(planes, route):
            ours[(slice(None), *place)] = values_CIJK.numpy()
        found.append(ours)
    assert np.array_equal(*found) and not np.isnan(found[0]).any()


def test_only_a_sheared_grid_goes_voxel_by_voxel(scan, request):
    assert scan[1].parallel == (request.node.callspec.id != "sheared")


def test_linear_is_that_of_scipy_on_every_plane(scan):
    prepared, route = scan
    values = np.random.default_rng(1).normal(size=(3, *prepared.image_hu.shape)).astype(np.float32)
    ours, outside = np.full((3, *SHAPE), np.nan, np.float32), np.zeros(SHAPE, bool)
    for place, values_CIJK, off in linear_on_scan(in_parts(values), route):
        assert not outside[place].any() and np.isnan(ours[(slice(None), *place)]).all()
        ours[(slice(None), *place)], outside[place] = values_CIJK.numpy(), off
    for channel in range(3):
        expected = map_coordinates(values[channel], places(route), np.float64, order=1, mode="nearest")
        np.testing.assert_allclose(ours[channel].ravel(), expected, rtol=0, atol=2e-5)
    assert np.array_equal(outside, off_grid(route))


def test_what_a_wanted_voxel_needs_decides_it_alone(scan):
    prepared, route = scan
    wanted = np.zeros(SHAPE, bool)
    wanted[8:12, 10:15, 4:6] = True
    needed = needed_on_prepared(wanted, route)
    if not route.parallel:
        assert needed is None
        return
    values = np.random.default_rng(1).normal(size=(2, *prepared.image_hu.shape)).astype(np.float32)
    other = np.where(needed, values, 99)
    for one, two in zip(*(linear_on_scan(in_parts(v), route) for v in (values, other)), strict=True):
        inside = wanted[one[0]]
        assert torch.equal(one[1][:, inside], two[1][:, inside])
    mask, changed = (np.where(needed, values[0] > 0, fill).astype(np.uint8) for fill in (1, 2))
    both = [nearest_on_scan(one, prepared.grids, (16, 16, 16))[wanted] for one in (mask, changed)]
    assert np.array_equal(*both)
    assert needed.mean() < 0.2
