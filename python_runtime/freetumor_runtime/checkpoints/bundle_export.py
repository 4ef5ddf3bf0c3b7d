"""Write a segmentor as a MONAI bundle, which `python -m monai.bundle run` runs without freetumor.

Its transforms and windows are those of `predict` without a profile. Networks that MONAI does not have, and the legacy
patch merging, come as code in `scripts`.
"""

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from freetumor_runtime.checkpoints.checkpoint_file import METADATA_KEY, write_checkpoint
from freetumor_runtime.checkpoints.portable import PortableSegmentor, deviation_of, own_metadata

# MONAI downloads the schema from here when it verifies metadata.json
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_SCRIPTS = Path(__file__).with_name("bundle_scripts")
_MONAI_MERGING = {"corrected": "merging", "v2": "mergingv2"}
# the key that MONAI's CheckpointLoader and `monai.bundle.load(key_in_ckpt=...)` are given
_WEIGHTS_KEY = "model"
# as MONAI names it
_DOCS = "docs"


def export_bundle(model: PortableSegmentor, out: Path, about: dict[str, Any]) -> float:
    """Fill the empty folder `out`; return the deviation of the bundle's own network with its weights."""
    network, scripts, imports = _network_def(model)
    for folder in ("configs", "models", _DOCS, *(["scripts"] if scripts else [])):
        (out / folder).mkdir()
    for name in scripts:
        (out / "scripts" / name).write_bytes((_SCRIPTS / name).read_bytes())
    texts = {
        "configs/metadata.json": json.dumps(_metadata(model, about), indent=2),
        "configs/inference.json": json.dumps(_inference(model, network, imports), indent=2),
        f"{_DOCS}/README.md": _readme(model, about),
        f"{_DOCS}/license.txt": _licence(about),
    }
    for name, text in texts.items():
        (out / name).write_text(f"{text}\n", encoding="utf-8")
    content = {_WEIGHTS_KEY: model.network.state_dict(), METADATA_KEY: own_metadata(model, about)}
    write_checkpoint(str(out / "models/model.pt"), content)
    return deviation_of(model, "the network of the bundle", _loaded(out))


def _network_def(model: PortableSegmentor) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the component for inference.json, the files of `scripts`, and the imports."""
    facts = model.facts
    outputs = facts["outputs"]
    if facts["kind"] == "swinunetr":
        legacy = facts["patchMerging"] == "legacy"
        merging = "$patch_merging.LegacyPatchMerging" if legacy else _MONAI_MERGING[facts["patchMerging"]]
        definition = {
            "_target_": "SwinUNETR",
            "in_channels": 1,
            "out_channels": outputs,
            "feature_size": facts["featureSize"],
            "use_v2": True,
            "downsample": merging,
        }
        if not legacy:
            return definition, [], []
        return definition, ["__init__.py", "patch_merging.py"], ["$import scripts.patch_merging as patch_merging"]
    if facts["kind"] == "small":
        definition = {"_target_": "scripts.small.SmallSegmentor", "outputs": outputs}
        definition |= {"base_channels": facts["featureSize"], "levels": facts["levels"]}
        return definition, ["__init__.py", "small.py"], []
    definition = {"_target_": "scripts.nnunet.NnUNet", "kind": facts["kind"]}
    return definition | {"stages": facts["stages"], "outputs": outputs}, ["__init__.py", "nnunet.py"], []


def _inference(model: PortableSegmentor, network: dict[str, Any], imports: list[str]) -> dict[str, Any]:
    low, high = model.window_hu
    blend = {"mode": model.blend, **({"sigma_scale": 0.125} if model.blend == "gaussian" else {})}
    return {
        "imports": ["$import glob", "$import os", "$import torch", *imports],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/masks'",
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$[{'image': path} for path in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')))]",
        "network_def": network,
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                _step("LoadImaged", reader="NibabelReader", ensure_channel_first=True),
                _step("Orientationd", axcodes="RAS", labels=[["L", "R"], ["P", "A"], ["I", "S"]]),
                _step("Spacingd", pixdim=list(model.spacing_mm), mode="bilinear"),
                _step("CropForegroundd", source_key="image", select_fn=f"$lambda hu: hu > {low!r}", allow_smaller=True),
                _step("ScaleIntensityRanged", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True),
                _step("EnsureTyped", dtype="$torch.float32"),
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(model.patch),
            "sw_batch_size": 1,
            "overlap": model.overlap,
            **blend,
        },
        "segment": "$torch.no_grad()(lambda case: {**case, "
        "'pred': @inferer(case['image'].unsqueeze(0).to(@device), @network)[0]})",
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                _step("AsDiscreted", keys="pred", argmax=True),
                _step("Invertd", keys="pred", transform="@preprocessing", orig_keys="image", nearest_interp=True),
                _step(
                    "SaveImaged",
                    keys="pred",
                    output_dir="@output_dir",
                    output_ext=".nii.gz",
                    output_postfix="",
                    output_dtype="$torch.uint8",
                    separate_folder=False,
                    resample=False,
                    writer="NibabelWriter",
                ),
            ],
        },
        "run": [
            "$@network_def.load_state_dict("
            f"torch.load(@ckpt_path, map_location=@device, weights_only=True)['{_WEIGHTS_KEY}'])",
            "$[@postprocessing(@segment(case)) and None for case in @dataset]",
        ],
    }


def _step(target: str, keys: str = "image", **arguments: Any) -> dict[str, Any]:
    return {"_target_": target, "keys": keys, **arguments}


def _metadata(model: PortableSegmentor, about: dict[str, Any]) -> dict[str, Any]:
    names = {str(at): name for at, name in enumerate(model.label_names)}
    patch = list(model.patch)
    shape: dict[str, Any] = {"spatial_shape": patch, "dtype": "float32", "is_patch_data": True}
    packages = {"nibabel": version("nibabel"), **({"einops": version("einops")} if _is_swin(model) else {})}
    return {
        "schema": _SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "exported by freetumor"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": packages,
        "supported_apps": {},
        "name": "freetumor segmentor",
        "task": f"Segmentation of {', '.join(model.label_names[1:])} in CT",
        "description": f"A {model.facts['kind']} that freetumor trained or exported; README.md describes its use",
        "authors": "see license.txt",
        "copyright": "see license.txt",
        "data_type": "nibabel",
        "image_classes": f"one channel, HU from {model.window_hu[0]:g} to {model.window_hu[1]:g} scaled to [0, 1]",
        "label_classes": "one channel of ids",
        "pred_classes": f"{model.facts['outputs']} channels of logits; the largest one is the id",
        "intended_use": "Research. Not a medical device.",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield",
                    "modality": "CT",
                    "num_channels": 1,
                    **shape,
                    "value_range": [0, 1],
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "labels",
                    "num_channels": model.facts["outputs"],
                    **shape,
                    "value_range": [],
                    "channel_def": names,
                }
            },
        },
        "freetumor": {
            **about,
            "patchMerging": model.facts["patchMerging"],
            "tumorOutputs": model.facts["tumorOutputs"],
        },
    }


def _is_swin(model: PortableSegmentor) -> bool:
    return model.facts["kind"] == "swinunetr"


def _readme(model: PortableSegmentor, about: dict[str, Any]) -> str:
    facts = model.facts
    labels = "\n".join(
        f"| {at} | {name} | {'yes' if at in facts['tumorOutputs'] else 'no'} |"
        for at, name in enumerate(model.label_names)
    )
    merging = f", patch merging `{facts['patchMerging']}`" if facts["patchMerging"] else ""
    return f"""# Segmentor of freetumor

Kind `{facts["kind"]}`{merging}, exported from weights with SHA-256 `{about.get("checkpointSha256", "unknown")}`.

Run it in this folder, with the packages of `configs/metadata.json` and `fire`:

```sh
python -m monai.bundle run --config_file configs/inference.json --dataset_dir SCANS --output_dir MASKS
```

It reads `SCANS/*.nii` and `SCANS/*.nii.gz` and writes one mask for each under the same name.

| id | name | tumor |
|---|---|---|
{labels}

Preparation: RAS axes, {" x ".join(f"{mm:g}" for mm in model.spacing_mm)} mm (linear), crop to what is above
{model.window_hu[0]:g} HU, window {model.window_hu[0]:g} to {model.window_hu[1]:g} HU scaled to [0, 1].
Windows of {" x ".join(map(str, model.patch))} voxels, overlap {model.overlap:g}, blending {model.blend}."""


def _licence(about: dict[str, Any]) -> str:
    rows = [
        f"{one['network']} {one['file']} (SHA-256 {one['sha256']}): {one['licence'] or 'licence not stated'}"
        for one in about.get("licences", [])
    ]
    return "Licences of the weights, and of the weights that they were trained from:\n\n" + (
        "\n".join(rows) or "No weights of another project are stated. The owner of the weights decides."
    )


def _loaded(out: Path) -> Any:
    """Return the network of the bundle with its weights, built from its own files."""
    from monai.bundle import ConfigParser

    sys.path.insert(0, str(out))
    try:
        with warnings.catch_warnings(action="ignore"):
            parser = ConfigParser()
            parser.read_config(str(out / "configs/inference.json"))
            network = parser.get_parsed_content("network_def").eval()
        weights = torch.load(out / "models/model.pt", map_location="cpu", weights_only=True)
        network.load_state_dict(weights[_WEIGHTS_KEY])
        return network
    finally:
        sys.path.remove(str(out))
        for name in [name for name in sys.modules if name == "scripts" or name.startswith("scripts.")]:
            del sys.modules[name]
