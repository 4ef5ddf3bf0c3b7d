"""torch.compile captures each network, and painting, as one graph. Graphs run eagerly here, without a compiler."""

import pytest
import torch

from freetumor_runtime.models.nnunet import NnUNet, Stage
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.synthesis.render import paint

STAGES = [Stage(4, (3, 3, 3), (1, 1, 1), 1), Stage(8, (3, 3, 3), (2, 2, 2), 1), Stage(8, (3, 3, 3), (2, 2, 2), 1)]
# the smallest sides; an instance norm needs more than one voxel
SIDES = {"swinunetr": (32, 32, 64)}


def network(kind, activation_checkpointing=False):
    torch.manual_seed(0)
    if kind == "generator":
        return UNet3d(3, 2, activation_checkpointing)
    return build_segmentor(
        kind,
        outputs=3,
        feature_size=12 if kind == "swinunetr" else 4,
        levels=2,
        patch_merging="corrected",
        stages=STAGES,
        activation_checkpointing=activation_checkpointing,
    )


def one_graph(function):
    """Compile a function; a break in its graph is an error when it is called."""
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, dynamic=False, backend="eager")


def gradients(net, image):
    outputs = net(image)
    parts = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    sum(part.square().mean() for part in parts).backward()
    learned = [weight.grad for weight in net.parameters() if weight.grad is not None]
    net.zero_grad()
    return [part.detach() for part in parts] + learned


@pytest.mark.parametrize(
    ("kind", "checkpointing"),
    [(kind, on) for kind in ("small", "resenc", "unet", "generator") for on in (False, True)] + [("swinunetr", False)],
)
def test_a_network_that_learns_is_one_graph(kind, checkpointing):
    net = network(kind, checkpointing).train()
    if isinstance(net, NnUNet):
        net.supervise(True)
    image = torch.rand(1, 1, *SIDES.get(kind, (16, 16, 16)), generator=torch.Generator().manual_seed(1))
    wanted = gradients(net, image)
    compiled = one_graph(net)
    for part, like in zip(gradients(compiled, image), wanted, strict=True):
        torch.testing.assert_close(part, like, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["small", "resenc", "generator"])
def test_a_frozen_network_is_one_graph(kind):
    net, image = network(kind).eval(), torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(one_graph(net)(image), net(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("region", ["abdomen", "chest"])
def test_painting_is_one_graph(region):
    draw = torch.Generator().manual_seed(2)
    image, raw, texture = (torch.rand(*shape, generator=draw) for shape in ((16,) * 3, (3, *(16,) * 3), (16,) * 3))
    edge, roles = torch.zeros(16, 16, 16, dtype=torch.bool), torch.ones(16, 16, 16, dtype=torch.uint8)
    edge[5:9, 5:9, 5:9], roles[5:9, 5:9, 5:9] = True, 3
    inside = (slice(5, 9),) * 3

    def painted(image, raw, edge, texture, roles):
        return paint(
            image, raw, edge, texture, roles, sigma=1.0, channel=1, region=region, handcrafted_difference=0.1,
            inside=inside,
        )  # fmt: skip

    arguments = image, raw, edge, texture, roles
    assert not torch.equal(painted(*arguments), image)
    torch.testing.assert_close(one_graph(painted)(*arguments), painted(*arguments), rtol=0, atol=1e-6)


def test_a_swinunetr_refuses_sides_that_it_cannot_halve():
    with pytest.raises(ValueError, match=r"expected multiples of 32, found \(32, 32, 48\)"):
        network("swinunetr")(torch.zeros(1, 1, 32, 32, 48))
