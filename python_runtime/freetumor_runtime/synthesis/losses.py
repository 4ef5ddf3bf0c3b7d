"""Losses of synthesis training and the measure of quality control (docs/method.md 7, 9).

Losses are linear in the probabilities, without a logarithm. Means are pooled over the batch: sum / (count + 1e-6). A
loss whose voxels do not occur is the constant 1. Probabilities are softmax outputs [B, C, X, Y, Z]; roles are uint8
[B, X, Y, Z] (0 background, 1 organ, 2 real, 3 synthetic tumor).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from freetumor_runtime.synthesis.render import REAL_TUMOR, SYNTHETIC

# outputs of the discriminator
_REAL_OUTPUT, _SYNTHETIC_OUTPUT = 1, 2
_EPSILON = 1e-6


def adversarial_loss(discriminator_BCXYZ: Tensor, roles_BXYZ: Tensor) -> Tensor:
    """Return 1 - mean probability of the discriminator's real-tumor output on the synthetic voxels, a scalar."""
    return 1 - _pooled_mean(discriminator_BCXYZ[:, _REAL_OUTPUT], roles_BXYZ == SYNTHETIC)


def segmentation_loss(segmentor_BCXYZ: Tensor, roles_BXYZ: Tensor, tumor_outputs: Sequence[int]) -> Tensor:
    """Return 1 - mean tumor probability (sum of `tumor_outputs`) of the synthetic voxels, a scalar."""
    # channel by channel: an index made of a list is copied to the device, for which a GPU would wait
    tumor_BXYZ = sum((segmentor_BCXYZ[:, output] for output in tumor_outputs), torch.zeros_like(segmentor_BCXYZ[:, 0]))
    return 1 - _pooled_mean(tumor_BXYZ, roles_BXYZ == SYNTHETIC)


def generator_loss(adversarial: Tensor, segmentation: Tensor, adversarial_weight: float) -> Tensor:
    """Return the weighted sum; the published `adversarial_weight` is 0.1 for the abdomen and 0.5 for the chest."""
    return adversarial_weight * adversarial + segmentation


def discriminator_loss(discriminator_BCXYZ: Tensor, roles_BXYZ: Tensor) -> Tensor:
    """Return the loss that is 0 if synthetic voxels are classified synthetic and real tumor voxels real, a scalar."""
    synthetic = 1 - _pooled_mean(discriminator_BCXYZ[:, _SYNTHETIC_OUTPUT], roles_BXYZ == SYNTHETIC)
    real = 1 - _pooled_mean(discriminator_BCXYZ[:, _REAL_OUTPUT], roles_BXYZ == REAL_TUMOR)
    return (synthetic + real) / 2


def seen_share(called: Tensor, roles: Tensor, tumor_outputs: Sequence[int]) -> Tensor:
    """Return the detected fraction: the share of synthetic voxels that the segmentor labels tumor, a scalar in [0, 1).

    `called` is the argmax of the segmentor's logits, in the shape of `roles`. Without synthetic voxels it is 0.
    """
    synthetic = roles == SYNTHETIC
    tumors = torch.tensor(list(tumor_outputs), device=called.device)
    seen = torch.isin(called, tumors) & synthetic
    return seen.sum().to(torch.float64) / (synthetic.sum().to(torch.float64) + _EPSILON)


def _pooled_mean(probability_BXYZ: Tensor, where_BXYZ: Tensor) -> Tensor:
    # Without voxels sum and mean are 0: the loss is the constant 1, with a gradient of 0.
    at_least_float32 = torch.promote_types(probability_BXYZ.dtype, torch.float32)
    total = torch.where(where_BXYZ, probability_BXYZ, 0.0).sum(dtype=at_least_float32)
    return total / (where_BXYZ.sum() + _EPSILON)
