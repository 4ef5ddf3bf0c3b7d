import dataclasses
import os

import nibabel
import numpy as np
import pytest
import torch

from freetumor_runtime.config.realism import (
    ComparedGroup,
    CompareTumorsSpec,
    EncoderSpec,
    MeasuredFile,
    RealismCase,
    RealismOrgan,
    RealismSpec,
    SizeClass,
)
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.models.nnunet import Stage
from freetumor_runtime.models.segmentor import build_segmentor, deepest_features
from freetumor_runtime.realism import comparison
from freetumor_runtime.realism.encoder import patch_of, tumor_features
from freetumor_runtime.realism.measuring import load_scan, measure_case
from freetumor_runtime.realism.zones import Scan, find_tumors

LIVER = (RealismOrgan("liver", 1, 2),)
STAGES = (Stage(4, (3, 3, 3), (1, 1, 1), 1), Stage(8, (3, 3, 3), (2, 2, 2), 1))


def segmentor(kind: str = "small") -> torch.nn.Module:
    torch.manual_seed(0)
    size = 12 if kind == "swinunetr" else 4
    return build_segmentor(kind, outputs=3, feature_size=size, levels=3, patch_merging="corrected", stages=STAGES)


@pytest.fixture
def encoder(tmp_path) -> EncoderSpec:
    path = str(tmp_path / "model.pt")
    facts = {"kind": "small", "featureSize": 4, "levels": 3, "outputs": 3, "tumorOutputs": [2]}
    torch.save(
        {"state_dict": segmentor().state_dict(), "freetumor": {"version": 1, "kind": "segmentor", "segmentor": facts}},
        path,
    )
    return EncoderSpec(path, "0" * 64, None, None, (-175.0, 250.0), (1.5, 1.5, 1.5), (32, 32, 32))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("small", (16, 8, 4, 4)),
        ("swinunetr", (192, 2, 1, 1)),
        ("resenc", (8, 32, 16, 16)),
        ("unet", (8, 32, 16, 16)),
    ],
)
def test_each_segmentor_has_features_of_its_lowest_resolution(kind, shape):
    network = segmentor(kind).eval()
    found = []
    with torch.inference_mode():
        image = torch.rand(1, 1, 64, 32, 32)
        features = deepest_features(network, image)
        modules = dict(network.named_modules())
        name = {"small": "down.2", "swinunetr": "encoder10"}.get(kind, "encoder.stages.1")
        modules[name].register_forward_hook(lambda *call: found.append(call[2]))
        network(image)
    assert features.shape[1:] == shape
    # rounding grows in an instance norm of two voxels, which divides by their difference
    torch.testing.assert_close(features, found[0], rtol=1e-3, atol=1e-3)


def write_case(
    folder, name: str, seed: int, shift_hu: float = 0, voxel_mm: float = 1.5, noise_hu: float = 8
) -> RealismCase:
    draw = np.random.default_rng(seed)
    sides = (round(40 * 1.5 / voxel_mm),) * 3
    grid = (np.indices(sides) - (sides[0] - 1) / 2) * voxel_mm
    tumor = np.sqrt(((grid - draw.uniform(-6, 6, 3)[:, None, None, None]) ** 2).sum(0)) < 8
    label = np.where(tumor, 2, np.where(np.sqrt((grid**2).sum(0)) < 25, 1, 0)).astype(np.uint8)
    hu = np.where(label > 0, 110, -80) + draw.normal(0, noise_hu, sides) + np.where(tumor, -45 + shift_hu, 0)
    paths = [str(folder / f"{name}{part}.nii.gz") for part in ("", "-label")]
    for path, array in zip(paths, (hu.astype(np.int16), label), strict=True):
        nibabel.save(nibabel.Nifti1Image(array, np.diag([voxel_mm] * 3 + [1.0])), path)
    return RealismCase(name, paths[0], paths[1], None, LIVER, None, None)


def spec_of(folder, encoder: EncoderSpec | None) -> RealismSpec:
    os.makedirs(folder / "work", exist_ok=True)
    return RealismSpec("realism", 1, str(folder / "work"), 1.5, encoder, ())


def test_the_patch_is_the_scan_around_the_tumor_in_the_window(tmp_path, encoder):
    scan = load_scan(write_case(tmp_path, "a", 1))
    (tumor,) = find_tumors(scan.label_XYZ, None, [("liver", 1, 2)])
    patch_XYZ, share_XYZ = patch_of(scan, tumor, encoder)
    assert patch_XYZ.shape == share_XYZ.shape == (32, 32, 32)
    assert float(share_XYZ.sum()) == pytest.approx(np.count_nonzero(scan.label_XYZ == 2), rel=0.02)
    middle = np.argwhere(share_XYZ.numpy() > 0.5).mean(0)
    assert middle == pytest.approx([15.5] * 3, abs=0.5)
    inside = (65 + 175) / 425
    assert float(patch_XYZ[share_XYZ > 0.99].mean()) == pytest.approx(inside, abs=0.01)


def test_the_patch_of_a_tumor_at_the_border_has_the_lower_end_of_the_window_outside(encoder):
    image_XYZ = np.full((20, 20, 20), 100.0, np.float32)
    label_XYZ = np.zeros((20, 20, 20), np.uint8)
    label_XYZ[:2, 8:12, 8:12] = 2
    (tumor,) = find_tumors(label_XYZ, None, [("liver", 1, 2)])
    patch_XYZ, share_XYZ = patch_of(Scan(image_XYZ, label_XYZ, None, None, [1.5] * 3), tumor, encoder)
    assert float(patch_XYZ[:14].max()) == 0
    assert float(patch_XYZ[17, 15, 15]) == pytest.approx(275 / 425)
    assert float(share_XYZ.sum()) == pytest.approx(32)


def test_the_patch_has_the_grid_of_the_checkpoint(tmp_path, encoder):
    patches = []
    for voxel_mm in (1.5, 0.75):
        scan = load_scan(write_case(tmp_path, f"case-{voxel_mm}", 1, voxel_mm=voxel_mm, noise_hu=0))
        (tumor,) = find_tumors(scan.label_XYZ, None, [("liver", 1, 2)])
        patches.append(patch_of(scan, tumor, encoder))
    for one, other in zip(*patches, strict=True):
        # only voxels at borders differ
        assert float((one - other).abs().mean()) < 0.02
        assert float(one.sum()) == pytest.approx(float(other.sum()), rel=0.02)


def test_a_tumor_between_the_voxels_of_the_patch_has_features_of_its_middle():
    features = tumor_features(segmentor(), torch.rand(32, 32, 32), torch.zeros(32, 32, 32))
    assert features.shape == (16,) and np.isfinite(features).all()


def test_features_that_are_not_finite_are_refused(tmp_path, encoder):
    content = torch.load(encoder.checkpoint, weights_only=True)
    for value in content["state_dict"].values():
        value.fill_(float("nan"))
    broken = dataclasses.replace(encoder, checkpoint=str(tmp_path / "broken.pt"))
    torch.save(content, broken.checkpoint)
    with pytest.raises(CheckpointError, match=r"broken\.pt: its features are not finite"):
        measure_case(write_case(tmp_path, "a", 1), spec_of(tmp_path, broken))


def test_another_checkpoint_measures_a_case_again(tmp_path, encoder):
    case = write_case(tmp_path, "a", 1)
    assert not measure_case(case, spec_of(tmp_path, encoder))["reused"]
    assert measure_case(case, spec_of(tmp_path, dataclasses.replace(encoder, sha256="0" * 64)))["reused"]
    assert not measure_case(case, spec_of(tmp_path, dataclasses.replace(encoder, sha256="1" * 64)))["reused"]
    assert not measure_case(case, spec_of(tmp_path, None))["reused"]


def test_the_classifier_on_the_encoder_detects_shifted_tumors_and_no_equal_ones(tmp_path, encoder):
    found = []
    for shift_hu in (0, 150):
        files = []
        for at in range(24):
            made = at % 2 == 0
            case = write_case(tmp_path, f"case-{at}-{shift_hu}", at, shift_hu if made else 0)
            file = measure_case(case, spec_of(tmp_path, encoder))["file"]
            files.append(MeasuredFile(case.id, case.id, None, made, file))
        sizes = (SizeClass("all", 0, None),)
        spec = CompareTumorsSpec("compare-tumors", 1, 0, 39, 40, 10, 6, True, sizes, tuple(files), ())
        result = comparison.compare_group(ComparedGroup("all/all", "group", "all", "all"), spec)
        found.append(result["measures"][-1])
    equal, shifted = found
    assert equal["name"] == shifted["name"] == "encoderAuc"
    assert equal["p"] > 0.05 >= shifted["p"]
    assert shifted["value"] > equal["value"]
    low, high = shifted["ci"]
    assert low <= shifted["value"] <= high
