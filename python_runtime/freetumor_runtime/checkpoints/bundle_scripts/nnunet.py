"""The networks `resenc` and `unet` of nnU-Net, as freetumor trains them. Needs PyTorch only."""

import torch
from torch import nn


class NnUNet(nn.Module):
    """image [B, 1, X, Y, Z] -> logits [B, outputs, X, Y, Z]; sides divisible by the product of the strides.

    `stages`: dicts of features, kernel, stride and blocks for each resolution, the finest first.
    """

    def __init__(self, kind, stages, outputs):
        super().__init__()
        self.encoder = _Encoder(kind == "resenc", stages)
        self.decoder = _Decoder(1 if kind == "resenc" else 2, stages, outputs)

    def forward(self, image):
        return self.decoder(self.encoder(image))


class _Encoder(nn.Module):
    def __init__(self, residual, stages):
        super().__init__()
        first = stages[0]
        if residual:
            self.stem = _Stack(1, 1, first["features"], first["kernel"])
        before = [first["features"] if residual else 1, *(stage["features"] for stage in stages)]
        make = _residual_stage if residual else _plain_stage
        self.stages = nn.ModuleList(make(inputs, **stage) for inputs, stage in zip(before, stages, strict=False))

    def forward(self, image):
        features = self.stem(image) if hasattr(self, "stem") else image
        skips = []
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        return skips


class _Decoder(nn.Module):
    def __init__(self, blocks, stages, outputs):
        super().__init__()
        pairs = list(zip(stages[-2::-1], stages[:0:-1], strict=True))
        self.transpconvs = nn.ModuleList(
            nn.ConvTranspose3d(coarse["features"], fine["features"], coarse["stride"], coarse["stride"])
            for fine, coarse in pairs
        )
        self.stages = nn.ModuleList(
            _Stack(blocks, 2 * fine["features"], fine["features"], fine["kernel"]) for fine, _ in pairs
        )
        # only the last one is used after the training
        self.seg_layers = nn.ModuleList(nn.Conv3d(fine["features"], outputs, 1) for fine, _ in pairs)

    def forward(self, skips):
        features = skips[-1]
        for up, stage, skip in zip(self.transpconvs, self.stages, skips[-2::-1], strict=True):
            features = stage(torch.cat([up(features), skip], 1))
        return self.seg_layers[-1](features)


class _Unit(nn.Module):
    """Convolution, instance norm and, unless it ends a residual block, LeakyReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, bias=True, active=True):
        super().__init__()
        x, y, z = kernel
        padding = (x // 2, y // 2, z // 2)
        self.conv = nn.Conv3d(inputs, outputs, (x, y, z), stride, padding, bias=bias)
        self.norm = nn.InstanceNorm3d(outputs, eps=1e-5, affine=True)
        self.active = active

    def forward(self, features):
        features = self.norm(self.conv(features))
        return nn.functional.leaky_relu(features, 0.01) if self.active else features


class _Stack(nn.Module):
    def __init__(self, count, inputs, outputs, kernel, stride=1):
        super().__init__()
        units = [_Unit(inputs, outputs, kernel, stride)]
        units += [_Unit(outputs, outputs, kernel) for _ in range(count - 1)]
        self.convs = nn.Sequential(*units)

    def forward(self, features):
        return self.convs(features)


class _Block(nn.Module):
    """Residual block of ResNet-D: the shortcut is pooled, then projected."""

    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.conv1 = _Unit(inputs, outputs, kernel, stride)
        self.conv2 = _Unit(outputs, outputs, kernel, active=False)
        ways: list[nn.Module] = []
        if any(side != 1 for side in stride):
            ways.append(nn.AvgPool3d(stride, stride))
        if inputs != outputs:
            ways.append(_Unit(inputs, outputs, [1, 1, 1], bias=False, active=False))
        self.skip = nn.Sequential(*ways)

    def forward(self, features):
        return nn.functional.leaky_relu(self.conv2(self.conv1(features)) + self.skip(features), 0.01)


class _Blocks(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, features):
        return self.blocks(features)


def _residual_stage(inputs, features, kernel, stride, blocks):
    first = _Block(inputs, features, kernel, stride)
    return _Blocks([first, *(_Block(features, features, kernel, [1, 1, 1]) for _ in range(blocks - 1))])


def _plain_stage(inputs, features, kernel, stride, blocks):
    return nn.Sequential(_Stack(blocks, inputs, features, kernel, stride))
