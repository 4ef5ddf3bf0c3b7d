"""Synthesis training (docs/method.md 7): a generator paints tumors against a frozen segmentor and a discriminator.

    freetumor train --config configs/debug-synthesis.yaml

A step is one G step (the tumors of draw 0) and one D step on the same crops with the fresh tumors of draw 1, painted by
the generator just updated. Gradients are cleared before each. The frozen segmentor is asked once a step, and neither it
nor, in the G step, the discriminator has gradients of its weights.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.loading import LoadedSegmentor
from freetumor_runtime.checkpoints.metadata import licence_entry, synthesis_metadata
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crop_source import CropMeasures, CropSource
from freetumor_runtime.events import CheckpointSaved, Event, Finished, Ready
from freetumor_runtime.inference.nnunet_judge import NnUNetJudge
from freetumor_runtime.synthesis.crop_painting import (
    AugmentedCrop,
    CropPainter,
    PaintedTumors,
    is_any,
    load_baseline,
    measures_of,
)
from freetumor_runtime.synthesis.losses import (
    adversarial_loss,
    discriminator_loss,
    segmentation_loss,
)
from freetumor_runtime.synthesis.render import SYNTHETIC
from freetumor_runtime.training.boundary import Boundary, LiveCommand
from freetumor_runtime.training.heap import LARGEST_OF_TRAINING, keep_freed_memory
from freetumor_runtime.training.learner import Learner, mean_losses, mixed_precision, parts_of_step
from freetumor_runtime.training.pictures import Pictures
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.start import build_gan, count_parameters, refuse_no_compiler, warm_up
from freetumor_runtime.training.state import (
    checkpoint_due,
    load_checkpoint,
    made_under,
    owner_of,
    random_state,
    rate_to_go_on_with,
    restore_random_state,
    save_checkpoint,
)
from freetumor_runtime.training.step_meter import StepMeter
from freetumor_runtime.training.step_profile import stage, stage_of
from freetumor_runtime.training.tumor_examples import TumorExamples


def train_synthesis(
    spec: TrainingSpec, ranks: Ranks, feed: CropSource, poll: Callable[[], list[LiveCommand]]
) -> Iterator[Event]:
    refuse_no_compiler(spec)
    keep_freed_memory(ranks.device, LARGEST_OF_TRAINING)
    generator, discriminator, notes = build_gan(spec, ranks.device)
    yield from notes
    assert spec.baseline is not None
    painter = CropPainter.build(spec, ranks.device)
    baseline = load_baseline(spec, spec.baseline, ranks.device)
    learner_g, learner_d = Learner(generator, spec, ranks), Learner(discriminator, spec, ranks)
    learning_rate, step = spec.optimizer.learningRate, 0

    if spec.resumeFrom is not None:
        model, state = load_checkpoint(spec.resumeFrom, ranks.device)
        for name, learner in (("netG", learner_g), ("netD", learner_d)):
            learner.restore(spec.resumeFrom, name, weights_of(name, model["state_dict"]), state, name[-1])
        learning_rate, step = rate_to_go_on_with(state, spec.optimizer), state["step"]
        restore_random_state(state["random"])

    for learner in (learner_g, learner_d):
        warm_up(learner.share(), spec, ranks)
    yield Ready(step, {"generator": count_parameters(generator), "discriminator": count_parameters(discriminator)})

    def save(at: int, reason: str) -> CheckpointSaved:
        with stage("save"):
            return CheckpointSaved(at, write(at), reason)

    def write(at: int) -> str:
        directory = ""
        if ranks.first:
            networks = {"netG": generator, "netD": discriminator}
            # an nnU-Net stays in its folder, which has the plans that it needs
            if not isinstance(baseline.network, NnUNetJudge):
                networks["netSeg"] = baseline.network
            state = {
                "step": at,
                "rate": learning_rate,
                "configuredRate": spec.optimizer.learningRate,
                **learner_g.state("G"),
                **learner_d.state("D"),
                "random": random_state(),
            }
            weights = {
                f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()
            }
            about = {**synthesis_metadata(spec, baseline.facts), **licence_entry(spec.licences)}
            model = {"state_dict": weights, "epoch": at, "freetumor": about}
            directory = save_checkpoint(spec.runDirectory, at, model, state, made_under(spec, ranks), owner_of(spec))
        ranks.barrier()
        return directory

    boundary = Boundary(ranks, poll)
    meter = StepMeter(ranks.device, feed)
    for name, network in (("forward", generator), ("forward", discriminator), ("judge", baseline.network)):
        stage_of(name, network)
    pictures = Pictures(spec, step)
    examples = TumorExamples(spec, step) if ranks.first and spec.pictures > 0 else None
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

        meter.begin()
        with stage("data wait"):
            crops = feed.crops(step)
        if step + 1 < spec.steps:
            feed.request(step + 1)
        with stage("paint"):
            parts = in_parts(painter.augment(crops), parts_of_step(spec, ranks))

        # G step: D is asked, not taught
        discriminator.requires_grad_(False)
        learner_g.begin(learning_rate)
        results = [
            generator_part(spec, ranks, painter, baseline, learner_g, discriminator, part, at) for at, part in parts
        ]
        learner_g.step()

        # D step: fresh tumors by the generator just updated
        learner_d.teach(True)
        learner_d.begin(learning_rate)
        losses_d = [discriminator_part(spec, ranks, painter, learner_d, generator, part, at) for at, part in parts]
        learner_d.step()

        # read after both steps: a GPU would wait between them
        measures = measures_of(spec, [one for part in results for one in part.painted])
        feed.send_measures(step, measures, wants_verdicts=False)
        if ranks.first and pictures.due(step):
            leave_picture(pictures, step, results, measures)
        if examples is not None:
            keep_examples(examples, step, results, measures)
        feed.ack(step)

        names = ("generator", "adversarial", "segmentation", "discriminator")
        losses = [torch.cat([part.losses, loss_d]) for part, loss_d in zip(results, losses_d, strict=True)]
        means = mean_losses(losses, spec, ranks)
        yield meter.done(step, dict(zip(names, means, strict=True)), learning_rate)
        step += 1
        if checkpoint_due(spec, step):
            yield save(step, "end" if step == spec.steps else "interval")
    yield Finished(step, "completed", "all steps are done")


@dataclass(frozen=True)
class PartResult:
    """Result of the G step for a part: losses (generator, adversarial, segmentation) [3], and the painted crops."""

    losses: Tensor
    crops: list[AugmentedCrop]
    fake_B1XYZ: Tensor
    roles_BXYZ: Tensor
    painted: list[PaintedTumors]


def generator_part(
    spec: TrainingSpec,
    ranks: Ranks,
    painter: CropPainter,
    baseline: LoadedSegmentor,
    learner: Learner,
    discriminator: nn.Module,
    crops: list[AugmentedCrop],
    at: int,
) -> PartResult:
    """Forward and backward of the G step for one part.

    The backward passes of D and S run one after the other, each down to the painted image: their activations are never
    in memory together, and the sum of their gradients in the image is the same.
    """
    with learner.part(at):
        with mixed_precision(spec, ranks):
            raw_BCXYZ = learner.shared(images_of(crops))
        with stage("paint"):
            painted_B1XYZ, roles_BXYZ = paint_batch(painter, crops, raw_BCXYZ, draw=0)
        fake_B1XYZ = painted_B1XYZ.detach().requires_grad_(True)
        with mixed_precision(spec, ranks):
            logits_D = discriminator(fake_B1XYZ)
        adversarial = adversarial_loss(logits_D.float().softmax(1), roles_BXYZ)
        with stage("backward"):
            learner.scaled(spec.adversarialWeight * adversarial).backward()
        del logits_D
        with mixed_precision(spec, ranks):
            logits_S = baseline.network(fake_B1XYZ)
        probabilities_S = logits_S.float().softmax(1)
        segmentation = segmentation_loss(probabilities_S, roles_BXYZ, baseline.tumor_outputs)
        with stage("backward"):
            learner.scaled(segmentation).backward()
        called_BXYZ = probabilities_S.detach().argmax(1)
        del logits_S, probabilities_S
        if painted_B1XYZ.requires_grad:
            learner.backward_from(painted_B1XYZ, fake_B1XYZ.grad)
        else:  # no crop of the part had room for a tumor, but other ranks wait for gradients
            learner.backward_from(raw_BCXYZ, torch.zeros_like(raw_BCXYZ))
    fake_B1XYZ = fake_B1XYZ.detach()
    adversarial, segmentation = adversarial.detach(), segmentation.detach()
    total = spec.adversarialWeight * adversarial + segmentation
    painted = painted_tumors(crops, fake_B1XYZ, roles_BXYZ, called_BXYZ, baseline.tumor_outputs)
    return PartResult(torch.stack([total, adversarial, segmentation]), crops, fake_B1XYZ, roles_BXYZ, painted)


def discriminator_part(
    spec: TrainingSpec,
    ranks: Ranks,
    painter: CropPainter,
    learner: Learner,
    generator: nn.Module,
    crops: list[AugmentedCrop],
    at: int,
) -> Tensor:
    """Forward and backward of the D step for one part: its loss [1]."""
    with torch.no_grad():
        with mixed_precision(spec, ranks):
            raw_BCXYZ = generator(images_of(crops))
        fresh_B1XYZ, roles_BXYZ = paint_batch(painter, crops, raw_BCXYZ, draw=1)
    with learner.part(at):
        with mixed_precision(spec, ranks):
            logits_D = learner.shared(fresh_B1XYZ)
        loss = discriminator_loss(logits_D.float().softmax(1), roles_BXYZ)
        learner.backward(loss)
    return loss.detach()[None]


def in_parts(crops: list[AugmentedCrop], parts: int) -> list[tuple[int, list[AugmentedCrop]]]:
    """Consecutive parts of equal size, numbered."""
    size = len(crops) // parts
    return [(at, crops[at * size : (at + 1) * size]) for at in range(parts)]


def weights_of(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of one network of a synthesis checkpoint, without its prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def images_of(crops: list[AugmentedCrop]) -> Tensor:
    """[B, 1, X, Y, Z]."""
    return torch.stack([crop.image_XYZ for crop in crops])[:, None]


def paint_batch(
    painter: CropPainter, crops: list[AugmentedCrop], raw_BCXYZ: Tensor, draw: int
) -> tuple[Tensor, Tensor]:
    """Paint the tumors of one draw on every crop; return images [B, 1, X, Y, Z] and roles uint8 [B, X, Y, Z]."""
    images, roles = [], []
    for crop, raw_CXYZ in zip(crops, raw_BCXYZ, strict=True):
        tumors = [placed for placed in crop.tumors if placed.tumor.draw == draw]
        if tumors:
            image_XYZ, roles_XYZ = painter.compose(crop, raw_CXYZ, tumors)
        else:
            image_XYZ, roles_XYZ = crop.image_XYZ, painter.plain_roles(crop)
        images.append(image_XYZ)
        roles.append(roles_XYZ)
    return torch.stack(images)[:, None], torch.stack(roles)


def painted_tumors(
    crops: list[AugmentedCrop],
    fake_B1XYZ: Tensor,
    roles_BXYZ: Tensor,
    called_BXYZ: Tensor,
    tumor_outputs: tuple[int, ...],
) -> list[PaintedTumors]:
    """Return each crop's tumors of draw 0, with what the baseline detected in the forward pass of the loss."""
    sees_BXYZ = is_any(called_BXYZ, tumor_outputs)
    painted = []
    for at, crop in enumerate(crops):
        tumors = [placed for placed in crop.tumors if placed.tumor.draw == 0]
        if tumors:
            painted.append(PaintedTumors(crop, tumors, fake_B1XYZ[at, 0], roles_BXYZ[at], sees_BXYZ[at], None))
    return painted


def leave_picture(pictures: Pictures, step: int, results: list[PartResult], measures: Sequence[CropMeasures]) -> None:
    """Leave a picture of the first painted crop of the step."""
    measured = {(one.item, one.crop): one for one in measures if one.synthetic_voxels > 0}
    for part in results:
        for at, crop in enumerate(part.crops):
            one = measured.get((crop.planned.item, crop.planned.crop))
            if one is not None:
                changed_XYZ = part.roles_BXYZ[at] == SYNTHETIC
                pictures.save(step, crop.planned, crop.image_XYZ, part.fake_B1XYZ[at, 0], changed_XYZ, one)
                return


def keep_examples(
    examples: TumorExamples, step: int, results: list[PartResult], measures: Sequence[CropMeasures]
) -> None:
    """Keep painted tumors, and real ones of the crops without a painted one."""
    measured = {(one.item, one.crop): one for one in measures}
    for part in results:
        for at, crop in enumerate(part.crops):
            one = measured.get((crop.planned.item, crop.planned.crop))
            if one is None:
                examples.keep_real(step, crop.planned, crop.image_XYZ)
            elif one.synthetic_voxels > 0:
                mask_XYZ = part.roles_BXYZ[at] == SYNTHETIC
                fake_XYZ = part.fake_B1XYZ[at, 0]
                examples.keep_painted(step, crop.planned, crop.image_XYZ, fake_XYZ, mask_XYZ, one, "recorded")
