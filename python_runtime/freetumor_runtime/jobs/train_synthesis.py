"""Synthesis training (METHOD 7): a generator paints tumors that a frozen segmentor sees and a discriminator believes.

    freetumor train --config configs/debug-synthesis.yaml

A step is one G step (the tumors of draw 0) and one D step on the same crops with the fresh tumors of draw 1, painted by
the generator just updated. Gradients are cleared before each.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from freetumor_runtime.config import TrainingSpec
from freetumor_runtime.data.frames import CropMeasures, FrameSource
from freetumor_runtime.events import CheckpointSaved, Event, Finished, Ready, StepDone
from freetumor_runtime.models.checkpoint import synthesis_metadata
from freetumor_runtime.synthesis.losses import (
    adversarial_loss,
    discriminator_loss,
    segmentation_loss,
)
from freetumor_runtime.synthesis.render import SYNTHETIC
from freetumor_runtime.training.boundary import Boundary, LiveCommand
from freetumor_runtime.training.optimization import build_optimizer, set_learning_rate
from freetumor_runtime.training.painting import Canvas, Painter, measures_of
from freetumor_runtime.training.pictures import Pictures
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.start import build_gan, count_parameters, warm_up
from freetumor_runtime.training.state import (
    checkpoint_due,
    load_checkpoint,
    made_under,
    random_state,
    rate_to_go_on_with,
    restore_network,
    restore_optimizer,
    restore_random_state,
    save_checkpoint,
)


def train_synthesis(
    spec: TrainingSpec, ranks: Ranks, feed: FrameSource, poll: Callable[[], list[LiveCommand]]
) -> Iterator[Event]:
    generator, discriminator, notes = build_gan(spec, ranks.device)
    yield from notes
    painter = replace(Painter.build(spec, ranks.device), generator=None)
    baseline = painter.baseline
    assert baseline is not None
    optimizer_g = build_optimizer(spec.optimizer, generator.parameters())
    optimizer_d = build_optimizer(spec.optimizer, discriminator.parameters())
    learning_rate, step = spec.optimizer.learningRate, 0

    if spec.resumeFrom is not None:
        model, state = load_checkpoint(spec.resumeFrom, ranks.device)
        for name, network in (("netG", generator), ("netD", discriminator)):
            restore_network(spec.resumeFrom, name, network, weights_of(name, model["state_dict"]))
        for name, optimizer in (("optimizerG", optimizer_g), ("optimizerD", optimizer_d)):
            restore_optimizer(spec.resumeFrom, name, optimizer, state[name], spec.optimizer)
        learning_rate, step = rate_to_go_on_with(state, spec.optimizer), state["step"]
        restore_random_state(state["random"])

    shared_g, shared_d = ranks.share(generator), ranks.share(discriminator)
    warm_up(shared_g, spec, ranks)
    warm_up(shared_d, spec, ranks)
    yield Ready(step, {"generator": count_parameters(generator), "discriminator": count_parameters(discriminator)})

    def save(at: int, reason: str) -> CheckpointSaved:
        directory = ""
        if ranks.first:
            networks = {"netG": generator, "netD": discriminator, "netSeg": baseline}
            state = {
                "step": at,
                "rate": learning_rate,
                "configuredRate": spec.optimizer.learningRate,
                "optimizerG": optimizer_g.state_dict(),
                "optimizerD": optimizer_d.state_dict(),
                "random": random_state(),
            }
            weights = {
                f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()
            }
            model = {"state_dict": weights, "epoch": at, "freetumor": synthesis_metadata(spec, painter.baseline_facts)}
            directory = save_checkpoint(spec.runDirectory, at, model, state, made_under(spec, ranks))
        ranks.barrier()
        return CheckpointSaved(at, directory, reason)

    boundary = Boundary(ranks, poll)
    pictures = Pictures(spec, step)
    feed.request(step)
    while step < spec.steps:
        decision = yield from boundary.decide(step)
        learning_rate = learning_rate if decision.learning_rate is None else decision.learning_rate
        if decision.save or decision.stop:
            yield save(step, "stop" if decision.stop else "command")
        if decision.stop:
            yield Finished(step, "stopped", decision.reason)
            return
        if decision.paused:
            continue

        started = time.perf_counter()
        waited_before = feed.waited_seconds
        crops = feed.frames(step)
        if step + 1 < spec.steps:
            feed.request(step + 1)
        for optimizer in (optimizer_g, optimizer_d):
            set_learning_rate(optimizer, learning_rate)
        canvases = painter.canvases(crops)
        image_B1XYZ = torch.stack([canvas.image_XYZ for canvas in canvases])[:, None]

        # G step: D is asked, not taught
        optimizer_g.zero_grad(set_to_none=True)
        discriminator.requires_grad_(False)
        fake_B1XYZ, roles_BXYZ = paint_batch(painter, canvases, shared_g(image_B1XYZ), draw=0)
        adversarial = adversarial_loss(discriminator(fake_B1XYZ).softmax(1), roles_BXYZ)
        probabilities_S = baseline(fake_B1XYZ).softmax(1)
        segmentation = segmentation_loss(probabilities_S, roles_BXYZ, painter.baseline_tumors)
        generator_loss = spec.adversarialWeight * adversarial + segmentation
        generator_loss.backward()
        clip(generator, spec)
        optimizer_g.step()
        measures = measure(spec, canvases, fake_B1XYZ.detach(), roles_BXYZ, probabilities_S, painter.baseline_tumors)
        feed.send_measures(step, measures, wants_verdicts=False)
        if ranks.first and pictures.due(step):
            leave_picture(pictures, step, canvases, fake_B1XYZ.detach(), roles_BXYZ, measures)

        # D step: fresh tumors by the generator just updated
        optimizer_d.zero_grad(set_to_none=True)
        discriminator.requires_grad_(True)
        with torch.no_grad():
            fresh_B1XYZ, fresh_roles_BXYZ = paint_batch(painter, canvases, generator(image_B1XYZ), draw=1)
        loss_d = discriminator_loss(shared_d(fresh_B1XYZ).softmax(1), fresh_roles_BXYZ)
        loss_d.backward()
        clip(discriminator, spec)
        optimizer_d.step()
        feed.ack(step)

        losses = {
            "generator": generator_loss,
            "adversarial": adversarial,
            "segmentation": segmentation,
            "discriminator": loss_d,
        }
        totals = torch.tensor([float(value.detach()) for value in losses.values()], dtype=torch.float64)
        means = (ranks.sum(totals) / ranks.size).tolist()
        seconds = time.perf_counter() - started
        yield StepDone(
            step, dict(zip(losses, means, strict=True)), learning_rate, seconds, feed.waited_seconds - waited_before
        )
        step += 1
        if checkpoint_due(spec, step):
            yield save(step, "end" if step == spec.steps else "interval")
    yield Finished(step, "completed", "all steps are done")


def weights_of(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """One network of a synthesis checkpoint, without its prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def paint_batch(painter: Painter, canvases: list[Canvas], raw_BCXYZ: Tensor, draw: int) -> tuple[Tensor, Tensor]:
    """Paints the tumors of one draw on every crop: images [B, 1, X, Y, Z] and roles uint8 [B, X, Y, Z]."""
    images, roles = [], []
    for canvas, raw_CXYZ in zip(canvases, raw_BCXYZ, strict=True):
        strokes = [stroke for stroke in canvas.strokes if stroke.tumor.draw == draw]
        if strokes:
            image_XYZ, roles_XYZ = painter.compose(canvas, raw_CXYZ, strokes)
        else:
            image_XYZ, roles_XYZ = canvas.image_XYZ, painter.plain_roles(canvas)
        images.append(image_XYZ)
        roles.append(roles_XYZ)
    return torch.stack(images)[:, None], torch.stack(roles)


def measure(
    spec: TrainingSpec,
    canvases: list[Canvas],
    fake_B1XYZ: Tensor,
    roles_BXYZ: Tensor,
    probabilities_BCXYZ: Tensor,
    tumors: tuple[int, ...],
) -> list[CropMeasures]:
    """What the baseline saw of each crop's tumors of draw 0, from the pass that the loss already needed."""
    called = probabilities_BCXYZ.detach().argmax(1)
    sees = torch.isin(called, torch.tensor(tumors, device=called.device))
    measures = []
    for at, canvas in enumerate(canvases):
        strokes = tuple(stroke for stroke in canvas.strokes if stroke.tumor.draw == 0)
        if strokes:
            synthetic = roles_BXYZ[at] == SYNTHETIC
            seen = int((sees[at] & synthetic).sum())
            drawn = replace(canvas, strokes=strokes)
            measures.append(measures_of(spec, drawn, fake_B1XYZ[at, 0], roles_BXYZ[at], seen, 0))
    return measures


def leave_picture(
    pictures: Pictures,
    step: int,
    canvases: list[Canvas],
    fake_B1XYZ: Tensor,
    roles_BXYZ: Tensor,
    measures: list[CropMeasures],
) -> None:
    """Of the first crop of the step that was painted."""
    measured = {(one.item, one.crop): one for one in measures if one.synthetic_voxels > 0}
    for at, canvas in enumerate(canvases):
        one = measured.get((canvas.crop.item, canvas.crop.crop))
        if one is not None:
            pictures.save(step, canvas.crop, canvas.image_XYZ, fake_B1XYZ[at, 0], roles_BXYZ[at] == SYNTHETIC, one)
            return


def clip(network: nn.Module, spec: TrainingSpec) -> None:
    if spec.optimizer.gradientClip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), spec.optimizer.gradientClip)
