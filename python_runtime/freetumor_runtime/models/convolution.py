"""Layers that a CPU computes quickly: the same keys, equal up to rounding.

Times are of one 96^3 window in the small segmentor, one thread:
- Convolution: oneDNN for inputs of any size. On one thread PyTorch computes small inputs (batch x channels x two sides
  up to 20480) with its own kernel, which takes four times as long. All levels of one 40^3 window in a narrow network
  are that small.
- Transposed convolution: oneDNN on channels-last features, 8 ms instead of 49 ms; that of the logits as matrix products
  of planes, 12 ms instead of 25 ms.
- Instance norm: as the group norm of one channel a group, 0.5 ms instead of 2.4 ms. The small segmentor uses it with
  gradients, too: a step takes 10 % less time.
- Max pooling of 2^3: by pairs along each axis, 0.6 ms instead of 5.8 ms.
- Weight gradients of a convolution, on a CPU without AVX-512: from channels-last features, 12 ms instead of 20 to 28 ms
  (16 to 16 channels, four crops of 20^3). So the small segmentor learns in channels-last there. With AVX-512 this is
  not measured, and features keep their layout.
- Without gradients, channels-last features of at least 32 channels: by slabs (slab_convolution.py), 0.98 s instead of
  1.5 to 1.7 s (48 channels, 96^3). Instance norm overwrites channels-last features then. So all networks compute in
  channels-last without gradients: 18 ms instead of 24 ms for a convolution of 16 channels and 48^3.

With gradients the other layers are PyTorch's own: the backward pass takes most of the time and does not become faster.
So networks of MONAI and nnU-Net learn with the bits of their packages.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from freetumor_runtime.models.channels_last_norm import norm_channels_last, norm_channels_last_in_place
from freetumor_runtime.models.slab_convolution import convolve_by_slabs


def conv3d(features_BCXYZ: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0) -> Tensor:
    """Compute functional.conv3d; equal up to rounding."""
    if without_gradients(features_BCXYZ):
        if _pays_by_slabs(features_BCXYZ, weight, stride, padding):
            return convolve_by_slabs(features_BCXYZ, weight, bias)
        if weight.numel() > features_BCXYZ.numel():
            # else the weights would be copied to channels-last
            features_BCXYZ = features_BCXYZ.contiguous()
        return torch.mkldnn_convolution(features_BCXYZ, weight, bias, (padding,) * 3, (stride,) * 3, (1,) * 3, 1)
    return functional.conv3d(features_BCXYZ, weight, bias, stride, padding)


def conv3d_in_place(features_BCXYZ: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return conv3d(features, weight, bias, padding=1), in the memory of large features; no gradients."""
    if len(weight) == weight.shape[1] and _pays_by_slabs(features_BCXYZ, weight, 1, 1):
        return convolve_by_slabs(features_BCXYZ, weight, bias, out=features_BCXYZ)
    return conv3d(features_BCXYZ, weight, bias, padding=1)


def add_conv3d(out_BCXYZ: Tensor, features_BCXYZ: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return the sum of `out` and conv3d(features, weight, bias), in the memory of `out`."""
    quick = without_gradients(features_BCXYZ) and _is_channels_last(out_BCXYZ)
    if quick and _pays_by_slabs(features_BCXYZ, weight, 1, padding):
        return convolve_by_slabs(features_BCXYZ, weight, bias, out=out_BCXYZ, adds=True)
    return out_BCXYZ.add_(conv3d(features_BCXYZ, weight, bias, padding=padding))


def conv_transpose3d(
    features_BCXYZ: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int = 0
) -> Tensor:
    """Compute functional.conv_transpose3d; equal up to rounding."""
    if without_gradients(features_BCXYZ):
        features_BCXYZ = features_BCXYZ.contiguous(memory_format=torch.channels_last_3d)
    return functional.conv_transpose3d(features_BCXYZ, weight, bias, stride, padding)


def upsample(features_BCXYZ: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return functional.conv_transpose3d(features, weight [in, out, 2, 2, 2], bias, stride=2), which has no gradients.

    Plane by plane, in PyTorch's default layout; equal up to rounding.
    """
    batch, inputs, *sides = features_BCXYZ.shape
    outputs = weight.shape[1]
    out = features_BCXYZ.new_empty((batch, outputs, *(2 * side for side in sides)))
    matrix, added = weight.flatten(1).t().contiguous(), bias.repeat_interleave(8)[:, None]
    for features_XYZC, result in zip(features_BCXYZ.permute(0, 2, 3, 4, 1), out, strict=True):
        result = result.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        for plane_YZC, planes in zip(features_XYZC, result.unbind(1), strict=True):
            found = torch.addmm(added, matrix, plane_YZC.reshape(-1, inputs).t())
            planes.copy_(found.view(outputs, 2, 2, 2, *sides[1:]).permute(0, 1, 4, 2, 5, 3))
    return out


class Conv3d(nn.Conv3d):
    """nn.Conv3d with one stride and padding for all axes, zeros beyond the edge, no dilation and no groups."""

    def forward(self, input: Tensor) -> Tensor:
        stride, padding = self.stride[0], self.padding[0]
        assert isinstance(padding, int)
        return conv3d(input, self.weight, self.bias, stride, padding)


class Upsampling3d(nn.ConvTranspose3d):
    """nn.ConvTranspose3d with one stride for all axes and nothing else."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert output_size is None
        return conv_transpose3d(input, self.weight, self.bias, self.stride[0])


class InstanceNorm3d(nn.InstanceNorm3d):
    """nn.InstanceNorm3d without running statistics.

    Without gradients it writes its result into channels-last features, because it always follows a convolution.
    """

    quick_with_gradients = True

    def forward(self, input: Tensor) -> Tensor:
        if not (_quick(input) if self.quick_with_gradients else without_gradients(input)):
            return super().forward(input)
        if torch.is_grad_enabled() and self.affine and _is_channels_last(input):
            return norm_channels_last(input, self.weight, self.bias, self.eps)
        if not torch.is_grad_enabled() and _is_channels_last(input):
            return norm_channels_last_in_place(input, self.weight, self.bias, self.eps)
        # channels-last features would lose digits: a group norm sums their squares
        return functional.group_norm(input.contiguous(), self.num_features, self.weight, self.bias, self.eps)


class PackageInstanceNorm3d(InstanceNorm3d):
    """The instance norm of a network of MONAI or nnU-Net."""

    quick_with_gradients = False


class MaxPool3d(nn.MaxPool3d):
    """nn.MaxPool3d of 2^3 with stride 2."""

    def forward(self, input: Tensor) -> Tensor:
        if not without_gradients(input):
            return torch.max_pool3d(input, self.kernel_size, self.stride)
        for axis in (2, 3, 4):
            pairs = input.shape[axis] // 2
            first, second = (input.narrow(axis, at, 2 * pairs - 1)[_every_other(axis)] for at in (0, 1))
            input = torch.maximum(first, second)
        return input


def in_channels_last(features_BCXYZ: Tensor) -> Tensor:
    """Return the features in channels-last; unlike PyTorch, also those of one channel, so that convolutions keep it."""
    if features_BCXYZ.shape[1] == 1:
        batch, _, *sides = features_BCXYZ.shape
        return features_BCXYZ.contiguous().view(batch, *sides, 1).permute(0, 4, 1, 2, 3)
    return features_BCXYZ.contiguous(memory_format=torch.channels_last_3d)


def is_quick(features: Tensor) -> bool:
    """Return whether these layers replace PyTorch's for the features: with gradients only on a CPU without AVX-512."""
    return _quick(features) and (not torch.is_grad_enabled() or _has_slow_weight_gradients())


def without_gradients(features: Tensor) -> bool:
    """Return whether these layers replace PyTorch's for the features, and no gradients are computed."""
    return not torch.is_grad_enabled() and _quick(features)


def quick_layers(network: nn.Module) -> nn.Module:
    """Replace PyTorch's layers of a network in place where one of these fits, and return it: weights and names stay."""
    for module in network.modules():
        if type(module) is nn.Conv3d and _is_plain(module):
            module.__class__ = Conv3d
        elif type(module) is nn.ConvTranspose3d and _is_plain(module) and not any(module.output_padding):
            if not any(module.padding):
                module.__class__ = Upsampling3d
        elif type(module) is nn.InstanceNorm3d and not module.track_running_stats and module.num_features > 0:
            module.__class__ = PackageInstanceNorm3d
    return network


def _is_plain(module: nn.Conv3d | nn.ConvTranspose3d) -> bool:
    return (
        module.groups == 1
        and module.padding_mode == "zeros"
        and set(module.dilation) == {1}
        and not isinstance(module.padding, str)
        and len(set(module.stride)) == len(set(module.padding)) == 1
    )


def _every_other(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(None, None, 2),)


def _quick(features: Tensor) -> bool:
    return (
        features.device.type == "cpu"
        and features.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
    )


def _pays_by_slabs(features: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    # measured: with fewer channels the transforms take what the multiplications save
    large = min(weight.shape[:2]) >= 32 and min(features.shape[2:]) >= 12
    return large and weight.shape[2:] == (3, 3, 3) and stride == padding == 1 and _is_channels_last(features)


def _has_slow_weight_gradients() -> bool:
    """Return whether oneDNN has only a slow kernel for weight gradients of 3-D convolutions: without AVX-512."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def _is_channels_last(features: Tensor) -> bool:
    return features.is_contiguous(memory_format=torch.channels_last_3d) and not features.is_contiguous()
