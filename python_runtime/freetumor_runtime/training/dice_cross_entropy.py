"""Dice and cross-entropy with one formula for the gradients of both: a third of the passes over the logits."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from freetumor_runtime.data.label_ids import IGNORED_LABEL

_SMOOTH = 1e-5


def dice_cross_entropy(logits_BCXYZ: Tensor, label_BXYZ: Tensor, weights_C: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses (dice, cross_entropy) of float32 logits and int64 ids, without ignored voxels.

    Dice is bit-identical to MONAI's DiceLoss without background, cross-entropy to PyTorch's, up to the order of its
    sum. Gradients are theirs up to rounding: at most 1e-6 of the largest one.
    """
    return _DiceCrossEntropy.apply(logits_BCXYZ, label_BXYZ, weights_C)


class _DiceCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits_BCXYZ, label_BXYZ, weights_C):
        ignored_BXYZ = label_BXYZ == IGNORED_LABEL
        # a GPU would wait for the answer
        if label_BXYZ.device.type == "cpu" and not ignored_BXYZ.any():
            ignored_BXYZ = None
        # background is no class of the Dice, and a probability of 0 adds nothing to its sums
        known_BXYZ = label_BXYZ if ignored_BXYZ is None else label_BXYZ.masked_fill(ignored_BXYZ, 0)
        probabilities_BCXYZ = logits_BCXYZ.softmax(1)
        counted_BCXYZ = probabilities_BCXYZ if ignored_BXYZ is None else probabilities_BCXYZ * ~ignored_BXYZ[:, None]
        both_BC, all_BC = _overlap_and_sum(counted_BCXYZ, known_BXYZ)
        above_BC, below_BC = 2 * both_BC + _SMOOTH, all_BC + _SMOOTH
        # summed separately: PyTorch's own mean has no fixed order of additions on a GPU
        each_BXYZ = cross_entropy(logits_BCXYZ, label_BXYZ, weights_C, reduction="none", ignore_index=IGNORED_LABEL)
        weight_BXYZ = weights_C[known_BXYZ]
        if ignored_BXYZ is not None:
            weight_BXYZ = weight_BXYZ.masked_fill_(ignored_BXYZ, 0)
        weight = weight_BXYZ.sum()
        # slab mixing can produce a crop with ignored voxels only: its loss is 0
        weight = torch.where(weight > 0, weight, 1)
        ctx.save_for_backward(probabilities_BCXYZ, known_BXYZ, ignored_BXYZ, weight_BXYZ, weight, above_BC, below_BC)
        return torch.mean(1 - above_BC / below_BC), each_BXYZ.sum() / weight

    @staticmethod
    def backward(ctx, of_dice, of_entropy):
        """With p = softmax(z), y the label and k the voxel's share of the cross-entropy: d dice / d p_c = A_c + B_c
        [c = y], so d loss / d z_c = p_c (A_c - sum_j p_j A_j - p_y B_y + k) + [c = y] (p_y B_y - k).
        """
        probabilities_BCXYZ, known_BXYZ, ignored_BXYZ, weight_BXYZ, weight, above_BC, below_BC = ctx.saved_tensors
        samples, channels = probabilities_BCXYZ.shape[:2]
        label_B1XYZ = known_BXYZ[:, None]
        every_BC, own_BC = probabilities_BCXYZ.new_zeros(2, samples, channels)
        share = of_dice / above_BC.numel()
        every_BC[:, 1:] = share * above_BC / below_BC.square()
        own_BC[:, 1:] = -2 * share / below_BC

        own_B1XYZ = own_BC.gather(1, known_BXYZ.flatten(1)).view_as(label_B1XYZ)
        own_B1XYZ = own_B1XYZ.mul_(probabilities_BCXYZ.gather(1, label_B1XYZ))
        own_B1XYZ = own_B1XYZ.sub_(weight_BXYZ[:, None] * (of_entropy / weight))
        common_B1XYZ = torch.matmul(every_BC[:, None], probabilities_BCXYZ.flatten(2)).view_as(own_B1XYZ)
        common_B1XYZ = common_B1XYZ.add_(own_B1XYZ)
        every_BC111 = every_BC.view(samples, channels, 1, 1, 1)
        gradient_BCXYZ = torch.sub(every_BC111, common_B1XYZ).mul_(probabilities_BCXYZ)
        # each voxel has one label, so no value is written twice
        gradient_BCXYZ.scatter_(1, label_B1XYZ, gradient_BCXYZ.gather(1, label_B1XYZ).add_(own_B1XYZ))
        if ignored_BXYZ is not None:
            gradient_BCXYZ.masked_fill_(ignored_BXYZ[:, None], 0)
        return gradient_BCXYZ, None, None


def _overlap_and_sum(probabilities_BCXYZ: Tensor, label_BXYZ: Tensor) -> tuple[Tensor, Tensor]:
    """Return overlap, and sum of probabilities and labels, of samples and classes >= 1: [B, C - 1].

    The same operations in the same order as in MONAI, whose import takes longer than that of PyTorch.
    """
    target_BCXYZ = torch.zeros_like(probabilities_BCXYZ).scatter_(1, label_BXYZ[:, None], 1)
    found, wanted = probabilities_BCXYZ[:, 1:], target_BCXYZ[:, 1:]
    axes = list(range(2, found.ndim))
    both = torch.sum(found * wanted, axes)
    found_alone = (torch.sum(found, axes) - both) * 0.5
    wanted_alone = (torch.sum(wanted, axes) - both) * 0.5
    return both, 2 * (both + found_alone + wanted_alone)
