"""The reference side of training_step.py: plain PyTorch and MONAI from method.md. Only the inputs are freetumor's."""

import argparse
from collections.abc import Iterator

import torch
from plain_small import SmallUNet, dice_and_cross_entropy
from plain_unet import UNet
from torch import Tensor, nn
from torch.nn import functional
from training_step_sides.ours import LEARNING_RATE, SEED, WEIGHTS, all_crops, specification

SYNTHETIC, REAL = 3, 2


def steps(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    torch.set_num_threads(options.threads)
    if options.step != "small":
        torch.use_deterministic_algorithms(True, warn_only=options.device == "cuda")
        # as on our side: it costs time, and every element is written
        torch.utils.deterministic.fill_uninitialized_memory = False
    yield from {"synthesis": synthesis, "segmentation": segmentation, "small": small}[options.step](options)


def small(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train the small segmentor: PyTorch's layers, loss by autograd, fused AdamW, and the default allocator."""
    made = all_crops(options)
    network = SmallUNet(7, 16, 3).train()
    network.load_state_dict(torch.load(options.folder / "segmentor.pt", weights_only=True)["state_dict"])
    rate = LEARNING_RATE["small"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01, amsgrad=True, fused=True)
    for crops in made[: options.steps + 1]:
        image = torch.stack([((crop.image_hu.float() + 175) / 425).clamp(0, 1) for crop in crops])[:, None]
        label = torch.stack([crop.label for crop in crops]).long()
        optimizer.zero_grad()
        total = dice_and_cross_entropy(network(image), label, WEIGHTS)
        total.backward()
        optimizer.step()
        yield {"total": total.item()}


def synthesis(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    generator, discriminator, judge = load_gan(options)
    discriminator.network.load_state_dict(discriminator_weights(options))
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.999)) for net in (generator, discriminator)]
    for crops in all_crops(options)[: options.steps + 1]:
        canvas = [Canvas(crop, options) for crop in crops]
        image = torch.stack([one.image for one in canvas])[:, None]
        for optimizer in optimizers:
            optimizer.zero_grad()
        fake, roles = paint(canvas, generator(image), 0)
        real_by_d = discriminator(fake).softmax(1)[:, 1]
        adversarial = 1 - pooled(real_by_d, roles == SYNTHETIC)
        seen = judge(fake).softmax(1)[:, [2, 4, 6]].sum(1)
        segmentation_term = 1 - pooled(seen, roles == SYNTHETIC)
        loss_g = 0.1 * adversarial + segmentation_term
        loss_g.backward()
        optimizers[0].step()

        for net in (discriminator, judge):
            net.zero_grad()
        with torch.no_grad():
            fresh, roles = paint(canvas, generator(image), 1)
            judge(fresh).argmax(1)  # the second call: the detected fraction
        told = discriminator(fresh).softmax(1)
        loss_d = ((1 - pooled(told[:, 2], roles == SYNTHETIC)) + (1 - pooled(told[:, 1], roles == REAL))) / 2
        loss_d.backward()
        optimizers[1].step()
        yield {
            "generator": loss_g.item(),
            "adversarial": adversarial.item(),
            "segmentation": segmentation_term.item(),
            "discriminator": loss_d.item(),
        }


def segmentation(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    from monai.losses import DiceCELoss

    generator, _, judge = load_gan(options)
    network = swin_unetr(options, 3).train()
    network.load_state_dict(torch.load(options.folder / "segmentor.pt", weights_only=True)["state_dict"])
    learner = Placed(network, options)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-4, weight_decay=0.01, amsgrad=True)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    mapped = torch.tensor([0, 1, 2, 2], device=options.device)
    for crops in all_crops(options)[: options.steps + 1]:
        images, labels = [], []
        for crop in crops:
            canvas = Canvas(crop, options)
            with torch.no_grad():
                fake, roles = paint([canvas], generator(canvas.image[None, None]), 0)
                called = judge(fake).argmax(1)
            synthetic = roles == SYNTHETIC
            share = (torch.isin(called, torch.tensor([2, 4, 6], device=options.device)) & synthetic).sum() / (
                synthetic.sum() + 1e-6
            )
            assert 0 <= share <= 1  # both sides take every tumor
            images.append(fake[0])
            labels.append(mapped[roles.long()])
        optimizer.zero_grad()
        total = loss(learner(torch.stack(images)), torch.stack(labels))
        total.backward()
        optimizer.step()
        yield {"total": total.item()}


class Canvas:
    """Return a windowed crop (no augmentation was drawn), its tumors' shapes and textures."""

    def __init__(self, crop, options: argparse.Namespace) -> None:
        from freetumor_runtime.synthesis.texture import TextureBank

        spec = specification(options)
        bank = TextureBank(spec.synthesis.textureDirectory, spec.synthesis.textureSizeVoxels, 0)
        self.image = ((crop.image_hu.to(options.device).float() + 175) / 425).clamp(0, 1)
        self.label = crop.label.to(options.device)
        self.sigma = crop.tumors[0].edge_sigma
        self.shapes, self.textures = {}, {}
        for tumor in crop.tumors:
            shape = torch.zeros_like(self.label)
            where = tuple(slice(at, at + length) for at, length in zip(tumor.box_origin, tumor.box.shape, strict=True))
            shape[where] = tumor.box.to(options.device)
            self.shapes[tumor.draw] = shape
            texture = bank.part(tumor.texture_index, tumor.texture_start, self.label.shape)
            self.textures[tumor.draw] = texture.to(options.device)


def paint(canvases: list[Canvas], raw: Tensor, draw: int) -> tuple[Tensor, Tensor]:
    """Paint by docs/method.md 6: images [B, 1, X, Y, Z] float32 and roles [B, X, Y, Z]."""
    from scipy.ndimage import gaussian_filter

    kernel = torch.exp(-(torch.arange(-3.0, 4.0, device=raw.device).double() ** 2) / 2)
    kernel = kernel[:, None, None] * kernel[:, None] * kernel
    kernel = (kernel / kernel.sum())[None, None]
    images, roles = [], []
    for canvas, output in zip(canvases, raw, strict=True):
        shape = canvas.shapes[draw] > 0
        edge = shape & (canvas.label > 0)
        role = torch.where(shape & (canvas.label == 1), SYNTHETIC, canvas.label)
        organ = (role == 1) | (role == SYNTHETIC)
        difference = torch.tanh(output[0].double()) * organ
        difference = functional.conv3d(difference[None, None], kernel, padding=3)[0, 0]
        weight = torch.from_numpy(gaussian_filter(edge.double().cpu().numpy(), canvas.sigma)).to(raw.device)
        painted = (canvas.image.double() - weight * difference * canvas.textures[draw].double()).float()
        images.append(torch.where(organ, painted, canvas.image))
        roles.append(role)
    return torch.stack(images)[:, None], torch.stack(roles)


def pooled(probability: Tensor, where: Tensor) -> Tensor:
    return (probability * where).sum() / (where.sum() + 1e-6)


class Placed(nn.Module):
    """Put a network on the device; on a GPU in bfloat16, as ours. Painting and losses have 32 and 64 bits on both
    sides.
    """

    def __init__(self, network: nn.Module, options: argparse.Namespace) -> None:
        super().__init__()
        self.network = network.to(options.device)
        self._device = options.device

    def forward(self, image: Tensor) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16, enabled=self._device == "cuda"):
            return self.network(image).float()


def load_gan(options: argparse.Namespace) -> tuple[Placed, Placed, Placed]:
    generator = UNet(3, options.width)
    generator.load_state_dict(part(options, "netG"))
    judge = swin_unetr(options, 7).eval()
    judge.load_state_dict(torch.load(options.folder / "baseline.pt", weights_only=True)["state_dict"])
    networks = (generator.train(), UNet(3, options.width).train(), judge)
    return tuple(Placed(network, options) for network in networks)


def part(options: argparse.Namespace, name: str) -> dict[str, Tensor]:
    weights = torch.load(options.folder / "gan.pt", weights_only=True)
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def discriminator_weights(options: argparse.Namespace) -> dict[str, Tensor]:
    """Return the initial discriminator weights that our job draws from its seed."""
    torch.manual_seed(SEED)
    UNet(3, options.width)
    return UNet(3, options.width).state_dict()


def swin_unetr(options: argparse.Namespace, outputs: int) -> nn.Module:
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(
        in_channels=1,
        out_channels=outputs,
        feature_size=options.feature_size,
        use_checkpoint=not options.no_checkpointing,
        use_v2=True,
    )
