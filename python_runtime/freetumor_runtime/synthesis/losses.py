"""The losses of synthesis training and the measure of quality control (docs/method.md 7, 9). Linear: no logarithm.

Means are pooled over the batch: sum / (count + 1e-6); a loss whose voxels do not occur is the constant 1. Probabilities
are softmax outputs [B, C, X, Y, Z]; roles are uint8 [B, X, Y, Z] (0 background, 1 organ, 2 real, 3 synthetic tumor).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from freetumor_runtime.synthesis.render import REAL_TUMOR, SYNTHETIC

# outputs of the discriminator
_REAL_OUTPUT, _SYNTHETIC_OUTPUT = 1, 2
_EPSILON = 1e-6


def adversarial_loss(discriminator_BCXYZ: Tensor, roles_BXYZ: Tensor) -> Tensor:
    """1 - how real the discriminator finds the synthetic voxels: scalar."""
    return 1 - _pooled_mean(discriminator_BCXYZ[:, _REAL_OUTPUT], roles_BXYZ == SYNTHETIC)


def segmentation_loss(segmentor_BCXYZ: Tensor, roles_BXYZ: Tensor, tumor_outputs: Sequence[int]) -> Tensor:
    """1 - how much tumor (all `tumor_outputs` summed) the segmentor sees in the synthetic voxels: scalar."""
    tumor_BXYZ = segmentor_BCXYZ[:, list(tumor_outputs)].sum(1)
    return 1 - _pooled_mean(tumor_BXYZ, roles_BXYZ == SYNTHETIC)


def generator_loss(adversarial: Tensor, segmentation: Tensor, adversarial_weight: float) -> Tensor:
    """`adversarial_weight` is 0.1 for the abdomen and 0.5 for the chest as published."""
    return adversarial_weight * adversarial + segmentation


def discriminator_loss(discriminator_BCXYZ: Tensor, roles_BXYZ: Tensor) -> Tensor:
    """Synthetic voxels should be called synthetic, real tumor voxels real: scalar."""
    synthetic = 1 - _pooled_mean(discriminator_BCXYZ[:, _SYNTHETIC_OUTPUT], roles_BXYZ == SYNTHETIC)
    real = 1 - _pooled_mean(discriminator_BCXYZ[:, _REAL_OUTPUT], roles_BXYZ == REAL_TUMOR)
    return (synthetic + real) / 2


def seen_share(called: Tensor, roles: Tensor, tumor_outputs: Sequence[int]) -> Tensor:
    """Quality control: the share of synthetic voxels that the segmentor calls tumor, a scalar in [0, 1).

    `called` is the argmax of the segmentor's logits, in the shape of `roles`; no synthetic voxel gives 0.
    """
    synthetic = roles == SYNTHETIC
    tumors = torch.tensor(list(tumor_outputs), device=called.device)
    seen = torch.isin(called, tumors) & synthetic
    return seen.sum().to(torch.float64) / (synthetic.sum().to(torch.float64) + _EPSILON)


def _pooled_mean(probability_BXYZ: Tensor, where_BXYZ: Tensor) -> Tensor:
    # With no voxel the sum is 0 and so is the mean: the loss is the constant 1, with a gradient of 0.
    at_least_float32 = torch.promote_types(probability_BXYZ.dtype, torch.float32)
    total = torch.where(where_BXYZ, probability_BXYZ, 0.0).sum(dtype=at_least_float32)
    return total / (where_BXYZ.sum() + _EPSILON)
