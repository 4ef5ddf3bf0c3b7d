"""Measures made cases by the profiles' settings on stdin; prints them beside what MONAI's own metrics say of them.

JSON in: `{name: {nsdTolerancesMm, lesions, spacingMm}}`; out: `{name: {cases: {id: measures}, monai: {...}}}`.
"""

import json
import sys
import tempfile
import warnings

import nibabel
import numpy as np
import torch
from monai.metrics import DiceMetric, SurfaceDiceMetric, compute_roc_auc
from monai.metrics.froc import compute_fp_tp_probs_nd, compute_froc_curve_data
from monai.networks import one_hot
from scipy import ndimage

from freetumor_runtime.evaluation.case_metrics import measure_files

warnings.simplefilter("ignore")
SPACING = (1.5, 1.5, 1.5)
SHAPE = (30, 28, 24)
TOUCHING = np.ones((3, 3, 3))


def make_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, label (0 background, 1 organ, 2 tumor) and scores of 64ths, one for each predicted piece."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((3, *SHAPE)), (0, 2, 2, 2))
    organ = smooth[0] > np.quantile(smooth[0], 0.5)
    mask, label = organ.astype(np.uint8), organ.astype(np.uint8)
    if seed % 5 != 4:  # a healthy one among five
        label[smooth[1] > np.quantile(smooth[1], 0.97)] = 2
    mask[(smooth[1] + smooth[2]) > np.quantile(smooth[1] + smooth[2], 0.97)] = 2
    if seed == 9:
        mask[mask == 2] = 1
    pieces, count = ndimage.label(mask == 2, TOUCHING)
    scores = np.concatenate([[0], rng.integers(8, 60, count) / 64]).astype(np.float32)[pieces]
    return mask, label, scores


def monai_figures(made: list, profile: str, tolerances: list[float]) -> dict:
    hot = [[one_hot(torch.from_numpy(ids)[None, None], 3) for ids in pair[:2]] for pair in made]
    tumor = [[mask[:, 2:] for mask in pair] for pair in hot]

    def mean(metric, pairs) -> float:
        for predicted, truth in pairs:
            metric(predicted, truth)
        return metric.aggregate().item()

    figures = {
        "meanDice": mean(DiceMetric(include_background=False, reduction="mean"), hot),
        "tumorDice": mean(DiceMetric(include_background=True, reduction="mean"), tumor),
    }
    if profile == "difftumor":
        # what is empty on both sides is left out, and what only the mask has scores 0
        some = [pair for pair in tumor if pair[0].any() or pair[1].any()]
        figures["tumorDice"] = mean(DiceMetric(include_background=True, ignore_empty=False), some)
        surface = SurfaceDiceMetric(tolerances, include_background=True, reduction="mean")
        for predicted, truth in some:
            surface(predicted, truth, spacing=SPACING)
        figures["tumorNsd"] = surface.aggregate().item()
    if profile == "lesion":
        figures |= lesion_figures(made)
    return figures


def lesion_figures(made: list) -> dict:
    sick, score, wrong, right, targets = [], [], [], [], 0
    for mask, label, scores in made:
        truth, _ = ndimage.label(label == 2, TOUCHING)
        pieces, count = ndimage.label(mask == 2, TOUCHING)
        sick.append(int(truth.any()))
        score.append(float(scores.max()))
        # MONAI asks where a detection lies: one of each voxel, but for those in nothing one a piece
        probs, coords = [], []
        for number in range(1, count + 1):
            voxels = np.argwhere(pieces == number)
            met = [voxel for voxel in voxels if truth[tuple(voxel)] > 0] or [voxels[0]]
            probs += [scores[tuple(voxel)] for voxel in met]
            coords += list(met)
        if not coords:
            right += [0.0] * truth.max()
            targets += int(truth.max())
            continue
        found = compute_fp_tp_probs_nd(np.array(probs), np.array(coords), truth)
        wrong, right, targets = (
            [*wrong, *found[0]],
            [*right, *found[1]],
            targets + found[2],
        )
    rates, sensitivities = compute_froc_curve_data(np.array(wrong), np.array(right), targets, len(made))
    return {
        "auc": float(compute_roc_auc(torch.tensor(score), torch.tensor(sick))),
        "froc": [[float(a), float(b)] for a, b in zip(rates, sensitivities, strict=True)][::-1][1:],
        "lesionSensitivity": float(np.mean(np.array(right) > 0)),
        "falsePositives": len(wrong) / len(made),
    }


def main() -> None:
    made = [make_case(seed) for seed in range(10)]
    result = {}
    with tempfile.TemporaryDirectory() as folder:

        def save(name: str, array: np.ndarray) -> str:
            nibabel.save(
                nibabel.Nifti1Image(array, np.diag([*SPACING, 1])),
                f"{folder}/{name}.nii",
            )
            return f"{folder}/{name}.nii"

        files = [
            [save(f"{kind}{at}", part) for kind, part in zip("mls", one, strict=True)] for at, one in enumerate(made)
        ]
        for name, profile in json.load(sys.stdin).items():
            measured = [
                measure_files(
                    mask,
                    label,
                    labels=[1, 2],
                    tumor_labels=[2],
                    nsd_tolerances_mm=profile["nsdTolerancesMm"],
                    lesions=profile["lesions"],
                    spacing_mm=profile["spacingMm"],
                    score_paths=[scores] if profile["lesions"] else [],
                )
                for mask, label, scores in files
            ]
            monai = monai_figures(made, name, profile["nsdTolerancesMm"])
            result[name] = {
                "cases": {str(at): one for at, one in enumerate(measured)},
                "monai": monai,
            }
    print(json.dumps(result))


main()
