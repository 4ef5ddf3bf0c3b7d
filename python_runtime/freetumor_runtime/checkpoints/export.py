"""Write the weights of a checkpoint in the format of another project (docs/export.md)."""

from pathlib import Path
from typing import Any

from freetumor_runtime.checkpoints.checkpoint_file import sha256_of
from freetumor_runtime.checkpoints.conversion import convert_checkpoint
from freetumor_runtime.checkpoints.nnunet_export import export_nnunet
from freetumor_runtime.errors import UsageError

FORMATS = ("nnunet", "safetensors", "onnx", "torchscript", "monai-bundle")


def export_model(
    path: str,
    to: str,
    out: str,
    about: dict[str, Any],
    merging: str | None,
    weights: str | None = None,
    preparation: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fill the empty folder `out`; return {kind, tensors, deviation, files: {name: sha256}}.

    `deviation`: largest difference of the exported network's logits on a window of noise; None if not computed.
    `about`: plain values that the files state. `merging`, `weights`: see conversion.convert_checkpoint. `preparation`:
    see portable.portable_segmentor.
    """
    if to == "nnunet":
        return {**export_nnunet(path, out, about, weights), "deviation": None}
    if to == "safetensors":
        target = Path(out) / "model.safetensors"
        written = convert_checkpoint(path, to, str(target), merging, weights)
        files = {target.name: written["sha256"]}
        return {"kind": None, "tensors": written["tensors"], "deviation": None, "files": files}
    if to not in FORMATS:
        raise UsageError(f"--to is not supported (expected {' or '.join(FORMATS)}, found {to})", "correct --to")
    return _export_portable(path, to, Path(out), about, merging, weights, preparation)


def _export_portable(
    path: str,
    to: str,
    out: Path,
    about: dict[str, Any],
    merging: str | None,
    weights: str | None,
    preparation: dict[str, Any] | None,
) -> dict[str, Any]:
    # they load MONAI, which the other formats do without
    from freetumor_runtime.checkpoints.bundle_export import export_bundle
    from freetumor_runtime.checkpoints.portable import portable_segmentor
    from freetumor_runtime.checkpoints.traced_export import export_onnx, export_torchscript

    model = portable_segmentor(path, to, merging, weights, preparation)
    write = {"onnx": export_onnx, "torchscript": export_torchscript, "monai-bundle": export_bundle}[to]
    tensors = len(model.network.state_dict())
    deviation = write(model, out, about)
    files = sorted(one.relative_to(out).as_posix() for one in out.rglob("*") if one.is_file())
    return {
        "kind": model.facts["kind"],
        "tensors": tensors,
        "deviation": deviation,
        "files": {name: sha256_of(str(out / name)) for name in files},
    }
