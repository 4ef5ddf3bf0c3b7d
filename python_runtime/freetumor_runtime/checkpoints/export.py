"""Write the weights of a checkpoint in the format of another project (docs/export.md)."""

from pathlib import Path
from typing import Any

from freetumor_runtime.checkpoints.conversion import convert_checkpoint
from freetumor_runtime.checkpoints.nnunet_export import export_nnunet
from freetumor_runtime.errors import UsageError

FORMATS = ("nnunet", "safetensors")


def export_model(
    path: str, to: str, out: str, about: dict[str, Any], merging: str | None, weights: str | None = None
) -> dict[str, Any]:
    """Fill the empty folder `out`; return {kind, tensors, files: {name: sha256}}.

    `about`: plain values that the files state. `merging`, `weights`: see conversion.convert_checkpoint.
    """
    if to == "nnunet":
        return export_nnunet(path, out, about, weights)
    if to == "safetensors":
        target = Path(out) / "model.safetensors"
        written = convert_checkpoint(path, to, str(target), merging, weights)
        return {"kind": None, "tensors": written["tensors"], "files": {target.name: written["sha256"]}}
    raise UsageError(f"--to is not supported (expected {' or '.join(FORMATS)}, found {to})", "correct --to")
