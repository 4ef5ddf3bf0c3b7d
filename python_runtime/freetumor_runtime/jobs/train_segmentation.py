"""Segmentation training (docs/method.md 10): `baseline` on real tumors, `segmentation` with tumors painted online.

    freetumor train --config configs/debug-baseline.yaml

The crops of step s+1 are painted and their measures sent before the backward pass of step s, so that neither data nor
verdicts are waited for. After a rejected tumor, the next attempt of its crop is painted and judged. Without another
attempt, the crop stays untouched. Mixing comes after the verdicts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from freetumor_runtime.checkpoints.metadata import licence_entry, segmentor_metadata
from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.crop_source import CropSource, CropVerdict
from freetumor_runtime.data.crops import PlannedCrop, swap_slabs
from freetumor_runtime.data.label_ids import training_ids
from freetumor_runtime.events import CheckpointSaved, Event, Finished, Ready
from freetumor_runtime.synthesis.painted_crop import PaintedCrop, unpainted
from freetumor_runtime.training.boundary import Boundary, LiveCommand
from freetumor_runtime.training.heap import LARGEST_OF_TRAINING, keep_freed_memory
from freetumor_runtime.training.learner import Learner, mean_losses, mixed_precision, parts_of_step
from freetumor_runtime.training.optimization import SegmentationLoss, scheduled_learning_rate
from freetumor_runtime.training.pictures import Pictures
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.start import build_trained_segmentor, count_parameters, refuse_no_compiler, warm_up
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
from freetumor_runtime.training.validation import validate, validation_due

if TYPE_CHECKING:
    from freetumor_runtime.synthesis.crop_painting import OnlineSynthesis
    from freetumor_runtime.training.tumor_examples import TumorExamples

# by (item, crop)
Verdicts = dict[tuple[int, int], CropVerdict]


@dataclass(frozen=True)
class RenderedStep:
    """The rank's crops of a step, painted but not yet judged."""

    crops: tuple[PlannedCrop, ...]
    painted: tuple[PaintedCrop, ...]


def train_segmentation(
    spec: TrainingSpec, ranks: Ranks, feed: CropSource, poll: Callable[[], list[LiveCommand]]
) -> Iterator[Event]:
    refuse_no_compiler(spec)
    keep_freed_memory(ranks.device, LARGEST_OF_TRAINING)
    segmentor, merging, notes = build_trained_segmentor(spec, ranks.device)
    yield from notes
    synthesis = online_synthesis(spec, ranks)
    loss = SegmentationLoss(spec.crossEntropyWeights).to(ranks.device)
    learner = Learner(segmentor, spec, ranks)
    lookup = torch.from_numpy(training_ids(spec.trainingLabels)).to(ranks.device)
    base_rate, step = spec.optimizer.learningRate, 0

    if spec.resumeFrom is not None:
        model, state = load_checkpoint(spec.resumeFrom, ranks.device)
        learner.restore(spec.resumeFrom, "segmentor", model["state_dict"], state)
        base_rate, step = rate_to_go_on_with(state, spec.optimizer), state["step"]
        restore_random_state(state["random"])

    warm_up(learner.share(), spec, ranks)
    yield Ready(step, {"segmentor": count_parameters(segmentor)})

    pictures = Pictures(spec, step)
    examples = tumor_examples(spec, step) if ranks.first and synthesis is not None and spec.pictures > 0 else None

    def render(at: int) -> RenderedStep:
        with stage("data wait"):
            crops = feed.crops(at)
        if synthesis is None:
            return RenderedStep(crops, unpainted(crops, spec.windowHu, ranks.device))
        with stage("paint"):
            painted = synthesis.paint(crops)
        if ranks.first and pictures.due(at):
            leave_picture(pictures, at, crops, painted)
        feed.send_measures(at, [one.measures for one in painted if one.measures], wants_verdicts=True)
        return RenderedStep(crops, painted)

    def settle(at: int, rendered: RenderedStep) -> tuple[RenderedStep, Verdicts]:
        """Wait for the verdicts; paint the next attempts of rejected crops until no verdict asks for one."""
        verdicts: Verdicts = {}
        if synthesis is None:
            return rendered, verdicts
        painted = list(rendered.painted)
        open_places = range(len(painted))
        while True:
            with stage("data wait"):
                fresh = feed.verdicts(at)
            verdicts |= fresh
            if examples is not None:
                crops = [rendered.crops[place] for place in open_places]
                examples.keep_judged(at, crops, [painted[place] for place in open_places], verdicts)
            drawn = {
                place: draw for place in open_places if (draw := next_draw(rendered.crops[place], fresh)) is not None
            }
            if not drawn:
                return replace(rendered, painted=tuple(painted)), verdicts
            open_places = list(drawn)
            with stage("paint"):
                again = synthesis.paint([rendered.crops[place] for place in open_places], list(drawn.values()))
            for place, one in zip(open_places, again, strict=True):
                painted[place] = one
            feed.send_measures(at, [one.measures for one in again if one.measures], wants_verdicts=True)

    def save(at: int, reason: str) -> CheckpointSaved:
        with stage("save"):
            return CheckpointSaved(at, write(at), reason)

    def write(at: int) -> str:
        directory = ""
        if ranks.first:
            state = {
                "step": at,
                "rate": base_rate,
                "configuredRate": spec.optimizer.learningRate,
                **learner.state(),
                "random": random_state(),
            }
            about = {**segmentor_metadata(spec, merging), **licence_entry(spec.licences)}
            model = {"state_dict": segmentor.state_dict(), "epoch": at, "freetumor": about}
            directory = save_checkpoint(spec.runDirectory, at, model, state, made_under(spec, ranks), owner_of(spec))
        ranks.barrier()
        return directory

    boundary = Boundary(ranks, poll)
    meter = StepMeter(ranks.device, feed)
    if synthesis is not None and synthesis.baseline is not None:
        stage_of("judge", synthesis.baseline.network)
    feed.request(step)
    next_step: RenderedStep | None = None
    while step < spec.steps:
        decision = yield from boundary.decide(step)
        base_rate = base_rate if decision.learning_rate is None else decision.learning_rate
        if decision.save or decision.stop:
            yield save(step, "stop" if decision.stop else "command")
        if decision.stop:
            yield Finished(step, "stopped", decision.reason)
            return
        if decision.paused:
            continue

        meter.begin()
        rendered = next_step or render(step)
        if step + 1 < spec.steps:
            feed.request(step + 1)
        rendered, verdicts = settle(step, rendered)
        image, label = choose(rendered, verdicts, lookup, spec)
        learning_rate = scheduled_learning_rate(spec.optimizer, base_rate, step, spec.steps)
        learner.begin(learning_rate)

        losses, count = [], parts_of_step(spec, ranks)
        for at, (image_B1XYZ, label_BXYZ) in enumerate(zip(image.chunk(count), label.chunk(count), strict=True)):
            with learner.part(at):
                with stage("forward"):
                    with mixed_precision(spec, ranks):
                        logits = learner.shared(image_B1XYZ)
                    dice, cross_entropy = loss(logits, label_BXYZ)
                    total = dice + cross_entropy
                if at == count - 1 and step + 1 < spec.steps:
                    next_step = render(step + 1)
                learner.backward(total)
            losses.append(torch.stack([total, dice, cross_entropy]).detach())
        learner.step()
        feed.ack(step)

        means = mean_losses(losses, spec, ranks)
        names = ("total", "dice", "crossEntropy")
        yield meter.done(step, dict(zip(names, means, strict=True)), learning_rate)
        step += 1
        due, ends = validation_due(spec, step), None
        if due:
            with stage("validation"):
                yield from validate(spec, ranks, segmentor, step)
            ends = yield from boundary.validated(step)
        if due or checkpoint_due(spec, step):
            yield save(step, "end" if ends or step == spec.steps else "validation" if due else "interval")
        if ends:
            yield Finished(step, "completed", ends)
            return
    yield Finished(step, "completed", "all steps are done")


# The imports of painting take half a second, which a baseline does not need.


def online_synthesis(spec: TrainingSpec, ranks: Ranks) -> "OnlineSynthesis | None":
    if spec.synthesis is None:
        return None
    from freetumor_runtime.synthesis.crop_painting import OnlineSynthesis

    return OnlineSynthesis.build(spec, ranks.device)


def tumor_examples(spec: TrainingSpec, step: int) -> "TumorExamples":
    from freetumor_runtime.training.tumor_examples import TumorExamples

    return TumorExamples(spec, step)


def leave_picture(pictures: Pictures, step: int, crops: Sequence[PlannedCrop], painted: Sequence[PaintedCrop]) -> None:
    """Leave a picture of the first painted crop of the step."""
    for crop, one in zip(crops, painted, strict=True):
        if one.measures is not None and one.measures.synthetic_voxels > 0:
            changed_XYZ = one.fake_label_XYZ != one.label_XYZ
            pictures.save(step, crop, one.image_XYZ, one.fake_XYZ, changed_XYZ, one.measures)
            return


def next_draw(crop: PlannedCrop, verdicts: Verdicts) -> int | None:
    verdict = verdicts.get((crop.item, crop.crop))
    return None if verdict is None else verdict.next_draw


def choose(rendered: RenderedStep, verdicts: Verdicts, lookup: Tensor, spec: TrainingSpec) -> tuple[Tensor, Tensor]:
    """Painted crops where the verdict accepts, untouched ones elsewhere, then slabs swapped within each volume.

    Returns images float32 [B, 1, X, Y, Z] and training ids (or `IGNORED_LABEL`) int64 [B, X, Y, Z].
    """
    images, labels = [], []
    for crop, painted in zip(rendered.crops, rendered.painted, strict=True):
        kept = painted.measures is not None and verdicts[(crop.item, crop.crop)].accepted
        images.append(painted.fake_XYZ if kept else painted.image_XYZ)
        labels.append(lookup[(painted.fake_label_XYZ if kept else painted.label_XYZ).long()])
    image_BXYZ, label_BXYZ = torch.stack(images), torch.stack(labels)
    if spec.mixing:
        volumes = spec.cropsPerVolume
        for at in range(0, len(images), volumes):
            mixing = [crop.mixing for crop in rendered.crops[at : at + volumes]]
            image_BXYZ[at : at + volumes] = swap_slabs(image_BXYZ[at : at + volumes], mixing)
            label_BXYZ[at : at + volumes] = swap_slabs(label_BXYZ[at : at + volumes], mixing)
    return image_BXYZ[:, None], label_BXYZ
