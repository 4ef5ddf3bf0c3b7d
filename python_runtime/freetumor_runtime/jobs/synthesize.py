"""Offline synthesis: tumors painted into whole scans, judged, and written on the scan's own grid (METHOD 6, 9, 12).

    freetumor synthesize --generator model.pt --baseline model.pt --images DIR --labels DIR --out DIR

Every rank asks for variants of cases until none is left; TypeScript plans the tumors, judges them and keeps the ledger.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from freetumor_runtime.config import SynthesizeCase, SynthesizeSpec
from freetumor_runtime.data.cache import read_prepared_case
from freetumor_runtime.data.crops import window
from freetumor_runtime.data.grids import align_label
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.original_scan import OriginalScan, RegionChange, apply_change, load_original, write_like
from freetumor_runtime.data.variants import Attempt, AttemptMeasures, Round, VariantSource
from freetumor_runtime.errors import DataError, FreetumorError
from freetumor_runtime.events import Event, Finished
from freetumor_runtime.jobs.prepare import remap_label
from freetumor_runtime.models.checkpoint import LoadedSegmentor, load_generator, load_segmentor
from freetumor_runtime.synthesis.measures import TumorView, measure, real_tumor_places_mm
from freetumor_runtime.synthesis.render import (
    SYNTHETIC,
    Box,
    bounding_box,
    edge_mask,
    grown,
    paint,
    region_roles,
    with_synthetic,
)
from freetumor_runtime.synthesis.texture import TextureBank
from freetumor_runtime.synthesis.whole_field import whole_field
from freetumor_runtime.synthesis.window_field import WindowField
from freetumor_runtime.training.pictures import plane_pictures
from freetumor_runtime.training.ranks import Ranks

# A box of the region -> what the averaged output of a network says there, [K, X, Y, Z].
Field = Callable[[Box], Tensor]


def synthesize(spec: SynthesizeSpec, ranks: Ranks, source: VariantSource) -> Iterator[Event]:
    tools = Tools.load(spec, ranks.device)
    cases = {case.id: case for case in spec.cases}
    case: OpenCase | None = None
    while (first := source.begin()) is not None:
        try:
            if case is None or case.id != first.case_id:
                case = None  # its arrays go before those of the next one come
                case = OpenCase.open(cases[first.case_id], tools, first)
            result = make_variant(case, tools, first, source)
        except FreetumorError as error:
            result = {"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}
        source.written(first.case_id, first.variant, result)
    yield Finished(0, "completed", "")


@dataclass(frozen=True)
class Tools:
    spec: SynthesizeSpec
    device: torch.device
    generator: torch.nn.Module | None
    # one output of the generator for all organs
    shared_channel: bool
    judge: LoadedSegmentor | None

    @staticmethod
    def load(spec: SynthesizeSpec, device: torch.device) -> "Tools":
        generator, shared = None, False
        if spec.generator is not None:
            loaded = load_generator(spec.generator.checkpoint, spec.generator.channel, device)
            generator, shared = loaded.network, loaded.channel.value == "shared"
        judge = None
        if spec.baseline is not None:
            judge = load_segmentor(spec.baseline.checkpoint, spec.baseline.patchMerging, device)
        return Tools(spec, device, generator, shared, judge)

    def raw_field(self, image_XYZ: Tensor) -> Field | None:
        """The generator's raw output, each window by itself; windows of a batch together where that is asked for."""
        if self.generator is None:
            return None
        windows = self.spec.generatorWindows
        if windows.windowBatch > 1:
            return whole_field(self.generator, image_XYZ, self.spec.patchVoxels, windows.overlap, windows.windowBatch)
        return WindowField(self.generator, image_XYZ, self.spec.patchVoxels, windows.overlap, keep=True).at

    def seen_field(self, image_XYZ: Tensor, keep: bool = False) -> Field:
        """Where the baseline calls tumor, bool [1, X, Y, Z]."""
        assert self.judge is not None
        patch = self.judge.metadata.get("patchVoxels", self.spec.patchVoxels)
        tumors = torch.tensor(self.judge.tumor_outputs, device=self.device)

        def calls_tumor(logits_CXYZ: Tensor) -> Tensor:
            return torch.isin(logits_CXYZ.argmax(0, keepdim=True), tumors)

        # its norms are those of each window: how many share a batch does not matter
        return WindowField(
            self.judge.network,
            image_XYZ,
            patch,
            self.spec.judgeOverlap,
            batch=self.spec.judgeWindowBatch,
            keep=keep,
            finish=calls_tumor,
        ).at


@dataclass
class OpenCase:
    """A case and the region of its prepared grid that is worked on; arrays [X, Y, Z] of the region."""

    id: str
    case: SynthesizeCase
    # windowed to 0..1, float32
    image_XYZ: Tensor
    # ids of the region, uint8
    label_XYZ: Tensor
    # of the region's first voxel
    affine: np.ndarray
    textures: TextureBank
    raw: Field | None
    already_seen: Field | None
    real_tumor_mm: np.ndarray
    seconds: dict[str, float]
    _original: tuple[OriginalScan, np.ndarray] | None = field(default=None, repr=False)

    @staticmethod
    def open(case: SynthesizeCase, tools: Tools, first: Round) -> "OpenCase":
        started = perf_counter()
        spec = tools.spec
        image_hu, label, attributes = read_prepared_case(case.prepared)
        part = tuple(
            slice(start, start + side) for start, side in zip(first.region_start, first.region_shape, strict=True)
        )
        image_XYZ = window(torch.from_numpy(image_hu[part].copy()).to(tools.device), spec.windowHu)
        label_XYZ = torch.from_numpy(label[part].copy()).to(tools.device)
        affine = np.array(attributes["affine"], np.float64).reshape(4, 4)
        affine[:3, 3] += affine[:3, :3] @ np.array(first.region_start)
        size = tuple(
            max(side, length + 16) for side, length in zip(spec.textureSizeVoxels, label_XYZ.shape, strict=True)
        )
        tumors = [organ.tumorLabel for organ in spec.organs]
        roles = region_roles(label_XYZ, organ_label=0, tumor_labels=tumors).cpu().numpy()
        wants_already = tools.judge is not None and spec.measureAlreadySeen
        return OpenCase(
            id=case.id,
            case=case,
            image_XYZ=image_XYZ,
            label_XYZ=label_XYZ,
            affine=affine,
            textures=TextureBank(spec.textureDirectory, size, spec.textureSeed),
            raw=tools.raw_field(image_XYZ),
            already_seen=tools.seen_field(image_XYZ, keep=True) if wants_already else None,
            real_tumor_mm=real_tumor_places_mm(roles, spec.spacingMm),
            seconds={"read": perf_counter() - started, "render": 0.0, "judge": 0.0, "write": 0.0},
        )

    def original(self, spec: SynthesizeSpec) -> tuple[OriginalScan, np.ndarray]:
        """The scan as it is stored and its label in ids of the region, on the scan's own grid; read once."""
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


@dataclass(frozen=True)
class Stroke:
    """A painted attempt: where, and what was there before."""

    attempt: Attempt
    box: Box
    before_XYZ: Tensor
    # after the tumor was placed, uint8
    roles_XYZ: Tensor
    tumor_label: int


def make_variant(case: OpenCase, tools: Tools, round_: Round, source: VariantSource) -> dict:
    """Paints, has judged and writes one variant.

    Returns `{files: {image, label, change} | null, sha256: {...}, host: sha256, changedVoxels, seconds}`; `files` are
    names in the output's folders, null when no tumor was accepted.
    """
    painted_XYZ = case.image_XYZ.clone()
    case.seconds.update(render=0.0, judge=0.0, write=0.0)
    kept: list[Stroke] = []
    while round_.attempts:
        strokes = [lay(case, tools, painted_XYZ, attempt) for attempt in round_.attempts]
        pictured = list(strokes) if _is_example(case, tools.spec, round_) else []
        shown = [(one, painted_XYZ[one.box].clone()) for one in pictured if one is not None]
        measures = [look(case, tools, painted_XYZ, one, at) for one, at in zip(strokes, round_.attempts, strict=True)]
        variant = round_.variant
        round_ = source.judged(measures)
        accepted = set(round_.accepted)
        for stroke, after_XYZ in shown:
            leave_picture(case, tools.spec, variant, stroke, after_XYZ, measures, stroke.attempt.tumor in accepted)
        for stroke in reversed(strokes):
            if stroke is not None and stroke.attempt.tumor not in accepted:
                painted_XYZ[stroke.box] = stroke.before_XYZ
        kept += [stroke for stroke in strokes if stroke is not None and stroke.attempt.tumor in accepted]
    result = write_variant(case, tools.spec, painted_XYZ, kept, round_.variant) if kept else {"files": None}
    return {**result, "seconds": {name: round(value, 4) for name, value in case.seconds.items()}}


@torch.no_grad()
def lay(case: OpenCase, tools: Tools, painted_XYZ: Tensor, attempt: Attempt) -> Stroke | None:
    """Paints a planned tumor into the region; None when it has no voxel of organ."""
    started = perf_counter()
    spec, plan = tools.spec, attempt.plan
    organ = next(organ for organ in spec.organs if organ.name == plan.organ)
    shape_box = tuple(
        slice(max(0, start), min(side, start + length))
        for start, length, side in zip(plan.origin, plan.shape_box.shape, case.label_XYZ.shape, strict=True)
    )
    reach = int(4 * plan.edge_sigma + 0.5) + 3
    box = grown(shape_box, reach, case.label_XYZ.shape)
    shape_XYZ = torch.zeros([part.stop - part.start for part in box], dtype=torch.bool, device=tools.device)
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(shape_box, box, strict=True))
    cut = tuple(slice(a.start - at, a.stop - at) for a, at in zip(shape_box, plan.origin, strict=True))
    shape_XYZ[inner] = plan.shape_box.to(tools.device)[cut] > 0

    tumors = [one.tumorLabel for one in spec.organs]
    before_roles = region_roles(case.label_XYZ[box], organ_label=organ.label, tumor_labels=tumors)
    edge_XYZ = edge_mask(before_roles, shape_XYZ)
    roles_XYZ = with_synthetic(before_roles, shape_XYZ)
    if bounding_box(roles_XYZ == SYNTHETIC) is None:
        return None
    before_XYZ = painted_XYZ[box].clone()
    texture_start = [at + part.start for at, part in zip(plan.texture_start, box, strict=True)]
    painted_XYZ[box] = paint(
        before_XYZ,
        None if case.raw is None else case.raw(box),
        edge_XYZ,
        case.textures.window(plan.texture_index, texture_start, tuple(shape_XYZ.shape), tools.device),
        roles_XYZ,
        sigma=plan.edge_sigma,
        channel=0 if tools.shared_channel else organ.channel,
        region=spec.region,
        handcrafted_difference=plan.handcrafted_difference,
    )
    case.seconds["render"] += perf_counter() - started
    return Stroke(attempt, box, before_XYZ, roles_XYZ, organ.tumorLabel)


@torch.no_grad()
def look(case: OpenCase, tools: Tools, painted_XYZ: Tensor, stroke: Stroke | None, attempt: Attempt) -> AttemptMeasures:
    """What the baseline and the measures say of a painted tumor."""
    if stroke is None:
        return AttemptMeasures(attempt.tumor, 0, 0, 0, 0.0, {})
    started = perf_counter()
    spec, box = tools.spec, stroke.box
    synthetic_XYZ = stroke.roles_XYZ == SYNTHETIC
    inside = bounding_box(synthetic_XYZ)
    assert inside is not None
    around = tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(inside, box, strict=True))
    seen = already = 0
    if tools.judge is not None:
        seen = int((tools.seen_field(painted_XYZ)(around)[0] & synthetic_XYZ[inside]).sum())
        if case.already_seen is not None:
            already = int((case.already_seen(around)[0] & synthetic_XYZ[inside]).sum())
    after_XYZ = painted_XYZ[box]
    view = TumorView(
        image_XYZ=after_XYZ.cpu().numpy(),
        roles_XYZ=stroke.roles_XYZ.cpu().numpy(),
        spacing_mm=spec.spacingMm,
        window_width_hu=spec.windowHu[1] - spec.windowHu[0],
        shape_voxels=int((attempt.plan.shape_box > 0).sum()),
        real_tumor_mm=case.real_tumor_mm,
        origin_mm=[part.start * mm for part, mm in zip(box, spec.spacingMm, strict=True)],
    )
    change = float((after_XYZ - case.image_XYZ[box])[synthetic_XYZ].mean(dtype=torch.float64))
    more = measure(view, spec.measures)
    case.seconds["judge"] += perf_counter() - started
    return AttemptMeasures(attempt.tumor, int(synthetic_XYZ.sum()), seen, already, change, more)


def write_variant(
    case: OpenCase, spec: SynthesizeSpec, painted_XYZ: Tensor, kept: Sequence[Stroke], variant: int
) -> dict:
    scan, label_IJK = case.original(spec)
    started = perf_counter()
    width = spec.windowHu[1] - spec.windowHu[0]
    delta_hu_XYZ = np.zeros(tuple(painted_XYZ.shape), np.float32)
    synthetic_XYZ = np.zeros(tuple(painted_XYZ.shape), np.uint8)
    for stroke in kept:
        delta_hu_XYZ[stroke.box] = ((painted_XYZ[stroke.box] - case.image_XYZ[stroke.box]) * width).cpu().numpy()
        is_new = (stroke.roles_XYZ == SYNTHETIC).cpu().numpy()
        synthetic_XYZ[stroke.box][is_new] = stroke.tumor_label
    change = RegionChange(delta_hu_XYZ, synthetic_XYZ, case.affine, [stroke.box for stroke in kept])
    organs = [organ.label for organ in spec.organs]
    stored, label, changed = apply_change(scan, label_IJK, organs, change)
    name = f"{case.case.name}_v{variant:03d}"
    files = {
        "image": f"{name}_0000.nii.gz" if spec.layout == "nnunet" else f"{name}.nii.gz",
        "label": f"{name}.nii.gz",
        "change": f"{name}.nii.gz",
    }
    folders = {"image": "imagesTr", "label": "labelsTr", "change": "changeTr"}
    arrays = {"image": stored, "label": label, "change": changed}
    sha256 = {
        kind: write_like(os.path.join(spec.directory, folders[kind], files[kind]), scan, array, is_scan=kind == "image")
        for kind, array in arrays.items()
    }
    case.seconds["write"] += perf_counter() - started
    return {"files": files, "sha256": sha256, "host": scan.sha256, "changedVoxels": int(changed.sum())}


def _is_example(case: OpenCase, spec: SynthesizeSpec, round_: Round) -> bool:
    """The first variants of the first cases: whatever was done before a restart, the same ones."""
    return case.case.pictured and round_.variant == 0 and spec.pictures > 0


def leave_picture(
    case: OpenCase,
    spec: SynthesizeSpec,
    variant: int,
    stroke: Stroke,
    after_XYZ: Tensor,
    measures: Sequence[AttemptMeasures],
    accepted: bool,
) -> None:
    """Three planes through the tumor in `pictures/`: before, after, mask."""
    seen = next(one for one in measures if one.tumor == stroke.attempt.tumor)
    volumes = {
        "host": stroke.before_XYZ * 255,
        "synthetic": after_XYZ * 255,
        "mask": stroke.roles_XYZ == SYNTHETIC,
    }
    picture = {
        "case": case.id,
        "variant": variant,
        "tumor": stroke.attempt.tumor,
        "attempt": stroke.attempt.attempt,
        "organ": stroke.attempt.plan.organ,
        "size": stroke.attempt.plan.size,
        "verdict": "accepted" if accepted else "rejected",
        "shareSeen": seen.seen_voxels / seen.synthetic_voxels if spec.baseline is not None else None,
        "planes": plane_pictures(volumes),
    }
    folder = Path(spec.directory) / "pictures"
    folder.mkdir(exist_ok=True)
    name = f"{case.case.name}_v{variant:03d}_t{stroke.attempt.tumor}_a{stroke.attempt.attempt}.json"
    aside = folder / f"{name}.tmp"
    aside.write_text(json.dumps(picture), encoding="utf-8")
    aside.rename(folder / name)
