"""A warm runtime's answers, without a socket: calls from a list, networks small enough to be known."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from freetumor_runtime.config.common import BaselineSpec, GeneratorWindowsSpec, Organ, SlidingWindowsSpec
from freetumor_runtime.config.serving import ServedGeneratorSpec, ServeSpec
from freetumor_runtime.data.call_source import CallRefusal, CallResult, PaintCall, SegmentCall
from freetumor_runtime.data.crops import PlannedTumor, window_intensity
from freetumor_runtime.jobs.serve import labels_of, serve
from freetumor_runtime.models.segmentor import build_segmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.synthesis.render import region_roles
from freetumor_runtime.training.ranks import Ranks

RANKS = Ranks(0, 1, torch.device("cpu"), None)
GRID = (1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1)


class Calls:
    """CallSource over a list; `cancelled_after` looks at a call and its answer is yes from then on."""

    def __init__(self, calls: list, cancelled_after: int | None = None) -> None:
        self.answers: dict[int, CallResult | CallRefusal] = {}
        self._calls, self._looks, self._limit = calls, 0, cancelled_after

    def __iter__(self) -> Iterator[SegmentCall | PaintCall]:
        return iter(self._calls)

    def cancelled(self, id: int) -> bool:
        self._looks += 1
        return self._limit is not None and self._looks > self._limit

    def answer(self, id: int, result: CallResult | CallRefusal) -> None:
        self.answers[id] = result


@pytest.fixture
def spec(tmp_path) -> ServeSpec:
    torch.manual_seed(0)
    baseline = build_segmentor("small", outputs=7, feature_size=4, levels=2, patch_merging="corrected").state_dict()
    facts = {"kind": "small", "featureSize": 4, "levels": 2, "outputs": 7, "tumorOutputs": [2, 4, 6]}
    torch.save({"state_dict": baseline, "freetumor": {"segmentor": facts}}, tmp_path / "baseline.pt")
    generator = {f"netG.{key}": value for key, value in UNet3d(3, base_channels=2).state_dict().items()}
    torch.save({"state_dict": generator}, tmp_path / "generator.pt")
    return ServeSpec(
        job="serve",
        region="abdomen",
        organs=(Organ("liver", 1, 2, 0), Organ("pancreas", 3, 4, 1), Organ("kidney", 5, 6, 2)),
        windowHu=(-175.0, 250.0),
        spacingMm=(1.5, 1.5, 1.5),
        patchVoxels=(16, 16, 16),
        generator=ServedGeneratorSpec(str(tmp_path / "generator.pt"), "organ", None),
        generatorWindows=GeneratorWindowsSpec(0.5, 1),
        baseline=BaselineSpec(str(tmp_path / "baseline.pt"), None, None, None),
        segmentPatchVoxels=(16, 16, 16),
        segmentWindows=SlidingWindowsSpec(0.5, "constant", 2),
        judgeOverlap=0.5,
        judgeWindowBatch=1,
        measureAlreadySeen=False,
        measures=(),
        textureSizeVoxels=(40, 40, 40),
        textureDirectory=str(tmp_path),
        textureSeed=0,
        device="cpu",
        threadsPerProcess=1,
    )


def answers_to(spec: ServeSpec, calls: list, cancelled_after: int | None = None) -> dict[int, CallResult | CallRefusal]:
    source = Calls(calls, cancelled_after)
    list(serve(spec, RANKS, source))
    return source.answers


def refusal_of(result: CallResult | CallRefusal) -> str | None:
    """The kind of a refusal; None for a result."""
    return result.kind if isinstance(result, CallRefusal) else None


def volume(shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    return torch.randint(-300, 400, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int16)


def reference_logits(spec: ServeSpec, image_hu: torch.Tensor) -> torch.Tensor:
    """MONAI's own way with the same weights."""
    network = build_segmentor("small", outputs=7, feature_size=4, levels=2, patch_merging="corrected").eval()
    network.load_state_dict(torch.load(spec.baseline.checkpoint, weights_only=True)["state_dict"])
    with torch.no_grad():
        image = window_intensity(image_hu, spec.windowHu)[None, None]
        return sliding_window_inference(image, (16, 16, 16), 2, network, 0.5, mode="constant")[0]


@pytest.mark.parametrize("shape", [(16, 16, 16), (12, 16, 9), (24, 16, 20)])
def test_segments_a_volume_as_monai_does_whatever_its_size(spec, shape):
    image_hu = volume(shape)
    result = answers_to(spec, [SegmentCall(7, image_hu, None, True)])[7]
    expected = reference_logits(spec, image_hu)
    assert result.tensors["logits"].shape == expected.shape
    assert torch.equal(result.tensors["logits"], expected)
    assert torch.equal(result.tensors["labels"].long(), expected.argmax(0))
    assert result.network_seconds > 0


def test_takes_the_first_of_equal_classes_as_argmax_does():
    logits = torch.randint(0, 3, (7, 6, 5, 4), generator=torch.Generator().manual_seed(2)).float()
    assert torch.equal(labels_of(logits).long(), logits.argmax(0))


def test_does_not_round_hu_with_a_fraction(spec):
    image_hu = volume((16, 16, 16)).float() + 0.3
    results = answers_to(spec, [SegmentCall(1, image_hu, None, True)])
    assert torch.equal(results[1].tensors["logits"], reference_logits(spec, image_hu))


def test_brings_a_volume_of_another_grid_to_that_of_the_network_and_back(spec):
    """A volume whose first axis runs the other way is the same volume: labels come back on its own axes."""
    image_hu = volume((16, 16, 16)).clamp(-100, 400)
    flipped = (-1.5, 0, 0, 22.5, *GRID[4:])
    results = answers_to(spec, [SegmentCall(1, image_hu, None, True), SegmentCall(2, image_hu.flip(0), flipped, True)])
    assert torch.equal(results[2].tensors["labels"], results[1].tensors["labels"].flip(0))
    torch.testing.assert_close(results[2].tensors["logits"], results[1].tensors["logits"].flip(1), rtol=0, atol=1e-4)


def test_a_finer_grid_comes_back_with_its_own_shape(spec):
    fine = (0.75, 0, 0, 0, 0, 0.75, 0, 0, 0, 0, 0.75, 0, 0, 0, 0, 1)
    result = answers_to(spec, [SegmentCall(1, volume((20, 22, 18)).clamp(-100, 400), fine, True)])[1]
    assert result.tensors["labels"].shape == (20, 22, 18)
    assert result.tensors["logits"].shape == (7, 20, 22, 18)
    assert result.tensors["labels"].dtype == torch.uint8 and result.tensors["logits"].dtype == torch.float32


def test_a_call_to_segment_without_a_segmentor_is_refused_and_the_runtime_continues(spec):
    without = dataclasses.replace(spec, baseline=None)
    tumor_call = painting(2, volume((24, 24, 24)))
    results = answers_to(without, [SegmentCall(1, volume((16, 16, 16)), None, False), tumor_call])
    assert refusal_of(results[1]) == "usage"
    assert refusal_of(results[2]) is None and results[2].measures[0].seen_voxels == 0


def test_leaves_a_cancelled_call_before_it_begins_and_between_windows(spec):
    call = SegmentCall(1, volume((40, 16, 16)), None, False)
    assert refusal_of(answers_to(spec, [call], cancelled_after=0)[1]) == "stopped"
    # once before the first window, once for each batch of two windows: five windows are three batches
    late = answers_to(spec, [call], cancelled_after=2)[1]
    assert refusal_of(late) == "stopped" and late.network_seconds > 0
    assert refusal_of(answers_to(spec, [call], cancelled_after=100)[1]) is None


def painting(id: int, image_hu: torch.Tensor, *, origin=(8, 9, 7), windowed=False) -> PaintCall:
    label = torch.zeros(image_hu.shape, dtype=torch.uint8)
    label[4:20, 4:20, 4:20] = 1
    label[10, 10, 10] = 2
    shape = torch.ones((6, 5, 4), dtype=torch.uint8)
    tumor = PlannedTumor("liver", "tiny", shape, origin, 1.0, 0, (0, 0, 0), 0.5, 0)
    return PaintCall(id, image_hu, label, (tumor,), windowed)


def test_a_tumor_is_painted_into_the_organ_only_and_its_place_is_reported(spec):
    image_hu = volume((24, 24, 24))
    call = painting(3, image_hu)
    made = answers_to(spec, [call])[3]
    image, label, change = (made.tensors[name] for name in ("image", "label", "change"))
    organ = region_roles(call.label, organ_label=1, tumor_labels=[2, 4, 6]) == 1
    assert image.dtype == torch.int16 and (image != image_hu).any()
    assert not ((image != image_hu) & (change == 0)).any()
    assert not ((change == 1) & ~organ).any()
    inside = torch.zeros(24, 24, 24, dtype=torch.bool)
    inside[8:14, 9:14, 7:11] = True
    assert torch.equal(label == 2, (inside & organ) | (call.label == 2))
    assert made.measures[0].synthetic_voxels == int((inside & organ).sum())
    assert made.measures[0].contrast < 0


def test_gives_the_windowed_image_that_the_networks_see(spec):
    image_hu = volume((24, 24, 24))
    results = answers_to(spec, [painting(1, image_hu), painting(2, image_hu, windowed=True)])
    change = results[1].tensors["change"] == 1
    before, after = window_intensity(image_hu, spec.windowHu), results[2].tensors["image"]
    assert torch.equal(after[~change], before[~change])
    hu = image_hu.float() + (after - before) * 425
    assert torch.equal(hu.round().to(torch.int16), results[1].tensors["image"])


def test_keeps_what_lies_beyond_the_window(spec):
    """A voxel of 1000 HU is 1 to the networks; painting takes off as much as it takes off from a 1."""
    made = answers_to(spec, [painting(1, torch.full((24, 24, 24), 1000, dtype=torch.int16))])[1]
    changed = made.tensors["image"][made.tensors["change"] == 1]
    assert changed.min() < 1000 and changed.min() > 500
    assert made.measures[0].contrast == pytest.approx(
        float(np.mean([(int(hu) - 1000) / 425 for hu in made.tensors["image"][made.tensors["label"] == 2]])), abs=0.02
    )


def test_an_image_of_no_organ_is_returned_as_it_came(spec):
    image_hu = volume((24, 24, 24))
    made = answers_to(spec, [painting(1, image_hu, origin=(-3, 0, 0))])[1]
    assert torch.equal(made.tensors["image"], image_hu)
    assert made.measures[0].synthetic_voxels == 0 and int(made.tensors["change"].sum()) == 0
