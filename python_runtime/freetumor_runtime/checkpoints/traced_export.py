"""Write a segmentor as ONNX or TorchScript, for one size of window, and model.json, which describes its use."""

import copy
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
            _with_norms_by_axes(copy.deepcopy(model.network)),
            (model.example(),),
            str(target),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
        )


class _NormByAxes(nn.InstanceNorm3d):
    """nn.InstanceNorm3d without running statistics, with means along one axis after the other.

    onnxruntime adds all voxels of a channel into one float32 number in its own InstanceNormalization: the logits of a
    published SwinUNETR deviated by 4e-4. Sums of one axis are short, so they lose 100 times less.
    """

    def forward(self, input: Tensor) -> Tensor:
        centered = input - _mean(input)
        normalized = centered / (_mean(centered * centered) + self.eps).sqrt()
        if self.weight is None:
            return normalized
        return normalized * self.weight[:, None, None, None] + self.bias[:, None, None, None]


def _mean(features_BCXYZ: Tensor) -> Tensor:
    for axis in (4, 3, 2):
        features_BCXYZ = features_BCXYZ.mean(axis, keepdim=True)
    return features_BCXYZ


def _with_norms_by_axes(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if type(module) is nn.InstanceNorm3d and not module.track_running_stats:
            module.__class__ = _NormByAxes
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
