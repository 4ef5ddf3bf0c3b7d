"""How networks are laid out before a training."""

import shutil
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch._inductor import config as inductor

from freetumor_runtime.errors import EnvironmentError
from freetumor_runtime.models.small import SmallSegmentor
from freetumor_runtime.training.start import lay_out, refuse_no_compiler

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
    # fused sums of float32: the last digits may differ
    for got, wanted in zip(one_step(compiled), one_step(plain), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_a_machine_without_a_compiler_is_refused_before_the_training():
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(EnvironmentError) as refused:
        refuse_no_compiler(COMPILED)
    assert "runtime.compile" in str(refused.value)
    assert "g++" in refused.value.hint
