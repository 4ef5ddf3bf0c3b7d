"""Whole scans through a segmentor, against a plain MONAI script, and every way a mask may be written."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import (
    Compose,
    CropForeground,
    CropForegroundd,
    Invertd,
    Orientation,
    Orientationd,
    ScaleIntensityRanged,
    Spacing,
    Spacingd,
    SpatialPadd,
    SpatialResample,
)

from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.config.cases import (
    GlanceSpec,
    OperatingPointSpec,
    PredictCase,
    PredictMember,
    PredictSpec,
    RuleTermSpec,
)
from freetumor_runtime.config.common import SlidingWindowsSpec
from freetumor_runtime.data.nifti import load_nifti, read_header, save_nifti
from freetumor_runtime.data.prepared_case import resample_and_crop
from freetumor_runtime.evaluation.lesion_rule import FoundLesions, rule_value
from freetumor_runtime.evaluation.mask_pair import load_pair
from freetumor_runtime.jobs.predict import predict, predict_case
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.training.ranks import Ranks

CPU = torch.device("cpu")
RANKS = Ranks(0, 1, CPU, None)
AFFINE = np.array([[-1.3, 0, 0, 40], [0, -0.9, 0, 30], [0, 0, 4, -20], [0, 0, 0, 1.0]])
SPACING = (1.5, 1.5, 1.5)


class Listed:
    """Hands out cases in order and keeps what becomes of them."""

    def __init__(self, spec: PredictSpec) -> None:
        self.waiting, self.results = [case.id for case in spec.cases], {}
        self.reported: list[tuple[str, int, int]] = []

    def next(self):
        return self.waiting.pop(0) if self.waiting else None

    def progress(self, case_id, done, total):
        self.reported.append((case_id, done, total))

    def done(self, case_id, result):
        self.results[case_id] = result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    rng = np.random.default_rng(0)
    hu = np.full((44, 60, 30), -1000, np.int16)
    hu[8:36, 9:50, 4:26] = rng.integers(-150, 240, (28, 41, 22))
    save_nifti(str(folder / "scan.nii.gz"), hu, AFFINE, np.int16)
    organ = np.zeros(hu.shape, np.uint8)
    organ[10:18, 12:24, 6:12] = 5
    organ[30:34, 40:48, 20:24] = 7
    save_nifti(str(folder / "organ.nii.gz"), organ, AFFINE, np.uint8)
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = build_segmentor("small", outputs=3, feature_size=4, levels=2, patch_merging="corrected")
        # outputs of one size each, so that every one of them wins somewhere
        with torch.no_grad():
            network.head.weight.mul_(4)
        segmentor = {"kind": "small", "featureSize": 4, "levels": 2, "outputs": 3, "tumorOutputs": [2]}
        stated = {"version": 1, "kind": "segmentor", "segmentor": {**segmentor, "patchMerging": None}}
        torch.save({"state_dict": network.state_dict(), "freetumor": stated}, folder / f"{seed}.pt")
    return folder


def spec_of(folder, tmp_path, **changes) -> PredictSpec:
    (tmp_path / "probabilities").mkdir(exist_ok=True)
    spec = PredictSpec(
        job="predict",
        directory=str(tmp_path),
        members=(PredictMember(str(folder / "0.pt"), None, None),),
        plugin=None,
        device="cpu",
        processesPerNode=1,
        threadsPerProcess=1,
        precision="fp32",
        windowHu=(-175.0, 250.0),
        spacingMm=SPACING,
        patchVoxels=(16, 16, 16),
        windows=SlidingWindowsSpec(0.5, "constant", 4),
        windowChoice="all",
        mirrorAxes=(),
        cropForeground=True,
        padding="lowerEnd",
        minForeground=0.0,
        grid="original",
        resampling="nearest",
        method="freetumor",
        dataType="uint8",
        tumorOutputs=(2,),
        organIds=(),
        maskIds=(0, 1, 2),
        probabilities=(),
        cases=(PredictCase("scan", str(folder / "scan.nii.gz"), None, None, "scan"),),
    )
    return replace(spec, **changes)


def with_organ(folder):
    return (PredictCase("scan", str(folder / "scan.nii.gz"), str(folder / "organ.nii.gz"), None, "scan"),)


def run(spec: PredictSpec):
    """(result, mask, affine) of the only case."""
    listed = Listed(spec)
    events = list(predict(spec, RANKS, listed))
    assert [event.outcome for event in events] == ["completed"]
    (result,) = listed.results.values()
    assert "error" not in result, result
    return result, *load_nifti(f"{spec.directory}/scan.nii.gz")


def by_monai(folder, *, crop=True, blend="constant"):
    """Logits [C, X, Y, Z] of a plain MONAI script, with their grid."""
    data, affine = load_nifti(str(folder / "scan.nii.gz"))
    image = Orientation("RAS", labels=None)(MetaTensor(torch.from_numpy(data.astype(np.float32))[None], affine=affine))
    image = Spacing(SPACING, mode="bilinear")(image)
    if crop:
        image = CropForeground(select_fn=lambda values: values > -175)(image)
    image_XYZ = ((image.as_tensor()[0] + 175) / 425).clamp(0, 1)
    network = load_segmentor(str(folder / "0.pt"), None, CPU).network
    with torch.no_grad():
        logits = sliding_window_inference(image_XYZ[None, None], (16, 16, 16), 4, network, 0.5, mode=blend)[0]
    return logits, image.affine


def on_scan(values, affine, shape):
    resample = SpatialResample(mode="bilinear", padding_mode="border")
    return resample(MetaTensor(values, affine=affine), dst_affine=torch.tensor(AFFINE), spatial_size=shape).as_tensor()


def published_mask(folder) -> np.ndarray:
    """The published prediction script: dictionary transforms, windows, argmax, `Invertd` with nearest neighbours."""
    transforms = Compose(
        [
            Orientationd(keys="image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd(keys="image", pixdim=SPACING, mode="bilinear"),
            ScaleIntensityRanged(keys="image", a_min=-175, a_max=250, b_min=0, b_max=1, clip=True),
            CropForegroundd(keys="image", source_key="image", allow_smaller=True),
            SpatialPadd(keys="image", spatial_size=(16, 16, 16)),
        ]
    )
    data, affine = load_nifti(str(folder / "scan.nii.gz"))
    prepared = transforms({"image": MetaTensor(torch.from_numpy(data.astype(np.float32))[None], affine=affine)})
    network = load_segmentor(str(folder / "0.pt"), None, CPU).network
    image = prepared["image"]
    with torch.no_grad():
        logits = sliding_window_inference(image.as_tensor()[None], (16, 16, 16), 4, network, 0.5)
    pred = MetaTensor(logits.argmax(1).float(), meta=image.meta)
    invert = Invertd(keys="pred", transform=transforms, orig_keys="image", nearest_interp=True, to_tensor=True)
    return invert({**prepared, "pred": pred})["pred"][0].numpy()


def test_the_mask_is_that_of_the_published_script_on_the_scans_grid(folder, tmp_path):
    result, mask, affine = run(spec_of(folder, tmp_path))
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
    assert np.array_equal(mask, published_mask(folder)) and mask.dtype == np.uint8
    assert result["labelVoxels"] == np.bincount(mask.ravel()).tolist() and min(result["labelVoxels"]) > 500


def test_the_prepared_grid_has_argmax_of_monais_logits(folder, tmp_path):
    _, mask, affine = run(spec_of(folder, tmp_path, grid="prepared"))
    logits, prepared_affine = by_monai(folder)
    assert np.array_equal(mask, logits.argmax(0).numpy())
    np.testing.assert_allclose(affine, prepared_affine, atol=1e-5)


def test_difftumor_brings_logits_back_linearly_then_takes_the_largest(folder, tmp_path):
    changes = {"resampling": "linear", "cropForeground": False, "padding": "minimum"}
    _, mask, _ = run(spec_of(folder, tmp_path, windows=SlidingWindowsSpec(0.5, "gaussian", 1), **changes))
    logits, prepared_affine = by_monai(folder, crop=False, blend="gaussian")
    expected = on_scan(logits, prepared_affine, mask.shape)
    margin = expected.topk(2, dim=0).values
    clear = ((margin[0] - margin[1]) > 1e-3).numpy()
    assert clear.mean() > 0.99
    assert np.array_equal(mask[clear], expected.argmax(0).numpy()[clear])


def test_tumors_outside_the_organ_become_background_and_the_rest_stays(folder, tmp_path):
    _, free, _ = run(spec_of(folder, tmp_path))
    _, mask, _ = run(spec_of(folder, tmp_path, cases=with_organ(folder), organIds=(5,)))
    organ = load_nifti(str(folder / "organ.nii.gz"))[0] == 5
    assert np.array_equal(mask, np.where((free == 2) & ~organ, 0, free))
    assert (mask == 2).any() and ((free == 2) & ~organ).any()


@pytest.mark.parametrize("resampling", ["nearest", "linear"])
@pytest.mark.parametrize("grid", ["original", "prepared"])
def test_windows_off_the_organ_are_left_out_where_only_its_tumors_count(folder, tmp_path, grid, resampling):
    only_tumors = {"maskIds": (0, 0, 1), "cases": with_organ(folder), "organIds": (5,)}
    changes = {"grid": grid, "resampling": resampling}
    result, mask, _ = run(spec_of(folder, tmp_path, **only_tumors, **changes))
    # with the organ's own id in the mask every window counts
    all_ids = {**only_tumors, "maskIds": (0, 1, 2)}
    every, full, _ = run(spec_of(folder, tmp_path, **all_ids, **changes))
    assert np.array_equal(mask, full == 2) and mask.any()
    assert every["windows"]["leftOut"] == 0
    assert result["windows"]["computed"] < every["windows"]["computed"] / 2


def test_probabilities_add_up_to_one_and_agree_with_the_mask(folder, tmp_path):
    result, mask, _ = run(spec_of(folder, tmp_path, resampling="linear", probabilities=(0, 1, 2)))
    names = [f"probabilities/scan_{output}.nii.gz" for output in range(3)]
    assert list(result["files"]) == ["scan.nii.gz", *names]
    written = np.stack([load_nifti(str(tmp_path / name))[0] for name in names])
    assert written.dtype == np.float32
    np.testing.assert_allclose(written.sum(0), 1, atol=1e-5)
    # outside the crop all is background
    assert (written[0, 0] == 1).all() and (mask[0] == 0).all()
    # means of probabilities and of logits choose alike but near a tie
    assert (written.argmax(0) == mask).mean() > 0.98


def test_an_ensemble_takes_the_largest_mean_probability(folder, tmp_path):
    members = tuple(PredictMember(str(folder / f"{seed}.pt"), None, None) for seed in (0, 1))
    _, mask, _ = run(spec_of(folder, tmp_path, members=members, grid="prepared", probabilities=(0, 1, 2)))
    both = []
    for member in members:
        spec = spec_of(folder, tmp_path, members=(member,), grid="prepared", probabilities=(0, 1, 2))
        run(spec)
        both.append(np.stack([load_nifti(f"{tmp_path}/probabilities/scan_{output}.nii.gz")[0] for output in range(3)]))
    mean = (both[0] + both[1]) / 2
    clear = np.sort(mean, axis=0)[2] - np.sort(mean, axis=0)[1] > 1e-5
    assert np.array_equal(mask[clear], mean.argmax(0)[clear]) and clear.mean() > 0.99


def test_the_label_comes_along_to_the_prepared_grid_as_preparation_brings_it(folder, tmp_path):
    (tmp_path / "labels").mkdir()
    case = PredictCase("scan", str(folder / "scan.nii.gz"), None, str(folder / "organ.nii.gz"), "scan")
    result, mask, affine = run(spec_of(folder, tmp_path, grid="prepared", cases=(case,)))
    assert list(result["files"]) == ["scan.nii.gz", "labels/scan.nii.gz"]
    label, label_affine = load_nifti(str(tmp_path / "labels/scan.nii.gz"))
    scan, scan_affine = load_nifti(str(folder / "scan.nii.gz"))
    organ = load_nifti(str(folder / "organ.nii.gz"))[0]
    _, expected, expected_affine, _ = resample_and_crop(scan, organ, scan_affine, SPACING, -175)
    assert label.shape == mask.shape and np.array_equal(label_affine, affine)
    np.testing.assert_allclose(label_affine, expected_affine, atol=1e-5)
    assert np.array_equal(label, expected) and set(np.unique(label)) == {0, 5, 7}


def test_ids_are_mapped_and_the_scans_data_type_is_kept_on_request(folder, tmp_path):
    _, plain, _ = run(spec_of(folder, tmp_path))
    result, mask, _ = run(spec_of(folder, tmp_path, maskIds=(0, 0, 9), dataType="scan"))
    assert read_header(str(tmp_path / "scan.nii.gz")).dtype == np.int16
    assert np.array_equal(mask, np.where(plain == 2, 9, 0))
    assert result["labelVoxels"][9] == (plain == 2).sum() and len(result["labelVoxels"]) == 10


def test_a_bad_case_costs_itself_only(folder, tmp_path):
    nan = np.full((8, 8, 8), np.nan, np.float32)
    save_nifti(str(tmp_path / "nan.nii"), nan, AFFINE, np.float32)
    save_nifti(str(tmp_path / "air.nii"), np.full((8, 8, 8), -1000, np.int16), AFFINE, np.int16)
    (tmp_path / "torn.nii.gz").write_bytes((folder / "scan.nii.gz").read_bytes()[:500])
    other = np.ones((4, 4, 4), np.uint8)
    save_nifti(str(tmp_path / "other.nii"), other, AFFINE, np.uint8)
    named = [(name, str(tmp_path / name), None) for name in ("nan.nii", "air.nii", "torn.nii.gz", "missing.nii")]
    scan, affine = load_nifti(str(folder / "scan.nii.gz"))
    save_nifti(str(tmp_path / "empty.nii"), np.zeros(scan.shape, np.uint8), affine, np.uint8)
    named.append(("empty", str(folder / "scan.nii.gz"), str(tmp_path / "empty.nii")))
    named.append(("mismatched", str(folder / "scan.nii.gz"), str(tmp_path / "other.nii")))
    named.append(("scan", str(folder / "scan.nii.gz"), None))
    cases = tuple(PredictCase(case_id, image, mask, None, "scan") for case_id, image, mask in named)
    spec = spec_of(folder, tmp_path, cases=cases, organIds=())
    listed = Listed(spec)
    list(predict(spec, RANKS, listed))
    errors = {case_id: result.get("error", {}).get("message") for case_id, result in listed.results.items()}
    assert "NaN" in errors["nan.nii"] and "no voxel is above" in errors["air.nii"]
    assert "torn.nii.gz" in errors["torn.nii.gz"] and "missing.nii: file not found" in errors["missing.nii"]
    assert "its grid is not that of its scan" in errors["mismatched"]
    assert "empty.nii: empty organ mask" in errors["empty"]
    assert errors["scan"] is None
    assert all(result["error"]["kind"] == "data" for case_id, result in listed.results.items() if errors[case_id])


def test_outputs_that_are_not_finite_are_no_mask(folder, tmp_path):
    spec = spec_of(folder, tmp_path)
    weights = torch.load(folder / "0.pt", weights_only=True)
    weights["state_dict"]["head.bias"][1] = float("nan")
    torch.save(weights, tmp_path / "broken.pt")
    listed = Listed(spec)
    list(predict(replace(spec, members=(PredictMember(str(tmp_path / "broken.pt"), None, None),)), RANKS, listed))
    assert "not finite in fp32" in listed.results["scan"]["error"]["message"]
    assert not (tmp_path / "scan.nii.gz").exists()


@pytest.mark.parametrize(("members", "resampling"), [(1, "nearest"), (2, "linear")])
def test_coarse_windows_give_the_same_mask_where_everything_may_be_found(folder, tmp_path, members, resampling):
    found = {}
    for choice in ("all", "coarse"):
        out = tmp_path / choice
        out.mkdir()
        named = tuple(PredictMember(str(folder / f"{seed}.pt"), None, None) for seed in range(members))
        spec = spec_of(folder, out, members=named, windowChoice=choice, resampling=resampling, probabilities=(1,))
        source = Listed(spec)
        list(predict(spec, RANKS, source))
        result = source.results["scan"]
        assert result["windows"]["computed"] > 0, result
        found[choice] = (result["files"], result["windows"])
    # outputs of the first pass are used again, so no window is computed twice
    assert found["coarse"] == found["all"]


def finds_bright_organ(windows_B1XYZ):
    """Output 1, the organ, in the brightest voxels."""
    bright = (windows_B1XYZ > 0.99).float() * 20 - 10
    return torch.cat([torch.zeros_like(bright), bright, torch.full_like(bright, -30)], 1)


def test_a_network_of_a_coarser_grid_chooses_windows_near_an_organ_that_the_mask_does_not_keep(folder, tmp_path):
    hu, affine = load_nifti(str(folder / "scan.nii.gz"))
    hu[10:34, 11:47, 5:12] = 250
    save_nifti(str(tmp_path / "bright.nii.gz"), hu, affine, np.int16)
    case = PredictCase("scan", str(tmp_path / "bright.nii.gz"), None, None, "scan")
    member = load_segmentor(str(folder / "0.pt"), None, CPU).network
    grid = GlanceSpec(PredictMember("", None, None), (-175.0, 250.0), (3.0, 3.0, 3.0), (8, 8, 8))
    found = {}
    for choice in ("all", "organs", "coarse"):
        spec = spec_of(folder, tmp_path, maskIds=(0, 0, 2), windowChoice=choice, glance=grid, cases=(case,))
        result = predict_case(spec, [member], CPU, case, glancer=finds_bright_organ)
        mask, _ = load_nifti(str(tmp_path / "scan.nii.gz"))
        found[choice] = (mask, result["windows"])
    mask, windows = found["organs"]
    exact, every = found["all"]
    assert every["leftOut"] == 0 < windows["leftOut"] < windows["all"] == every["all"]
    # the voxels of the organ have all their windows
    organ = (slice(10, 34), slice(11, 47), slice(5, 12))
    assert mask[organ].any() and np.array_equal(mask[organ], exact[organ])
    assert exact[:, :, 20:].any() and not mask[:, :, 20:].any()
    assert not found["coarse"][0].any() and found["coarse"][1]["leftOut"] == every["all"]


def test_coarse_windows_that_find_nothing_leave_all_others_out(folder, tmp_path):
    spec = spec_of(folder, tmp_path, windowChoice="coarse", maskIds=(0, 0, 0))
    source = Listed(spec)
    list(predict(spec, RANKS, source))
    windows = source.results["scan"]["windows"]
    assert windows["leftOut"] == windows["all"] > windows["computed"] > 0
    assert source.results["scan"]["labelVoxels"] == [44 * 60 * 30]


@pytest.mark.parametrize(
    "changes",
    [{}, {"grid": "prepared"}, {"resampling": "linear"}, {"maskIds": (0, 0, 2)}, {"members": 2}],
    ids=lambda changes: " ".join(f"{key} {value}" for key, value in changes.items()) or "default",
)
def test_an_operating_point_removes_the_lesions_that_the_evaluation_removes(folder, tmp_path, changes):
    # the two pieces of the organ separate the tumors, which are one in the noise of the scan
    changes = {**changes, "cases": with_organ(folder)}
    if "members" in changes:
        changes["members"] = tuple(PredictMember(str(folder / f"{seed}.pt"), None, None) for seed in (0, 1))
    terms = (RuleTermSpec("probability", None, 1.0), RuleTermSpec("meanProbabilityLogit", None, 0.1))
    plain, before, _ = run(spec_of(folder, tmp_path, probabilities=(2,), **changes))
    mask_path = tmp_path / "before.nii.gz"
    (tmp_path / "scan.nii.gz").rename(mask_path)
    found = FoundLesions(before, (2,))
    found.add_all_scores(load_nifti(str(tmp_path / "probabilities/scan_2.nii.gz"))[0])
    point = OperatingPointSpec((2,), terms, 0.0, 0.0)
    values = sorted(rule_value(point, lesion) for lesion in found.features(before, AFFINE))
    assert len(values) > 1
    middle = len(values) // 2
    point = replace(point, threshold=(values[middle - 1] + values[middle]) / 2)
    pair = load_pair(
        str(mask_path),
        str(mask_path),
        prediction_map=None,
        label_map=None,
        ignored_ids=(),
        labels=(1, 2),
        tumor_labels=(2,),
        organ_path=None,
        score_paths=(str(tmp_path / "probabilities/scan_2.nii.gz"),),
        spacing_mm=None,
        operating_point=point,
    )
    result, mask, _ = run(spec_of(folder, tmp_path, operatingPoint=point, **changes))
    assert np.array_equal(mask, pair.predicted_XYZ)
    assert pair.removed_lesions is not None and pair.removed_lesions.removed == result["lesions"]["removed"]
    assert result["lesions"] == {"kept": len(values) - middle, "removed": middle} and "lesions" not in plain
    assert (before == 2).sum() > (mask == 2).sum() > 0
    assert result["labelVoxels"] == np.bincount(mask.ravel(), minlength=3).tolist()
