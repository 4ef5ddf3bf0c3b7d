"""Write small generators and baselines of both regions with weights of a seed: debug_weights.py FOLDER

Writes REGION-generator.pt and REGION-baseline.pt. The baselines label about three quarters of noise as tumor, and
most painted voxels of a scan.
"""

import sys
from pathlib import Path

import torch

from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d

OUTPUTS = {"abdomen": (3, 7, [2, 4, 6]), "chest": (1, 2, [1])}
PREPARATION = {
    "abdomen": {"windowHu": [-175, 250], "spacingMm": [1.5, 1.5, 1.5], "patchVoxels": [40, 40, 40]},
    "chest": {"windowHu": [-1000, 500], "spacingMm": [1.25, 1.25, 5.0], "patchVoxels": [64, 64, 16]},
}


def main() -> None:
    folder = Path(sys.argv[1])
    for region, (channels, outputs, tumors) in OUTPUTS.items():
        torch.manual_seed(0)
        generator = UNet3d(channels, 4)
        weights = {f"netG.{name}": value for name, value in generator.state_dict().items()}
        about = {"region": region, **PREPARATION[region]}
        torch.save({"state_dict": weights}, folder / f"{region}-generator.pt")
        baseline = build_segmentor("small", outputs=outputs, feature_size=8, levels=2, patch_merging="corrected")
        favour(baseline, outputs, tumors)
        facts = {"kind": "small", "featureSize": 8, "levels": 2, "outputs": outputs, "patchMerging": None}
        segmentor = {**facts, "mergingAssumed": False, "tumorOutputs": tumors}
        stated = {"kind": "segmentor", "segmentor": segmentor, **about}
        torch.save({"state_dict": baseline.state_dict(), "freetumor": stated}, folder / f"{region}-baseline.pt")


@torch.no_grad()
def favour(baseline: torch.nn.Module, outputs: int, tumors: list[int]) -> None:
    """Move the bias of the tumors so that the network labels three quarters of the voxels as tumor."""
    logits = baseline(torch.rand(1, 1, 32, 32, 32))[0].flatten(1)
    others = [output for output in range(outputs) if output not in tumors]
    ahead = logits[others].amax(0) - logits[tumors].amax(0)
    baseline.head.bias[tumors] += ahead.quantile(0.75)


if __name__ == "__main__":
    main()
