"""A plug-in that paints and judges: its answers count within the change mask only, and are reproducible."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from freetumor_runtime.config.common import Organ, PluginSpec
from freetumor_runtime.data.crops import PlannedTumor, window_intensity
from freetumor_runtime.errors import PluginError
from freetumor_runtime.inference.plugin_segmentor import load_plugin_judge
from freetumor_runtime.plugins.check import check_plugin
from freetumor_runtime.plugins.client import Plugin
from freetumor_runtime.synthesis.painting import TumorPainter
from freetumor_runtime.synthesis.plugin_synthesizer import crop_around, plugin_synthesizer
from freetumor_runtime.synthesis.render import edge_weight, is_organ
from tests.plugins.hostile import MODES

CPU = torch.device("cpu")
PROGRAMS = Path(__file__).parents[2] / "plugins"
HOSTILE = Path(__file__).with_name("hostile.py")
ORGANS = (Organ("liver", 1, 2, 0),)
SPEC = SimpleNamespace(organs=ORGANS, windowHu=(-175.0, 250.0), spacingMm=(1.5, 1.5, 1.5), threadsPerProcess=1)
SHAPE = (24, 24, 24)


def spec_of(*command: str, seconds: float = 60) -> PluginSpec:
    return PluginSpec((sys.executable, *command), 60, seconds)


@pytest.fixture
def scene():
    """A windowed image, its label, and a tumor placed at the border of the organ."""
    hu = torch.randint(-100, 200, SHAPE, generator=torch.Generator().manual_seed(1))
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[2:14, 2:-2, 2:-2] = 1
    box = torch.ones(6, 6, 6, dtype=torch.uint8)
    tumor = PlannedTumor("liver", "tiny", box, (10, 8, 9), 0.8, 0, (0, 0, 0), 0.5, 0)
    painter = TumorPainter("abdomen", ORGANS, False, None, CPU)  # pyright: ignore[reportArgumentType]
    return window_intensity(hu, SPEC.windowHu), label, painter.place(tumor, label)


def painted(plugin: PluginSpec, scene) -> torch.Tensor:
    image, label, placed = scene
    synthesizer = plugin_synthesizer(plugin, SPEC, 7, CPU)
    try:
        after = image.clone()
        synthesizer.paint(after, label, placed, ("case", 0, 0, 0))
        return after
    finally:
        synthesizer.plugin.close()


def weight_of(scene) -> torch.Tensor:
    _, _, placed = scene
    weight = torch.zeros(SHAPE, dtype=torch.float64)
    weight[placed.box] = edge_weight(placed.edge_XYZ, placed.tumor.edge_sigma) * is_organ(placed.roles_XYZ)
    return weight


def test_the_answer_is_blended_by_the_weight_of_the_change_mask(scene):
    after, weight = painted(spec_of(str(HOSTILE), "good"), scene), weight_of(scene)
    change = (after - scene[0]).double() * (250 + 175)
    # it adds 10 HU to every voxel
    assert torch.allclose(change, 10 * weight, atol=1e-3)
    assert torch.equal(after[weight == 0], scene[0][weight == 0])
    assert 0 < int((weight > 0).sum()) < weight.numel() / 4


@pytest.mark.parametrize("mode", ["NaN", "wrong shape", "killed", "absurd HU"])
def test_a_fault_leaves_the_image_bit_identical(mode, scene):
    image, label, placed = scene
    synthesizer = plugin_synthesizer(spec_of(str(HOSTILE), mode), SPEC, 7, CPU)
    after = image.clone()
    with pytest.raises(PluginError, match=MODES[mode].split(" (")[0]):
        synthesizer.paint(after, label, placed, ("case", 0, 0, 0))
    assert torch.equal(after, image)


def test_two_runs_with_the_reference_plugin_are_bit_identical(scene, tmp_path):
    sys.path.insert(0, str(PROGRAMS))
    try:
        from diffusion_synthesizer import Denoiser
    finally:
        sys.path.remove(str(PROGRAMS))
    torch.manual_seed(3)
    torch.save(Denoiser().state_dict(), tmp_path / "weights.pt")
    spec = spec_of(str(PROGRAMS / "diffusion_synthesizer.py"), "--weights", str(tmp_path / "weights.pt"))
    first, second = painted(spec, scene), painted(spec, scene)
    assert torch.equal(first, second)
    assert not torch.equal(first, scene[0])
    assert torch.equal(first[weight_of(scene) == 0], scene[0][weight_of(scene) == 0])


def test_a_plugin_judges_crops_of_other_sizes_by_windows():
    plugin = Plugin(spec_of(str(PROGRAMS / "threshold_segmentor.py")), "cpu", 1)
    try:
        judge = load_plugin_judge(plugin, SPEC.windowHu, SPEC.spacingMm)
        image = window_intensity(torch.full((1, 1, 40, 96, 112), 120), SPEC.windowHu)
        logits = judge.network(image)
    finally:
        plugin.close()
    assert judge.tumor_outputs == (2,)
    assert logits.shape == (1, 3, 40, 96, 112)
    assert bool((logits.argmax(1) == 1).all())


def test_a_segmentor_is_refused_as_generator():
    with pytest.raises(PluginError, match="cannot be used as generator"):
        plugin_synthesizer(spec_of(str(PROGRAMS / "threshold_segmentor.py")), SPEC, 7, CPU)


@pytest.mark.parametrize("box", [((2, 9), (0, 5), (50, 60)), ((0, 64), (3, 40), (20, 21)), ((60, 64), (0, 64), (1, 2))])
def test_a_crop_contains_its_box_and_stays_in_the_volume(box):
    shape, patch = (64, 64, 60), (32, 32, 32)
    crop = crop_around(tuple(slice(*part) for part in box), patch, shape)
    for part, side, length, wanted in zip(box, crop, shape, patch, strict=True):
        assert 0 <= side.start <= part[0] and part[1] <= side.stop <= length
        assert side.stop - side.start >= min(wanted, length)


def test_the_check_passes_a_good_plugin_and_names_the_faults_of_others():
    def checked(*command: str) -> dict:
        return check_plugin(
            {"command": [sys.executable, *command], "startTimeoutSeconds": 60.0, "requestTimeoutSeconds": 60.0}
        )

    good = checked(str(HOSTILE), "good")
    assert good["ok"] and len(good["checks"]) >= 15 and good["plugin"]["name"] == "hostile"
    assert good["requestSeconds"]["synthesize"] > 0
    bad = checked(str(HOSTILE), "NaN")
    assert not bad["ok"]
    failed = [one for one in bad["checks"] if not one["ok"]]
    assert "NaN or infinite" in failed[0]["detail"] and failed[0]["id"] == "synthesize: answer"
    none = checked("-c", "raise SystemExit(4)")
    assert not none["ok"] and none["plugin"] is None
    assert "ended with exit code 4" in none["checks"][0]["detail"]


def test_a_check_refuses_answers_that_change(tmp_path):
    program = tmp_path / "random_segmentor.py"
    program.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(PROGRAMS)!r})\n"
        "import numpy as np\n"
        "from freetumor_plugin import serve\n"
        "random = np.random.default_rng()\n"
        "segment = lambda request: random.integers(0, 2, request['image'].shape, np.uint8)\n"
        "serve('random', '1', 'none', segment=segment, "
        "segments={'outputs': ['background', 'tumor'], 'patchVoxels': [16, 16, 16]})\n"
    )
    spec = {"command": [sys.executable, str(program)], "startTimeoutSeconds": 60.0, "requestTimeoutSeconds": 60.0}
    failed = [one["id"] for one in check_plugin(spec)["checks"] if not one["ok"]]
    assert failed == ["segment: repetition", "segment: no memory", "segment: restart"]


def test_the_copied_protocol_needs_numpy_only():
    text = (PROGRAMS / "freetumor_plugin.py").read_text()
    imports = {line.split()[1] for line in text.splitlines() if line.startswith("import ")}
    assert imports == {"json", "os", "socket", "struct", "numpy"}
    assert np.__name__ in imports
