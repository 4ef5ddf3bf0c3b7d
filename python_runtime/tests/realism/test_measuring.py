import dataclasses
import json
import os

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from freetumor_runtime.config.realism import (
    ComparedGroup,
    CompareTumorsSpec,
    MeasuredFile,
    RealismCase,
    RealismOrgan,
    RealismSpec,
    SizeClass,
)
from freetumor_runtime.errors import DataError
from freetumor_runtime.realism import comparison, features, measuring
from freetumor_runtime.realism.measuring import measure_case

LIVER = (RealismOrgan("liver", 1, 2),)
SIZES = (SizeClass("small", 0, 20), SizeClass("large", 20, None))
AFFINE = np.diag([1.5, 1.5, 1.5, 1.0])


def write(path, array: np.ndarray, affine=AFFINE) -> str:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


def write_case(folder, name: str, seed: int, shift_hu: float = 0, affine=AFFINE) -> RealismCase:
    draw = np.random.default_rng(seed)
    grid = np.indices((32, 32, 32)) - 15.5
    radius = 5 + draw.uniform(0, 2)
    centre = draw.uniform(-4, 4, 3)[:, None, None, None]
    tumor = np.sqrt(((grid - centre) ** 2).sum(0)) < radius
    label = np.where(tumor, 2, np.where(np.sqrt((grid**2).sum(0)) < 15, 1, 0)).astype(np.uint8)
    texture = ndimage.gaussian_filter(draw.normal(size=(32,) * 3), 1.2) * 40
    hu = np.where(label > 0, 110, -80) + draw.normal(0, 8, (32,) * 3) + np.where(tumor, -45 + texture + shift_hu, 0)
    image = write(folder / f"{name}.nii.gz", hu.astype(np.int16), affine)
    return RealismCase(name, image, write(folder / f"{name}-label.nii.gz", label, affine), None, LIVER, None, None)


def spec_of(folder) -> RealismSpec:
    os.makedirs(folder / "work", exist_ok=True)
    return RealismSpec("realism", 1, str(folder / "work"), 1.5, None, ())


def stored(result) -> dict[str, float]:
    with np.load(result["file"]) as content:
        return dict(zip(features.FEATURES, content["features"][0].tolist(), strict=True))


def test_the_figures_of_a_tumor_are_those_of_its_voxels(tmp_path):
    case = write_case(tmp_path, "a", 1)
    result = measure_case(case, spec_of(tmp_path))
    hu = np.asarray(nibabel.load(case.image).dataobj)
    tumor = np.asarray(nibabel.load(case.label).dataobj) == 2
    found = stored(result)
    assert found["tumor.mean"] == pytest.approx(hu[tumor].mean(), rel=1e-6)
    assert found["tumor.sd"] == pytest.approx(hu[tumor].std(), rel=1e-6)
    (one,) = result["tumors"]
    assert one["volumeMl"] == pytest.approx(tumor.sum() * 1.5**3 / 1000)
    assert -60 < found["edge.contrast"] < -30
    assert found["edge.sharpness"] > 5
    assert 0 <= found["position.depth"] <= 1


def test_the_orientation_of_a_scan_does_not_matter(tmp_path):
    case = write_case(tmp_path, "a", 1)
    turned = tmp_path / "turned"
    turned.mkdir()
    paths = {}
    for kind in ("image", "label"):
        image = nibabel.load(getattr(case, kind)).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
        nibabel.save(image, turned / os.path.basename(getattr(case, kind)))
        paths[kind] = str(turned / os.path.basename(getattr(case, kind)))
    other = dataclasses.replace(case, id="b", **paths)
    one, two = (stored(measure_case(item, spec_of(tmp_path))) for item in (case, other))
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_numbers_separate_synthetic_tumors_from_those_of_the_host(tmp_path):
    case = write_case(tmp_path, "a", 1)
    label = np.asarray(nibabel.load(case.label).dataobj).copy()
    numbers = np.where(label == 2, 3, 0).astype(np.uint8)
    label[15:18, 15:18, 1:4] = 2
    both = dataclasses.replace(
        case, label=write(tmp_path / "both.nii.gz", label), numbers=write(tmp_path / "numbers.nii.gz", numbers)
    )
    assert [one["tumor"] for one in measure_case(both, spec_of(tmp_path))["tumors"]] == [3]
    without = dataclasses.replace(both, id="b", numbers=None)
    assert len(measure_case(without, spec_of(tmp_path))["tumors"]) == 2


def test_a_measured_case_is_reused_until_its_files_change(tmp_path):
    case = write_case(tmp_path, "a", 1)
    spec = spec_of(tmp_path)
    assert not measure_case(case, spec)["reused"]
    again = measure_case(case, spec)
    assert again["reused"] and len(again["tumors"]) == 1
    os.utime(case.image, ns=(1, 1))
    assert not measure_case(case, spec)["reused"]
    with open(again["file"], "r+b") as file:
        file.truncate(100)
    assert not measure_case(case, spec)["reused"]


def test_a_label_of_another_grid_is_refused(tmp_path):
    case = write_case(tmp_path, "a", 1)
    other = write_case(tmp_path, "b", 2, affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(DataError, match="its grid is not that of"):
        measure_case(dataclasses.replace(case, label=other.label), spec_of(tmp_path))


def test_voxels_without_a_number_are_refused(tmp_path):
    case = write_case(tmp_path, "a", 1)
    hu = np.asarray(nibabel.load(case.image).dataobj).astype(np.float32)
    hu[0, 0, 0] = np.nan
    broken = dataclasses.replace(case, image=write(tmp_path / "nan.nii.gz", hu))
    with pytest.raises(DataError, match="without a number"):
        measure_case(broken, spec_of(tmp_path))


def compared(tmp_path, shift_hu: float) -> dict:
    spec = spec_of(tmp_path)
    files = []
    for at in range(24):
        made = at % 2 == 0
        case = write_case(tmp_path, f"case-{at}-{shift_hu}", at, shift_hu if made else 0)
        files.append(MeasuredFile(case.id, case.id, None, made, measure_case(case, spec)["file"]))
    settings = CompareTumorsSpec("compare-tumors", 1, 0, 39, 40, 10, 6, False, SIZES, tuple(files), ())
    result = comparison.compare_group(ComparedGroup("all/all", "group", "all", "all"), settings)
    again = comparison.compare_group(ComparedGroup("all/all", "group", "all", "all"), settings)
    assert json.dumps(result) == json.dumps(again)
    few = comparison.compare_group(ComparedGroup("liver/large", "group", "pancreas", "all"), settings)
    assert few["measures"] is None and few["n"]["real"] == 0
    return {one["name"]: one for one in result["measures"]}


def test_shifted_tumors_differ_significantly_and_equal_sides_do_not(tmp_path):
    equal, shifted = compared(tmp_path, 0), compared(tmp_path, 40)
    for name in ("frechetTumor", "histogramTumor", "classifierAuc"):
        assert equal[name]["p"] > 0.05, name
        assert shifted[name]["p"] <= 0.05, name
        assert shifted[name]["value"] > equal[name]["value"], name
    assert shifted["histogramTumor"]["value"] == pytest.approx(40, abs=10)
    assert equal["histogramSurroundings"]["value"] == pytest.approx(shifted["histogramSurroundings"]["value"], abs=1)
    low, high = shifted["classifierAuc"]["ci"]
    assert 0.5 < low <= shifted["classifierAuc"]["value"] <= high <= 1


def test_sets_of_the_frechet_distance_have_at_most_15_known_features():
    for names in (features.TUMOR_SET, features.RIM_SET):
        assert len(set(names)) == len(names) <= 15
        assert set(names) <= set(features.FEATURES)
    assert measuring.MARGIN_MM > 10
