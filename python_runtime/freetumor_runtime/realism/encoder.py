"""Features of tumors by the encoder of a segmentor, on the CPU. Arrays are [X, Y, Z], RAS."""

from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.config.realism import EncoderSpec
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.models.segmentor import deepest_features
from freetumor_runtime.realism.zones import FoundTumor, Scan


def encoded_tumor(scan: Scan, tumor: FoundTumor, encoder: EncoderSpec) -> np.ndarray:
    """Return the deepest features of a patch around a tumor, averaged over the tumor, float32 [features].

    Raises CheckpointError if the file cannot be loaded, or its features are not finite.
    """
    features = tumor_features(_network(encoder), *patch_of(scan, tumor, encoder))
    if not np.isfinite(features).all():
        raise CheckpointError(f"{encoder.checkpoint}: its features are not finite", "use another checkpoint")
    return features


# a process measures many cases
@lru_cache(maxsize=1)
def _network(encoder: EncoderSpec) -> nn.Module:
    return load_segmentor(encoder.checkpoint, encoder.patchMerging, torch.device("cpu"), encoder.weights).network


def patch_of(scan: Scan, tumor: FoundTumor, encoder: EncoderSpec) -> tuple[Tensor, Tensor]:
    """Return the patch around a tumor in the intensity window, and the share of the tumor in each voxel, float32.

    The patch is centred on the tumor and has the grid of the checkpoint, by linear resampling. Outside the scan it has
    the lower end of the window.
    """
    scale = np.array(encoder.spacingMm) / scan.spacing_mm
    start = np.array([side.start for side in tumor.box])
    reach = scale * (np.array(encoder.patchVoxels) - 1)
    offset = np.argwhere(tumor.mask_XYZ).mean(0) + start - reach / 2

    def sampled(array_XYZ: np.ndarray, first: np.ndarray, outside: float) -> Tensor:
        patch = ndimage.affine_transform(
            array_XYZ.astype(np.float32),
            scale,
            offset - first,
            encoder.patchVoxels,
            order=1,
            mode="grid-constant",
            cval=outside,
        )
        return torch.from_numpy(patch)

    low = np.maximum(0, np.floor(offset).astype(int) - 1)
    high = np.ceil(offset + reach).astype(int) + 2
    box = tuple(slice(int(one), int(other)) for one, other in zip(low, high, strict=True))
    image_XYZ = sampled(scan.image_XYZ[box], low, encoder.windowHu[0])
    return window_intensity(image_XYZ, encoder.windowHu), sampled(tumor.mask_XYZ, start, 0)


@torch.inference_mode()
def tumor_features(network: nn.Module, patch_XYZ: Tensor, tumor_XYZ: Tensor) -> np.ndarray:
    """Return the mean of the deepest features over the tumor, float32 [features]."""
    features_FXYZ = deepest_features(network, patch_XYZ[None, None])[0]
    if not bool(tumor_XYZ.any()):
        # a tumor between the voxels of a coarse grid
        tumor_XYZ = torch.zeros_like(tumor_XYZ)
        tumor_XYZ[tuple(side // 2 for side in tumor_XYZ.shape)] = 1
    x, y, z = features_FXYZ.shape[1:]
    share_XYZ = adaptive_avg_pool3d(tumor_XYZ[None], (x, y, z))[0]
    return ((features_FXYZ * share_XYZ).sum((1, 2, 3)) / share_XYZ.sum()).numpy()
