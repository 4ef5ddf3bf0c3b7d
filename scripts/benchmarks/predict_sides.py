"""Predict scans from file to file, by freetumor or by a plain MONAI script: `predict_sides.py ours|reference SETTINGS`.

SETTINGS is a JSON object (see predict_scan.py). Both sides have the same network, threads, foreground crop, overlap and
blending, and write masks on the grids of the scans by nearest neighbours. Prints a JSON list, one object a scan.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.config.cases import PredictSpec
from freetumor_runtime.config.parsing import parse
from freetumor_runtime.models.plain_layers import plain_layers
from freetumor_runtime.models.segmentor import build_segmentor, freeze
from freetumor_runtime.training.heap import keep_freed_memory

CPU = torch.device("cpu")


def main() -> None:
    side, settings = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    if side == "ours":
        keep_freed_memory(CPU)
    network = network_of(settings)
    glancer = None if settings["glance"] is None else load_segmentor(settings["glance"], None, CPU).network
    results = []
    for number, image in enumerate(settings.get("images") or [settings["image"]]):
        started, processor = time.perf_counter(), time.process_time()
        name = f"{side}-{number}"
        if side == "ours":
            found = ours(network, glancer, settings, image, name)
        else:
            found = reference(network, settings, image, name)
        taken = {"scanSeconds": time.perf_counter() - started, "scanProcessorSeconds": time.process_time() - processor}
        results.append({**found, **taken})
    print(json.dumps(results if "images" in settings else results[0]))


def network_of(settings: dict) -> nn.Module:
    if settings["checkpoint"]:
        network = load_segmentor(settings["checkpoint"], settings["merging"], CPU).network
    else:
        torch.manual_seed(0)
        kind, outputs, size = settings["network"], settings["outputs"], settings["featureSize"]
        built = build_segmentor(kind, outputs=outputs, feature_size=size, levels=3, patch_merging="corrected")
        network = freeze(built)
    if settings["plainLayers"]:
        network = plain_layers(network)
    return network


def ours(network: nn.Module, glancer: nn.Module | None, settings: dict, image: str, name: str) -> dict:
    from freetumor_runtime.inference.ensemble import predictor_of
    from freetumor_runtime.jobs.predict import predict_case

    spec = specification(settings, image, name)
    look = None if glancer is None else predictor_of(glancer, (), "fp32")
    result = predict_case(spec, [predictor_of(network, (), "fp32")], CPU, spec.cases[0], glancer=look)
    return {"file": str(Path(settings["out"]) / f"{name}.nii.gz"), **result}


def specification(settings: dict, image: str, name: str) -> PredictSpec:
    member = {"checkpoint": "", "patchMerging": None, "weights": None}
    glance = {
        "member": member,
        "windowHu": settings["windowHu"],
        "spacingMm": [settings["glanceSpacingMm"]] * 3,
        "patchVoxels": [settings["glancePatch"]] * 3,
    }
    raw = {
        "job": "predict",
        "directory": settings["out"],
        "members": [member],
        "plugin": None,
        "device": "cpu",
        "processesPerNode": 1,
        "threadsPerProcess": settings["threads"],
        "precision": "fp32",
        "windowHu": settings["windowHu"],
        "spacingMm": settings["spacingMm"],
        "patchVoxels": settings["patch"],
        "windows": {
            "overlap": settings["overlap"],
            "blend": settings["blend"],
            "windowBatch": settings["windowBatch"],
        },
        "windowChoice": settings["windows"],
        "mirrorAxes": [],
        "cropForeground": True,
        "padding": "lowerEnd",
        "minForeground": 0.0,
        "grid": "original",
        "resampling": "nearest",
        "method": "freetumor",
        "dataType": "uint8",
        "tumorOutputs": settings["tumors"],
        "organIds": [],
        "maskIds": settings["maskIds"],
        "probabilities": [],
        "cases": [{"id": "scan", "image": image, "organMask": None, "label": None, "name": name}],
        "operatingPoint": None,
        "glance": glance if settings["glance"] else None,
    }
    return parse(PredictSpec, raw, "bench")


def reference(network: nn.Module, settings: dict, image: str, name: str) -> dict:
    import nibabel
    import numpy as np
    from monai.data import MetaTensor
    from monai.inferers import sliding_window_inference
    from monai.transforms import (
        Compose,
        CropForegroundd,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    low, high = settings["windowHu"]
    prepare = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd("image", pixdim=settings["spacingMm"], mode="bilinear"),
            ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=0, b_max=1, clip=True),
            CropForegroundd("image", source_key="image", allow_smaller=True),
        ]
    )
    case = prepare({"image": image})
    with torch.no_grad():
        logits = sliding_window_inference(
            case["image"].as_tensor()[None],
            settings["patch"],
            settings["windowBatch"],
            network,
            settings["overlap"],
            mode=settings["blend"],
        )[0]
    labels = logits.argmax(0, keepdim=True)
    del logits
    ids = torch.tensor(settings["maskIds"], dtype=torch.uint8)
    case["pred"] = MetaTensor(ids[labels], meta=case["image"].meta)
    inverted = Invertd("pred", transform=prepare, orig_keys="image", nearest_interp=True, to_tensor=True)(case)
    mask = inverted["pred"][0].numpy().astype(np.uint8)
    path = Path(settings["out"]) / f"{name}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(mask, nibabel.load(image).affine), path)
    return {"file": str(path)}


if __name__ == "__main__":
    main()
