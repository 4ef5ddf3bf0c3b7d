"""A whole synthesis step (paint, losses, gradients of both networks, verdict) against SciPy and plain autograd.

The reference is written from the formulas of the method, densely over the whole crop, and calls no code of ours but the
networks: the 3-D U-Nets and a segmentor of 7 outputs (abdomen) or 2 (chest).
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import conv3d

from freetumor_runtime.checkpoints.loading import LoadedSegmentor
from freetumor_runtime.checkpoints.matching import MatchReport
from freetumor_runtime.config.training import OptimizerSpec
from freetumor_runtime.jobs.train_synthesis import discriminator_part, generator_part
from freetumor_runtime.models.segmentor import build_segmentor, freeze
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.synthesis.crop_painting import CropPainter, measures_of
from freetumor_runtime.synthesis.painting import TumorPainter
from freetumor_runtime.training.learner import Learner
from freetumor_runtime.training.ranks import Ranks
from tests.synthesis.test_crop_painting import NOTHING, TEXTURE, crop, tumor

CPU = torch.device("cpu")
RANKS = Ranks(0, 1, CPU, None)
WINDOWS = {"abdomen": (-175.0, 250.0), "chest": (-1000.0, 500.0)}
SIDES = (24, 24, 16)
SIGMA, START, ORIGIN = 1.2, (3, 5, 7), (3, 9, 10)


def setting(region):
    chest = region == "chest"
    organ = SimpleNamespace(name="lung" if chest else "liver", label=1, tumorLabel=2, channel=0)
    other = SimpleNamespace(name="pancreas", label=3, tumorLabel=4, channel=1)
    spec = SimpleNamespace(
        region=region,
        organs=[organ] if chest else [organ, other],
        windowHu=WINDOWS[region],
        spacingMm=(1.5, 1.5, 1.5),
        synthesis=SimpleNamespace(measureAlreadySeen=False, measures=()),
        generator=None,
        precision="fp32",
        reproducible=False,
        accumulation=1,
        itemsPerStep=2,
        adversarialWeight=0.5 if chest else 0.1,
        optimizer=OptimizerSpec("adam", 1e-4, 0.0, "constant", 0, None),
    )
    torch.manual_seed(4)
    networks = UNet3d(len(spec.organs), 2).train(), UNet3d(3, 2).train()
    outputs = 2 if chest else 7
    baseline = build_segmentor("small", outputs=outputs, feature_size=4, levels=2, patch_merging="corrected")
    tumors = (1,) if chest else (2, 4, 6)
    return spec, *networks, freeze(baseline), tumors


def crops(organ):
    """Two crops of another intensity; each has a real tumor and a planned one for either draw."""
    for scale in (1.0, 0.8):
        planned = tumor(organ, ORIGIN, 0.5)
        sent = crop([planned, replace(planned, draw=1)])
        if organ == "lung":
            sent = replace(sent, label=torch.where(sent.label == 3, 0, sent.label).to(torch.uint8))
        image_hu = (sent.image_hu * scale).to(torch.int16)
        yield replace(sent, image_hu=image_hu[..., : SIDES[2]], label=sent.label[..., : SIDES[2]], augmentation=NOTHING)


def reference(sent, raw_CXYZ, region):
    """(fake image, roles) of a crop, by SciPy and a dense convolution."""
    low, high = WINDOWS[region]
    image = ((sent.image_hu.double() - low) / (high - low)).clamp(0, 1)
    shape = torch.zeros(SIDES, dtype=torch.bool)
    box = tuple(slice(at, at + side) for at, side in zip(ORIGIN, (5, 4, 3), strict=True))
    shape[box] = sent.tumors[0].box > 0
    role_1, real = sent.label == 1, (sent.label == 2) | (sent.label == 4)
    edge = torch.from_numpy(gaussian_filter((shape & (role_1 | real)).double().numpy(), SIGMA))
    raw = raw_CXYZ[0].double()
    difference = torch.sigmoid(raw) if region == "chest" else torch.tanh(raw) * role_1
    line = torch.exp(-(torch.arange(-3.0, 4.0, dtype=torch.float64) ** 2) / 2)
    kernel = line[:, None, None] * line[:, None] * line
    difference = conv3d(difference[None, None], (kernel / kernel.sum())[None, None], padding=3)[0, 0]
    texture = TEXTURE.volume[tuple(slice(at, at + side) for at, side in zip(START, SIDES, strict=True))].double()
    sign = 1 if region == "chest" else -1
    fake = torch.where(role_1, image + sign * edge * difference * texture, image).float()
    return fake, torch.where(shape & role_1, 3, torch.where(real, 2, role_1.long()))


def pooled(values, where):
    return (values * where).sum() / (where.sum() + 1e-6)


def gradients(network):
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("region", ["abdomen", "chest"])
def test_a_step_is_that_of_the_formulas(region):
    spec, generator, discriminator, baseline, tumors = setting(region)
    sent = list(crops(spec.organs[0].name))
    painter = CropPainter(spec.windowHu, TumorPainter(region, spec.organs, False, TEXTURE, CPU))
    judge = LoadedSegmentor(baseline, tumors, {}, {}, MatchReport("", (), (), (), ()))
    augmented = painter.augment(sent)
    learner = Learner(generator, spec, RANKS)
    discriminator.requires_grad_(False)
    told = generator_part(spec, RANKS, painter, judge, learner, discriminator, augmented, 0)
    ours_g = gradients(generator)
    learner_d = Learner(discriminator.requires_grad_(True), spec, RANKS)
    loss_d = discriminator_part(spec, RANKS, painter, learner_d, generator, augmented, 0)
    ours_d = gradients(discriminator)

    low, high = WINDOWS[region]
    images = torch.stack([((one.image_hu.float() - low) / (high - low)).clamp(0, 1) for one in sent])[:, None]
    generator.zero_grad()
    discriminator.zero_grad()
    pairs = [reference(one, raw, region) for one, raw in zip(sent, generator(images), strict=True)]
    fakes, roles = torch.stack([fake for fake, _ in pairs])[:, None], torch.stack([role for _, role in pairs])
    torch.testing.assert_close(told.fake_B1XYZ, fakes, rtol=0, atol=1e-6)
    measured = measures_of(spec, told.painted)
    assert [int((role == 3).sum()) for role in roles] == [one.synthetic_voxels for one in measured]
    p_d, p_s = discriminator(fakes).softmax(1), baseline(fakes).softmax(1)
    adversarial = 1 - pooled(p_d[:, 1], roles == 3)
    segmentation = 1 - pooled(p_s[:, list(tumors)].sum(1), roles == 3)
    total = spec.adversarialWeight * adversarial + segmentation
    torch.testing.assert_close(told.losses, torch.stack([total, adversarial, segmentation]), rtol=0, atol=1e-5)
    total.backward()
    assert max(float(one.abs().max()) for one in ours_g) > 0
    for ours, theirs in zip(ours_g, gradients(generator), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
    # the verdict: the share of the synthetic voxels that the baseline calls a tumor
    called = torch.isin(baseline(fakes).argmax(1), torch.tensor(tumors))
    seen = [int((one & (role == 3)).sum()) for one, role in zip(called, roles, strict=True)]
    assert [one.seen_voxels for one in measured] == seen

    discriminator.zero_grad()
    p_d = discriminator(fakes.detach()).softmax(1)
    expected = ((1 - pooled(p_d[:, 2], roles == 3)) + (1 - pooled(p_d[:, 1], roles == 2))) / 2
    torch.testing.assert_close(loss_d[0], expected, rtol=0, atol=1e-5)
    expected.backward()
    for ours, theirs in zip(ours_d, gradients(discriminator), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
