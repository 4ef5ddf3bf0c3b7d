"""Dice and surface Dice of 200 random and 20 real pairs against MONAI's own metrics, each asked for by itself."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_surface_dice
from scipy import ndimage

from freetumor_runtime.data.grids import resample_label, spacing_of
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.evaluation.case_metrics import measure_masks
from tests.parity import FOLDER

pytestmark = [
    pytest.mark.filterwarnings("ignore:the (ground truth|prediction) of class"),
    pytest.mark.filterwarnings("ignore:.*always_return_as_numpy"),
]


def assert_agreement(predicted, truth, affine, labels, tolerances_mm):
    ours = measure_masks(
        predicted, truth, affine, labels=labels, tumor_labels=[], nsd_tolerances_mm=tolerances_mm, lesions=False
    )
    for one in ours["labels"]:
        both = [torch.from_numpy(np.ascontiguousarray(ids == one["label"]))[None, None] for ids in (predicted, truth)]
        if not (both[0].any() or both[1].any()):
            assert one["dice"] is None and one["nsd"] == [None] * len(tolerances_mm)
            continue
        dice = compute_dice(*both, include_background=True, ignore_empty=False).item()
        assert one["dice"] == pytest.approx(dice, abs=1e-6)
        for nsd, tolerance in zip(one["nsd"], tolerances_mm, strict=True):
            monai = compute_surface_dice(*both, [tolerance], include_background=True, spacing=spacing_of(affine))
            assert nsd == pytest.approx(monai.item(), abs=1e-6)


def test_200_random_pairs_agree():
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = rng.integers(4, 24, 3)
        smooth = ndimage.gaussian_filter(rng.random((2, *shape)), (0, *rng.uniform(0.3, 2, 3)))
        # thresholds of their own: from hardly anything to nearly all, at times nothing at all
        high = [
            np.quantile(part, share) for part, share in zip(smooth, rng.uniform(0.02, 1.05, 2).clip(0, 1), strict=True)
        ]
        predicted, truth = ((part > limit).astype(np.uint8) for part, limit in zip(smooth, high, strict=True))
        assert_agreement(predicted, truth, np.diag([*rng.uniform(0.4, 5, 3), 1]), [1], [rng.uniform(0.5, 4)])


CHANGES = {
    "shifted": lambda ids: np.roll(ids, (3, -2, 1), (0, 1, 2)),
    "eroded": lambda ids: np.where(ndimage.binary_erosion(ids > 0, iterations=2), ids, 0).astype(ids.dtype),
    "swapped": lambda ids: np.where(ids == 1, 2, np.where(ids == 2, 1, ids)).astype(ids.dtype),
}


def real_pairs():
    """Ten of each collection, the smallest files, every change in turn; none where they are not at hand."""
    data = FOLDER.parent / "data"
    folders = [data / "kits19_labels", data / "evalseg_labels"]
    files = [sorted(folder.rglob("*.nii.gz"), key=lambda file: file.stat().st_size)[:10] for folder in folders]
    if not all(files):
        warnings.warn(f"real labels are missing, no real pair is compared with MONAI: {data}", stacklevel=1)
        return []
    paths = [path for of_folder in files for path in of_folder]
    return [(path, list(CHANGES)[at % len(CHANGES)]) for at, path in enumerate(paths)]


@pytest.mark.parametrize(("path", "change"), real_pairs(), ids=lambda value: getattr(value, "name", value))
def test_20_real_pairs_agree(path: Path, change: str):
    truth, affine = load_nifti(str(path))
    # MONAI has nothing of what is far from every label
    box = tuple(
        slice(max(0, side.start - 8), side.stop + 8) for side in ndimage.find_objects((truth > 0).astype(np.uint8))[0]
    )
    truth = truth[box].astype(np.uint8)
    assert_agreement(CHANGES[change](truth), truth, affine, [1, 2, 3], [1.0, 2.0])


def test_labels_resampled_axis_by_axis_are_those_that_monai_resamples_whole():
    from monai.data import MetaTensor
    from monai.transforms import Compose, Orientation, Spacing

    rng = np.random.default_rng(1)
    for trial in range(25):
        # Spacings at which voxels lie halfway between two, among them.
        spacing = rng.choice([0.5, 0.75, 0.78125, 1, 1.5, 3, 5, 0.9765625, rng.uniform(0.4, 6)], 3)
        axes, signs = rng.permutation(3), rng.choice([-1, 1], 3)
        affine = np.zeros((4, 4))
        affine[axes, range(3)] = signs * spacing
        affine[:, 3] = *rng.uniform(-300, 300, 3), 1
        label = rng.integers(0, 200, rng.integers(1, 40, 3)).astype(np.uint8)
        target = [(1.5, 1.5, 1.5), (1.25, 1.25, 5)][trial % 2]
        whole = Compose([Orientation(axcodes="RAS", labels=None), Spacing(pixdim=target, mode="nearest")])
        source = torch.from_numpy(label.astype(np.float32))[None]
        theirs = whole(MetaTensor(source, affine=torch.as_tensor(affine, dtype=torch.float64)))
        mine, mine_affine = resample_label(label, affine, target)
        assert np.array_equal(mine, theirs.numpy()[0])
        assert mine_affine == pytest.approx(np.asarray(theirs.affine), abs=1e-9)
