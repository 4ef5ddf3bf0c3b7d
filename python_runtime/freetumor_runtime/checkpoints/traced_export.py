"""Write a segmentor as ONNX or TorchScript, for one size of window, and model.json, which describes its use."""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freetumor_runtime.checkpoints.checkpoint_file import sha256_of
from freetumor_runtime.checkpoints.portable import PortableSegmentor, description, deviation_of
from freetumor_runtime.errors import CheckpointError, EnvironmentError

# the newest that knows all layers and that onnxruntime reads since 1.12
OPSET = 17
# protobuf's limit of one file
_MOST_BYTES = 2**31 - 2**20


def export_onnx(model: PortableSegmentor, out: Path, about: dict[str, Any]) -> float | None:
    """Write model.onnx and model.json; return the deviation in onnxruntime, or None where that is not installed.

    Raises EnvironmentError without the package onnx.
    """
    onnx = _optional("onnx")
    if onnx is None:
        raise EnvironmentError("--to onnx: the package onnx is not installed", "run `freetumor setup --extra export`")
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.network.state_dict().values())
    if size > _MOST_BYTES:
        raise CheckpointError(
            f"{model.path}: too large for one ONNX file (expected at most {_MOST_BYTES} bytes, found {size})",
            "export to torchscript or safetensors",
        )
    facts = description(model, about, {"file": "model.onnx", "format": "ONNX", "opset": OPSET})
    target = out / "model.onnx"
    _trace_to(target, model)
    graph = onnx.load(str(target))
    onnx.helper.set_model_props(graph, {"freetumor": json.dumps(facts)})
    onnx.checker.check_model(graph)
    onnx.save(graph, str(target))
    runtime = _optional("onnxruntime")
    deviation = None if runtime is None else deviation_of(model, "the ONNX network", _in_onnxruntime(runtime, target))
    _describe(out, facts, deviation)
    return deviation


def export_torchscript(model: PortableSegmentor, out: Path, about: dict[str, Any]) -> float:
    """Write model.ts and model.json; return the deviation of the file as it is loaded again."""
    facts = description(model, about, {"file": "model.ts", "format": "TorchScript", "torch": torch.__version__})
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        traced: Any = torch.jit.trace(model.network, model.example(), check_trace=False)
    target = out / "model.ts"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(traced, str(target), _extra_files={"model.json": json.dumps(facts)})
        loaded = torch.jit.load(str(target), map_location="cpu")
    deviation = deviation_of(model, "the TorchScript network", loaded)
    _describe(out, facts, deviation)
    return deviation


def _describe(out: Path, facts: dict[str, Any], deviation: float | None) -> None:
    name = facts["network"]["file"]
    network = {**facts["network"], "sha256": sha256_of(str(out / name)), "deviation": deviation}
    text = json.dumps({**facts, "network": network}, indent=2)
    (out / "model.json").write_text(f"{text}\n", encoding="utf-8")


def _trace_to(target: Path, model: PortableSegmentor) -> None:
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        # the exporter by tracing: it needs no further package, and folds the masks of the fixed window
        torch.onnx.export(
            _with_norm_weights(model.network),
            (model.example(),),
            str(target),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
        )


def _with_norm_weights(network: nn.Module) -> nn.Module:
    """Give instance norms without weights ones and zeros: the exporter reads the number of channels there."""
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm3d) and not module.affine:
            module.affine = True
            module.weight = nn.Parameter(torch.ones(module.num_features), requires_grad=False)
            module.bias = nn.Parameter(torch.zeros(module.num_features), requires_grad=False)
    return network


def _in_onnxruntime(runtime: Any, target: Path) -> Any:
    session = runtime.InferenceSession(str(target), providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    return run


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
