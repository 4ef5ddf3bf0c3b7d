"""Measures of a painted tumor on boxes whose answer is known."""

import numpy as np
import pytest

from freetumor_runtime.synthesis.measures import TumorView, measure, real_sharpness_hu_per_mm, real_tumor_places_mm
from freetumor_runtime.synthesis.render import ORGAN, REAL_TUMOR, SYNTHETIC

ALL = (
    "contrastHu",
    "volumeMl",
    "insideOrgan",
    "distanceToRealMm",
    "edgeSharpnessHuPerMm",
    "componentShare",
)


def view(
    roles_XYZ,
    image_XYZ,
    *,
    shape_voxels=64,
    real_mm=(),
    spacing=(1.5, 1.5, 2.0),
    origin=(0.0, 0.0, 0.0),
    real_sharpness=None,
):
    return TumorView(
        image_XYZ=image_XYZ.astype(np.float32),
        roles_XYZ=roles_XYZ,
        spacing_mm=(1.5, 1.5, 2.0),
        window_width_hu=425.0,
        shape_voxels=shape_voxels,
        real_tumor_mm=np.array(real_mm, float).reshape(-1, 3),
        origin_mm=origin,
        real_sharpness_hu_per_mm=real_sharpness,
    )


@pytest.fixture
def cube():
    """A cube of 4^3 synthetic voxels, 0.1 darker than the organ around it."""
    roles = np.full((20, 20, 20), ORGAN, np.uint8)
    roles[8:12, 8:12, 8:12] = SYNTHETIC
    image = np.full(roles.shape, 0.6)
    image[8:12, 8:12, 8:12] = 0.5
    return roles, image


def test_a_cube_in_even_organ(cube):
    found = measure(view(*cube, shape_voxels=128), ALL)
    assert found["contrastHu"] == pytest.approx(-42.5, abs=1e-4)
    assert found["volumeMl"] == pytest.approx(64 * 4.5 / 1000)
    assert found["insideOrgan"] == 0.5
    assert found["componentShare"] == 1
    assert "distanceToRealMm" not in found


def test_the_edge_is_as_sharp_as_the_gradient_on_its_rim(cube):
    roles, image = cube
    ramp = np.broadcast_to(np.arange(20)[:, None, None] * 0.01, image.shape)
    found = measure(view(roles, ramp), ("edgeSharpnessHuPerMm",))
    assert found["edgeSharpnessHuPerMm"] == pytest.approx(0.01 * 425 / 1.5, rel=1e-5)


def test_an_edge_is_held_against_those_of_the_real_tumors_of_the_case(cube):
    roles, image = cube
    real = np.where(roles == SYNTHETIC, REAL_TUMOR, roles)
    sharp = real_sharpness_hu_per_mm(image.astype(np.float32), real, (1.5, 1.5, 2.0), 425.0)
    softer = 0.6 + (image - 0.6) / 2
    found = measure(view(roles, softer, real_sharpness=sharp), ("edgeSharpnessToReal",))
    assert found["edgeSharpnessToReal"] == pytest.approx(0.5, rel=1e-5)
    assert measure(view(roles, softer), ("edgeSharpnessToReal",)) == {}
    assert real_sharpness_hu_per_mm(image, np.where(real == REAL_TUMOR, ORGAN, real), (1, 1, 1), 425.0) is None


def test_the_nearest_real_tumor_is_measured_in_millimetres_of_the_case(cube):
    # the box starts at (30, 0, 0) mm: the cube's first voxel lies at (42, 12, 16) mm
    found = measure(view(*cube, real_mm=[[39, 12, 16], [0, 0, 0]], origin=(30.0, 0.0, 0.0)), ("distanceToRealMm",))
    assert found["distanceToRealMm"] == pytest.approx(3.0)


def test_components_are_joined_by_faces_only(cube):
    roles, image = cube
    roles[12, 12, 12] = SYNTHETIC
    assert measure(view(roles, image), ("componentShare",))["componentShare"] == pytest.approx(64 / 65)


def test_without_organ_around_there_is_no_contrast(cube):
    roles, image = cube
    roles[roles == ORGAN] = 0
    assert measure(view(roles, image), ("contrastHu", "edgeSharpnessHuPerMm")) == {}


def test_an_empty_tumor_has_no_measures(cube):
    roles, image = cube
    roles[:] = ORGAN
    assert measure(view(roles, image), ALL) == {}


def test_real_tumors_are_known_by_their_surface():
    roles = np.zeros((9, 9, 9), np.uint8)
    roles[2:7, 2:7, 2:7] = REAL_TUMOR
    places = real_tumor_places_mm(roles, (1, 1, 2))
    assert len(places) == 5**3 - 3**3
    assert places.max(axis=0).tolist() == [6, 6, 12]
