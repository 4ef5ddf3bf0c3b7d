"""Offline synthesis: tumors painted into whole scans, judged, and written on the scan's own grid (method.md 6, 9, 12).

    freetumor synthesize --generator model.pt --baseline model.pt --images DIR --labels DIR --out DIR

Every rank asks for variants of cases until none is left; TypeScript plans the tumors, judges them and keeps the ledger.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freetumor_runtime.config.synthesis import SynthesizeCase, SynthesizeSpec
from freetumor_runtime.data.boxes import as_box, box_at, within
from freetumor_runtime.data.cache import read_prepared_subvolume
from freetumor_runtime.data.components import largest_whole_component
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.grids import align_label
from freetumor_runtime.data.label_ids import IGNORED_LABEL
from freetumor_runtime.data.nifti import load_nifti, write_synced
from freetumor_runtime.data.original_scan import OriginalScan, SubvolumeChange, apply_changes, load_original, write_like
from freetumor_runtime.data.prepared_case import remap_label
from freetumor_runtime.data.variant_source import Attempt, AttemptMeasures, Round, VariantSource
from freetumor_runtime.data.way_back import ScanGrids, scan_grids
from freetumor_runtime.errors import DataError, FreetumorError
from freetumor_runtime.events import Event, Finished
from freetumor_runtime.synthesis.render import SYNTHETIC
from freetumor_runtime.synthesis.subvolume import (
    OpenSubvolume,
    PaintedTumor,
    Tools,
    measure_attempt,
    memory_mb,
    paint_attempt,
)
from freetumor_runtime.training.heap import keep_freed_memory, return_freed_memory
from freetumor_runtime.training.pictures import plane_pictures, slice_picture, tumor_facts, tumor_plane
from freetumor_runtime.training.ranks import Ranks


def synthesize(spec: SynthesizeSpec, ranks: Ranks, source: VariantSource) -> Iterator[Event]:
    keep_freed_memory(ranks.device)
    tools = Tools.load(spec, ranks.device)
    cases = {case.id: case for case in spec.cases}
    case: OpenCase | None = None
    while (first := source.begin()) is not None:
        try:
            if case is None or case.case.id != first.case_id:
                case = None  # its arrays go before those of the next one come
                return_freed_memory()
                case = OpenCase.open(cases[first.case_id], tools, first)
            result = make_variant(case, tools, first, source)
        except FreetumorError as error:
            result = {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}
        source.written(first.case_id, first.variant, result)
    yield Finished(0, "completed", "")


@dataclass
class OpenCase:
    """A case and the subvolume of its prepared grid that is worked on."""

    case: SynthesizeCase
    subvolume: OpenSubvolume
    # the subvolume's first voxel in the prepared grid
    start: tuple[int, ...]
    # what the cache records of the prepared grid
    attributes: dict[str, Any]
    seconds: dict[str, float]
    _original: tuple[OriginalScan, np.ndarray] | None = field(default=None, repr=False)

    @staticmethod
    def open(case: SynthesizeCase, tools: Tools[SynthesizeSpec], first: Round) -> "OpenCase":
        started = perf_counter()
        part = box_at(first.subvolume_start, first.subvolume_shape)
        image_hu, label, attributes = read_prepared_subvolume(case.prepared, part, case.contentSha256)
        subvolume = OpenSubvolume.open(torch.from_numpy(image_hu), torch.from_numpy(label), tools)
        seconds = {"read": perf_counter() - started, "write": 0.0}
        return OpenCase(case, subvolume, first.subvolume_start, attributes, seconds)

    def original(self, spec: SynthesizeSpec) -> tuple[OriginalScan, np.ndarray]:
        """Return the stored scan and its label in ids of the region, on the scan's own grid; read once."""
        if self._original is None:
            started = perf_counter()
            scan = load_original(self.case.image)
            source, affine = load_nifti(self.case.label)
            aligned = align_label(source, affine, scan.stored_IJK.shape, scan.header.affine)
            if aligned is None:
                raise DataError(f"{self.case.label}: its grid is not that of {self.case.image}", "resample the label")
            label_IJK = remap_label(aligned, self.case.labelMap, spec.numIds, self.case.label)
            self._original = scan, label_IJK
            self.seconds["read"] += perf_counter() - started
        return self._original

    def grids(self, scan: OriginalScan) -> ScanGrids:
        recorded = self.attributes
        affine = np.array(recorded["affine"], np.float64).reshape(4, 4)
        shapes = scan.stored_IJK.shape, scan.header.affine, recorded["shape"], affine
        return scan_grids(*shapes, recorded["cropStart"], recorded["spacingMm"])


def make_variant(case: OpenCase, tools: Tools[SynthesizeSpec], round_: Round, source: VariantSource) -> dict:
    """Paint one variant, send its measures for judgement, and write it.

    Returns `{files: {image, label, change, tumors} | null, sha256: {...}, host: sha256, changedVoxels, rejected,
    seconds}`; `files` are names in the output's folders, null when no tumor was accepted. `rejected` lists the rejected
    tumors in `rejected/` as `{tumor, attempt, file, sha256}`.
    """
    subvolume = case.subvolume
    painted_XYZ = subvolume.image_XYZ.clone()
    case.seconds["write"] = subvolume.seconds["render"] = subvolume.seconds["judge"] = 0.0
    kept: list[PaintedTumor] = []
    rejected: list[dict] = []
    with_slice: set[tuple[str, bool]] = set()
    if _is_example(case, tools.spec, round_):
        leave_real_pictures(case, tools.spec)
    place = round_.case_id, round_.variant
    while round_.attempts:
        painted = [paint_attempt(subvolume, painted_XYZ, attempt, place) for attempt in round_.attempts]
        pictured = list(painted) if _is_example(case, tools.spec, round_) else []
        shown = [(one, painted_XYZ[one.box].clone()) for one in pictured if one is not None]
        measures = [
            measure_attempt(subvolume, tools, painted_XYZ, one, attempt)
            for one, attempt in zip(painted, round_.attempts, strict=True)
        ]
        variant = round_.variant
        round_ = source.judged(measures)
        accepted = set(round_.accepted)
        for tumor in painted:
            if tumor is not None and tumor.attempt.tumor in round_.kept_rejected:
                rejected.append(write_rejected(case, tools.spec, tumor.attempt, variant))
        for tumor, after_XYZ in shown:
            kept_it = tumor.attempt.tumor in accepted
            # one whole slice of each organ and verdict, because it is larger than all the rest
            first_of_kind = (tumor.organ.name, kept_it) not in with_slice
            with_slice.add((tumor.organ.name, kept_it))
            leave_picture(case, tools.spec, variant, tumor, after_XYZ, measures, kept_it, first_of_kind)
        for tumor in reversed(painted):
            if tumor is not None and tumor.attempt.tumor not in accepted:
                painted_XYZ[tumor.box] = tumor.before_XYZ
        kept += [tumor for tumor in painted if tumor is not None and tumor.attempt.tumor in accepted]
    result: dict = {"files": None}
    if kept:
        result = write_scan(case, tools.spec, painted_XYZ, kept, round_.variant)
    if rejected:
        result |= {"rejected": rejected, "host": case.original(tools.spec)[0].sha256}
    seconds = {name: round(value, 4) for name, value in {**case.seconds, **subvolume.seconds}.items()}
    # read once, for all variants
    case.seconds["read"] = 0.0
    return {**result, "seconds": seconds, "memoryMb": {"loaded": tools.loaded_mb, "peak": memory_mb("VmHWM")}}


def write_rejected(case: OpenCase, spec: SynthesizeSpec, attempt: Attempt, variant: int) -> dict:
    """Write a scan with a rejected tumor alone, for reviewers."""
    alone_XYZ = case.subvolume.image_XYZ.clone()
    tumor = paint_attempt(case.subvolume, alone_XYZ, attempt, (case.case.id, variant))
    assert tumor is not None
    written = write_scan(case, spec, alone_XYZ, [tumor], variant, rejected=attempt)
    return {
        "tumor": attempt.tumor,
        "attempt": attempt.attempt,
        "file": written["files"]["image"],
        "sha256": written["sha256"]["image"],
    }


def write_scan(
    case: OpenCase,
    spec: SynthesizeSpec,
    painted_XYZ: Tensor,
    kept: Sequence[PaintedTumor],
    variant: int,
    rejected: Attempt | None = None,
) -> dict:
    """Write a scan with painted tumors into the folders of the output; one with a rejected tumor into `rejected/`."""
    name = f"{case.case.name}_v{variant:03d}"
    within, verdict = "", "accepted"
    if rejected is not None:
        name, within, verdict = f"{name}_t{rejected.tumor}_a{rejected.attempt}", "rejected", "rejected"
    scan, label_IJK = case.original(spec)
    started = perf_counter()
    organs = sorted({tumor.organ.label for tumor in kept})
    changes = [
        change_of(case, spec, painted_XYZ, [tumor for tumor in kept if tumor.organ.label == organ]) for organ in organs
    ]
    changed = apply_changes(scan, label_IJK, changes, case.grids(scan))
    label = changed.label_IJK
    files = {
        "image": f"{name}_0000.nii.gz" if spec.layout == "nnunet" else f"{name}.nii.gz",
        "label": f"{name}.nii.gz",
        "change": f"{name}.nii.gz",
        "tumors": f"{name}.nii.gz",
    }
    folders = {"image": "imagesTr", "label": "labelsTr", "change": "changeTr", "tumors": "tumorsTr"}
    ignored_IJK = label == IGNORED_LABEL
    if spec.labelIds != tuple(range(spec.numIds)):
        label = np.array(spec.labelIds, np.uint8)[np.where(ignored_IJK, 0, label)]
    label[ignored_IJK] = spec.ignoredId
    arrays = {
        "image": changed.stored_IJK,
        "label": label,
        "change": changed.change_IJK,
        "tumors": changed.tumors_IJK,
    }
    sha256 = {}
    for kind, array in arrays.items():
        path = os.path.join(spec.directory, within, folders[kind], files[kind])
        mark = {
            "kind": kind,
            "verdict": verdict,
            "variant": variant,
            "host": scan.sha256,
            "settings": spec.mark.settings,
            "generator": spec.mark.generator,
        }
        sha256[kind] = write_like(path, scan, array, is_scan=kind == "image", mark=mark)
    case.seconds["write"] += perf_counter() - started
    return {"files": files, "sha256": sha256, "host": scan.sha256, "changedVoxels": int(changed.change_IJK.sum())}


def change_of(
    case: OpenCase, spec: SynthesizeSpec, painted_XYZ: Tensor, kept: Sequence[PaintedTumor]
) -> SubvolumeChange:
    """Return the changes by the tumors of one organ, in the smallest part of the subvolume that holds them."""
    subvolume = case.subvolume
    part = as_box(
        slice(min(tumor.box[axis].start for tumor in kept), max(tumor.box[axis].stop for tumor in kept))
        for axis in range(3)
    )
    organ_XYZ = subvolume.label_XYZ[part] == kept[0].organ.label
    width = spec.windowHu[1] - spec.windowHu[0]
    delta_hu_XYZ = ((painted_XYZ[part] - subvolume.image_XYZ[part]) * width * organ_XYZ).cpu().numpy()
    synthetic_XYZ = np.zeros(delta_hu_XYZ.shape, np.uint8)
    boxes = []
    for tumor in kept:
        box = within(tumor.box, part)
        synthetic_XYZ[box][(tumor.roles_XYZ == SYNTHETIC).cpu().numpy()] = tumor.attempt.tumor + 1
        boxes.append(box)
    start = [first + one.start for first, one in zip(case.start, part, strict=True)]
    organ = kept[0].organ
    return SubvolumeChange(organ.label, organ.tumorLabel, delta_hu_XYZ, synthetic_XYZ, start, boxes)


def _is_example(case: OpenCase, spec: SynthesizeSpec, round_: Round) -> bool:
    """Return whether a variant is an example: the first one of a pictured case, also after a restart."""
    return case.case.pictured and round_.variant == 0 and spec.pictures > 0


def leave_picture(
    case: OpenCase,
    spec: SynthesizeSpec,
    variant: int,
    tumor: PaintedTumor,
    after_XYZ: Tensor,
    measures: Sequence[AttemptMeasures],
    accepted: bool,
    with_whole: bool,
) -> None:
    """Three planes through the tumor in `pictures/`: before, after, mask; and the whole axial slice if requested."""
    seen = next(one for one in measures if one.tumor == tumor.attempt.tumor)
    volumes = {
        "host": tumor.before_XYZ * 255,
        "synthetic": after_XYZ * 255,
        "mask": tumor.roles_XYZ == SYNTHETIC,
    }
    picture = {
        "case": case.case.id,
        "variant": variant,
        "tumor": tumor.attempt.tumor,
        "attempt": tumor.attempt.attempt,
        "organ": tumor.attempt.plan.organ,
        "size": tumor.attempt.plan.size,
        "verdict": "accepted" if accepted else "rejected",
        "shareSeen": seen.seen_voxels / seen.synthetic_voxels if spec.baseline is not None else None,
        **tumor_facts(volumes["mask"], spec.spacingMm, spec.windowHu),
        "planes": plane_pictures(volumes, spec.spacingMm),
        **({"whole": whole_slice(case, spec, tumor, after_XYZ)} if with_whole else {}),
    }
    write_picture(spec, f"{case.case.name}_v{variant:03d}_t{tumor.attempt.tumor}_a{tumor.attempt.attempt}", picture)


def leave_real_pictures(case: OpenCase, spec: SynthesizeSpec) -> None:
    """Leave a picture of the largest real tumor of each organ of the host, to compare synthetic tumors with."""
    for organ in spec.organs:
        mask_XYZ = largest_whole_component((case.subvolume.label_XYZ == organ.tumorLabel).cpu().numpy())
        if mask_XYZ is None:
            continue
        volumes = {"host": case.subvolume.image_XYZ.cpu() * 255, "mask": torch.from_numpy(mask_XYZ)}
        picture = {
            "kind": "real",
            "case": case.case.id,
            "organ": organ.name,
            **tumor_facts(volumes["mask"], spec.spacingMm, spec.windowHu),
            "planes": [tumor_plane(volumes, spec.spacingMm)],
        }
        write_picture(spec, f"real_{organ.name}_{case.case.name}", picture)


def write_picture(spec: SynthesizeSpec, name: str, picture: dict[str, Any]) -> None:
    folder = Path(spec.directory) / "pictures"
    folder.mkdir(exist_ok=True)
    write_synced(str(folder / f"{name}.json"), json.dumps(picture).encode())


def whole_slice(case: OpenCase, spec: SynthesizeSpec, tumor: PaintedTumor, after_XYZ: Tensor) -> dict[str, Any]:
    """Return the axial slice of the prepared scan with most of the tumor: `image` with the tumor, and its `mask`."""
    mask_XYZ = tumor.roles_XYZ == SYNTHETIC
    at = int(mask_XYZ.sum((0, 1)).argmax())
    corner = [first + part.start for first, part in zip(case.start, tumor.box, strict=True)]
    plane = slice(None), slice(None), slice(corner[2] + at, corner[2] + at + 1)
    image_hu, _, _ = read_prepared_subvolume(case.case.prepared, plane, case.case.contentSha256)
    image_XY = window_intensity(torch.from_numpy(image_hu), spec.windowHu)[..., 0]
    mask_XY = torch.zeros_like(image_XY, dtype=torch.bool)
    box = tuple(slice(start, start + length) for start, length in zip(corner[:2], mask_XYZ.shape[:2], strict=True))
    image_XY[box], mask_XY[box] = after_XYZ[..., at].cpu(), mask_XYZ[..., at].cpu()
    return slice_picture("axial", {"image": image_XY * 255, "mask": mask_XY}, spec.spacingMm[:2])
