"""Compare masks of a whole scan: `freetumor predict` against the published prediction script's MONAI pipeline.

    scripts/bench published_agreement -- --image ct.nii.gz [--image ...] [--feature-size 48]
        [--overlap 0.75] [--rounded]

The network is a SwinUNETR of 7 outputs with the legacy patch-merging order and the formula weights of the tests. The
reference is Orientationd, Spacingd 1.5 mm, ScaleIntensityRanged, CropForegroundd, SpatialPadd,
sliding_window_inference, argmax, Invertd with nearest neighbours. The masks are compared on the foreground crop of
the prepared grid and on the scan's grid. `--rounded` adds the same for an image rounded to whole HU before the
network. A tie is a voxel where the two largest logits of the reference are equal. Prints JSON.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import (
    Compose,
    CropForegroundd,
    Invertd,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
)

from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.config.cases import PredictCase, PredictMember, PredictSpec
from freetumor_runtime.config.common import SlidingWindowsSpec
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.volumes import load_prepared_image
from freetumor_runtime.data.way_back import nearest_on_scan
from freetumor_runtime.inference.sliding_windows import labels_of, segment_volume
from freetumor_runtime.jobs.predict import predict
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.training.ranks import Ranks
from tests.parity import with_formula_weights

ONLY_BY_NAME = "not about speed; needs a scan (--image) and minutes per scan"
PATCH = (96, 96, 96)
WINDOW_HU = (-175.0, 250.0)
SPACING_MM = (1.5, 1.5, 1.5)
CPU = torch.device("cpu")
LEAST_AGREEMENT, LEAST_DICE = 0.9999, 0.999


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", action="append", required=True)
    parser.add_argument("--feature-size", type=int, default=48)
    parser.add_argument("--overlap", type=float, default=0.75)
    parser.add_argument("--rounded", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_network(Path(folder), options.feature_size)
        rows = [compare(Path(folder), checkpoint, image, options) for image in options.image]
    print(json.dumps({"rows": rows}, indent=2))
    raise SystemExit(0 if all(row["met"] for row in rows) else 1)


def write_network(folder: Path, feature_size: int) -> Path:
    network = build_segmentor("swinunetr", outputs=7, feature_size=feature_size, levels=4, patch_merging="legacy")
    path = folder / "network.pt"
    torch.save({"state_dict": with_formula_weights(network).state_dict()}, path)
    return path


def compare(folder: Path, checkpoint: Path, image: str, options: argparse.Namespace) -> dict:
    network = load_segmentor(str(checkpoint), "legacy", CPU).network
    expected_XYZ, expected_IJK, logits_CXYZ, image_XYZ = by_monai(network, image, options.overlap)
    cases = (PredictCase("scan", image, None, None, "scan"),)
    run(spec_of(folder, checkpoint, cases, options.overlap))
    mask_XYZ = load_nifti(str(folder / "scan.nii.gz"))[0].astype(np.uint8)
    prepared = load_prepared_image(image, SPACING_MM, WINDOW_HU[0])
    # the step that `--grid original` applies to this mask: the network runs once
    mask_IJK = nearest_on_scan(mask_XYZ, prepared.grids, PATCH)
    top = logits_CXYZ.topk(2, dim=0).values
    gap_XYZ = (top[0] - top[1]).numpy()
    differing = mask_XYZ != expected_XYZ
    ours_XYZ = window_intensity(prepared.image_hu, WINDOW_HU)
    row = {
        "row": Path(image).name,
        "voxels": int(expected_XYZ.size),
        "largestInputDifference": float((ours_XYZ - image_XYZ).abs().max()),
        "prepared": agreement(mask_XYZ, expected_XYZ),
        "original": agreement(mask_IJK, expected_IJK),
        "ties": int((gap_XYZ == 0).sum()),
        "differing": int(differing.sum()),
        "largestGapOfDiffering": float(gap_XYZ[differing].max(initial=0)),
    }
    if options.rounded:
        rounded_XYZ = window_intensity(prepared.image_hu.round(), WINDOW_HU)
        segmented = segment_volume(network, rounded_XYZ, PATCH, options.overlap, "constant", 4)
        row["roundedToWholeHu"] = agreement(labels_of(segmented.logits_CXYZ).numpy(), expected_XYZ)
    grids = (row["prepared"], row["original"])
    row["met"] = all(one["share"] >= LEAST_AGREEMENT and min(one["dice"].values()) >= LEAST_DICE for one in grids)
    return row


@torch.no_grad()
def by_monai(network, image: str, overlap: float):
    """Return masks on the prepared grid's foreground crop and on the scan's grid; logits and input of the crop."""
    data, affine = load_nifti(image)
    transforms = Compose(
        [
            Orientationd(keys="image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd(keys="image", pixdim=SPACING_MM, mode="bilinear"),
            ScaleIntensityRanged(keys="image", a_min=WINDOW_HU[0], a_max=WINDOW_HU[1], b_min=0, b_max=1, clip=True),
            CropForegroundd(keys="image", source_key="image", allow_smaller=True),
            SpatialPadd(keys="image", spatial_size=PATCH, mode="constant"),
        ]
    )
    scan = MetaTensor(torch.from_numpy(np.ascontiguousarray(data, np.float32))[None], affine=torch.as_tensor(affine))
    prepared = transforms({"image": scan})
    values = prepared["image"].as_tensor()
    logits = sliding_window_inference(values[None], PATCH, 4, network, overlap)[0]
    labels = logits.argmax(0, keepdim=True)
    pred = MetaTensor(labels.float(), meta=prepared["image"].meta)
    invert = Invertd(keys="pred", transform=transforms, orig_keys="image", nearest_interp=True, to_tensor=True)
    on_scan = invert({**prepared, "pred": pred})["pred"][0].numpy().astype(np.uint8)
    crop = load_prepared_image(image, SPACING_MM, WINDOW_HU[0]).grids.prepared_shape
    before = [max(0, side - length) // 2 for side, length in zip(PATCH, crop, strict=True)]
    box = tuple(slice(start, start + length) for start, length in zip(before, crop, strict=True))
    return labels[0][box].numpy().astype(np.uint8), on_scan, logits[(slice(None), *box)], values[0][box]


def agreement(ours: np.ndarray, expected: np.ndarray) -> dict:
    both = [int(((ours == label) & (expected == label)).sum()) for label in range(7)]
    each = [int((ours == label).sum()) + int((expected == label).sum()) for label in range(7)]
    dice = {str(label): 2 * both[label] / each[label] for label in range(7) if each[label] > 0}
    return {"share": float((ours == expected).mean()), "differing": int((ours != expected).sum()), "dice": dice}


class _Listed:
    def __init__(self, cases) -> None:
        self.waiting = [case.id for case in cases]

    def next(self):
        return self.waiting.pop(0) if self.waiting else None

    def done(self, case_id: str, result: dict) -> None:
        if "error" in result:
            raise SystemExit(f"error: {case_id}: {result['error']}")


def run(spec: PredictSpec) -> None:
    for _ in predict(spec, Ranks(0, 1, CPU, None), _Listed(spec.cases)):
        pass


def spec_of(out: Path, checkpoint: Path, cases, overlap: float) -> PredictSpec:
    return PredictSpec(
        job="predict",
        directory=str(out),
        members=(PredictMember(str(checkpoint), "legacy", None),),
        plugin=None,
        device="cpu",
        processesPerNode=1,
        threadsPerProcess=torch.get_num_threads(),
        precision="fp32",
        windowHu=WINDOW_HU,
        spacingMm=SPACING_MM,
        patchVoxels=PATCH,
        windows=SlidingWindowsSpec(overlap, "constant", 4),
        mirrorAxes=(),
        cropForeground=True,
        padding="lowerEnd",
        minForeground=0.0,
        windowChoice="all",
        grid="prepared",
        resampling="nearest",
        method="freetumor",
        dataType="uint8",
        tumorOutputs=(2, 4, 6),
        organIds=(),
        maskIds=tuple(range(7)),
        probabilities=(),
        cases=cases,
    )


if __name__ == "__main__":
    main()
