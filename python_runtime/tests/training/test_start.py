"""How networks are laid out before a training, and which weights they start from."""

import shutil
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch._inductor import config as inductor

from freetumor_runtime.checkpoints.metadata import segmentor_metadata
from freetumor_runtime.errors import CheckpointError, ConfigError, EnvironmentError
from freetumor_runtime.models.segmentor import build_segmentor, merging_order_of
from freetumor_runtime.models.small import SmallSegmentor
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.training.start import build_gan, build_trained_segmentor, lay_out, refuse_no_compiler

COMPILED = SimpleNamespace(memoryFormat="contiguous", compile=True, device="cpu")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def one_step(network):
    """Logits of a crop, and the gradients of a loss of them."""
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    logits = network(image)
    logits.square().mean().backward()
    return logits.detach(), torch.cat([weight.grad.flatten() for weight in network.parameters()])


def test_a_compiled_network_has_the_logits_and_the_gradients_of_the_plain_one():
    if shutil.which("g++") is None:
        warnings.warn("no g++ here: torch.compile is not tested", stacklevel=1)
        pytest.skip("no g++")
    torch.manual_seed(0)
    plain = SmallSegmentor(3, base_channels=4, levels=2)
    compiled = SmallSegmentor(3, base_channels=4, levels=2)
    compiled.load_state_dict(plain.state_dict())
    lay_out(compiled, COMPILED)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    # without a pool of processes and trials of the compiler; fused sums of float32: the last digits may differ
    with inductor.patch({"compile_threads": 1, "cpp.vec_isa_ok": True}):
        after_compiled = one_step(compiled)
    for got, wanted in zip(after_compiled, one_step(plain), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_a_machine_without_a_compiler_is_refused_before_the_training():
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(EnvironmentError) as refused:
        refuse_no_compiler(COMPILED)
    assert "runtime.compile" in str(refused.value)
    assert "g++" in refused.value.hint


@pytest.fixture(scope="module")
def swinunetr():
    return build_segmentor("swinunetr", outputs=2, feature_size=12, levels=4, patch_merging="legacy")


def segmentation(initial, merging=None, resume=None, weights=None):
    size = {
        "kind": "swinunetr",
        "featureSize": 12,
        "levels": 4,
        "stages": (),
        "outputs": 2,
        "activationCheckpointing": False,
    }
    segmentor = SimpleNamespace(**size, patchMerging=merging, initialWeights=initial, initialWeightsSet=weights)
    return SimpleNamespace(
        segmentor=segmentor, resumeFrom=resume, freeze=(), memoryFormat="contiguous", compile=False, device="cpu"
    )


def test_initial_weights_that_do_not_state_their_patch_merging_order_are_asked_for_it(tmp_path, swinunetr):
    path = str(tmp_path / "mine.pt")
    torch.save(swinunetr.state_dict(), path)
    with pytest.raises(ConfigError, match="mine.pt does not state the patch-merging order") as refused:
        build_trained_segmentor(segmentation(path), torch.device("cpu"))
    assert "networks.segmentor.patchMerging" in refused.value.hint
    network, merging, _ = build_trained_segmentor(segmentation(path, "v2"), torch.device("cpu"))
    assert (merging_order_of(network), merging.value, merging.assumed) == ("v2", "v2", False)


def test_published_initial_weights_are_assumed_to_be_legacy_and_marked_so(tmp_path, swinunetr):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    torch.save(swinunetr.state_dict(), path)
    network, merging, notes = build_trained_segmentor(segmentation(path), torch.device("cpu"))
    assert (merging_order_of(network), merging.value, merging.assumed) == ("legacy", "legacy", True)
    assert [note.level for note in notes] == ["info", "warning"] and "legacy is assumed" in notes[1].text


def test_a_segmentor_starts_from_the_set_that_the_configuration_selects(tmp_path, swinunetr):
    path = str(tmp_path / "VoCo_B_SSL_head.pt")
    weights = swinunetr.state_dict()
    torch.save({"student": {key: value + 1 for key, value in weights.items()}, "teacher": weights}, path)
    network, _, notes = build_trained_segmentor(segmentation(path, weights="teacher"), torch.device("cpu"))
    assert alike(network, swinunetr)
    assert "167 of 167 tensors taken; skipped: student (dict)" in notes[0].text
    with pytest.raises(CheckpointError, match="found student, teacher"):
        build_trained_segmentor(segmentation(path), torch.device("cpu"))


def test_an_order_that_initial_weights_state_is_believed_and_a_resumed_run_keeps_it(tmp_path, swinunetr):
    facts = SimpleNamespace(
        region="abdomen", windowHu=(), spacingMm=(), patchVoxels=(), labelNames=(), trainingLabels=(0, 1), organs=()
    )
    facts.segmentor = segmentation(None, "legacy").segmentor
    facts.validation = SimpleNamespace(windows=SimpleNamespace(overlap=0.75, blend="constant"))
    (tmp_path / "step").mkdir()
    path = tmp_path / "step" / "model.pt"
    torch.save({"state_dict": swinunetr.state_dict(), "freetumor": segmentor_metadata(facts)}, path)
    for spec in (segmentation(str(path)), segmentation("gone.pt", resume=str(path.parent))):
        network, merging, _ = build_trained_segmentor(spec, torch.device("cpu"))
        assert (merging_order_of(network), merging.assumed) == ("legacy", False)
    network, _, _ = build_trained_segmentor(segmentation(None), torch.device("cpu"))
    assert merging_order_of(network) == "corrected"


def synthesis(path, use):
    size = {"baseChannels": 2, "outputs": 3, "activationCheckpointing": False}
    generator = SimpleNamespace(checkpoint=path, use=use, weights=None, **size)
    return SimpleNamespace(
        generator=generator, resumeFrom=None, freeze=(), memoryFormat="contiguous", compile=False, device="cpu"
    )


def alike(network, other) -> bool:
    return all(torch.equal(one, two) for one, two in zip(network.parameters(), other.parameters(), strict=True))


def test_a_synthesis_starts_from_both_networks_of_a_file_or_from_its_generator_alone(tmp_path):
    torch.manual_seed(1)
    learned = {"netG": UNet3d(3, 2), "netD": UNet3d(3, 2)}
    weights = {f"{name}.{key}": value for name, net in learned.items() for key, value in net.state_dict().items()}
    path, lone = str(tmp_path / "TGAN.pt"), str(tmp_path / "generator.pt")
    torch.save({"state_dict": weights}, path)
    torch.save({key: value for key, value in weights.items() if key.startswith("netG")}, lone)
    for file, use, level, said, taken in (
        (path, "both", "info", "generator and discriminator start from", True),
        (path, "generator", "info", "the discriminator from random weights", False),
        (lone, "both", "warning", "holds no discriminator", False),
    ):
        generator, discriminator, (note,) = build_gan(synthesis(file, use), torch.device("cpu"))
        assert alike(generator, learned["netG"]) and alike(discriminator, learned["netD"]) is taken
        assert note.level == level and said in note.text and file in note.text
