"""The networks of nnU-Net, compared with those of dynamic-network-architectures."""

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.models.nnunet import NNUNET_KINDS, Stage, build_nnunet, is_alias

# as nnU-Net plans anisotropic scans: the first resolution keeps the slices
STAGES = (
    Stage(4, (1, 3, 3), (1, 1, 1), 1),
    Stage(8, (3, 3, 3), (1, 2, 2), 3),
    Stage(16, (3, 3, 3), (2, 2, 2), 4),
    Stage(16, (3, 3, 3), (2, 2, 2), 6),
)
IMAGE = torch.rand(2, 1, 8, 16, 16, generator=torch.Generator().manual_seed(3))


def of_package(kind, deep_supervision=False):
    blocks = [stage.blocks for stage in STAGES]
    residual = kind == "resenc"
    return (ResidualEncoderUNet if residual else PlainConvUNet)(
        1,
        len(STAGES),
        [stage.features for stage in STAGES],
        nn.Conv3d,
        [stage.kernel for stage in STAGES],
        [stage.stride for stage in STAGES],
        blocks,
        3,
        [1 if residual else 2] * 3,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=deep_supervision,
    )


def pair(kind, deep_supervision=False):
    torch.manual_seed(0)
    theirs = of_package(kind, deep_supervision)
    ours = build_nnunet(kind, STAGES, outputs=3)
    weights = {key: value for key, value in theirs.state_dict().items() if not is_alias(key)}
    ours.load_state_dict(weights, strict=True)
    return ours, theirs


@pytest.mark.parametrize("kind", NNUNET_KINDS)
def test_the_outputs_are_those_of_the_package_and_each_weight_has_one_key(kind):
    ours, theirs = pair(kind)
    wanted = theirs(IMAGE)
    assert torch.equal(ours(IMAGE), wanted)
    with torch.no_grad():
        # without gradients other CPU kernels are used, which sum in another order
        torch.testing.assert_close(ours(IMAGE), wanted, rtol=1e-4, atol=1e-5)
    assert sum(value.numel() for value in ours.state_dict().values()) == sum(one.numel() for one in theirs.parameters())


@pytest.mark.parametrize("kind", NNUNET_KINDS)
def test_deep_supervision_gives_all_resolutions_but_the_lowest_while_training(kind):
    ours, theirs = pair(kind, deep_supervision=True)
    ours.supervise(True)
    wanted = theirs(IMAGE)
    got = ours(IMAGE)
    assert len(got) == 2 and all(torch.equal(one, other) for one, other in zip(got, wanted[:2], strict=True))
    sum(one.square().mean() for one in got).backward()
    assert [name for name, weight in ours.named_parameters() if weight.requires_grad and weight.grad is None] == []
    assert torch.equal(ours.eval()(IMAGE), wanted[0])


def test_without_deep_supervision_only_the_finest_head_learns():
    ours, _ = pair("unet")
    ours.supervise(False)
    ours(IMAGE).square().mean().backward()
    assert [name for name, weight in ours.named_parameters() if weight.requires_grad and weight.grad is None] == []
    assert [any(one.requires_grad for one in head.parameters()) for head in ours.decoder.seg_layers] == [
        False,
        False,
        True,
    ]


def test_activation_checkpointing_gives_bit_identical_gradients():
    ours, _ = pair("resenc")
    gradients = []
    for ours.activation_checkpointing in (False, True):
        ours.zero_grad()
        ours(IMAGE).square().mean().backward()
        gradients.append([weight.grad.clone() for weight in ours.parameters() if weight.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_network_of_one_resolution_is_refused():
    with pytest.raises(ConfigError, match="expected at least 2, found 1"):
        build_nnunet("unet", STAGES[:1], outputs=3)
