"""Label maps of whole scans by sliding windows, on the scan's own grid or the prepared one (docs/method.md 11).

    freetumor predict --checkpoint model.pt --images DIR --out DIR

Every rank asks for cases until none is left; TypeScript hands them out and keeps the record.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from freetumor_runtime.case_pool import outcome_of
from freetumor_runtime.checkpoints.loading import load_segmentor
from freetumor_runtime.checkpoints.nnunet_export import checkpoint_plans
from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
from freetumor_runtime.checkpoints.nnunet_inspection import scan_axis
from freetumor_runtime.checkpoints.nnunet_plans import NnUNetPlans, is_model_folder
from freetumor_runtime.config.cases import PredictCase, PredictMember, PredictSpec
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.nifti import load_nifti, read_header, save_nifti
from freetumor_runtime.data.original_grid import linear_on_scan, needed_on_prepared
from freetumor_runtime.data.way_back import nearest_on_scan
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.evaluation.lesion_rule import FoundLesions, needs_probabilities, without_lesions
from freetumor_runtime.events import Event, Finished
from freetumor_runtime.inference.ensemble import Predictor, predictor_of, to_probabilities
from freetumor_runtime.inference.nnunet import NnUNetLogits, segment_scan, winners_of
from freetumor_runtime.inference.open_scan import (
    OpenScan,
    load_on_scan,
    load_organ,
    on_prepared_grid,
    organ_on_prepared,
)
from freetumor_runtime.inference.plugin_segmentor import PluginSegmentor
from freetumor_runtime.inference.sliding_windows import (
    Planes,
    WindowCount,
    labels_of,
)
from freetumor_runtime.inference.window_choice import walk_through
from freetumor_runtime.plugins.client import Plugin
from freetumor_runtime.training.heap import keep_freed_memory, return_freed_memory
from freetumor_runtime.training.ranks import Ranks

# Time between two reports of the progress within a case.
_REPORT_SECONDS = 2.0


# A part of a mask, and the tumor probabilities of its voxels.
ScoredPart = tuple[Sequence[slice], np.ndarray]


class CaseSource(Protocol):
    """Hands out the ids of cases, to whichever rank asks first."""

    def next(self) -> str | None: ...

    def progress(self, case_id: str, done: int, total: int) -> None: ...

    def done(self, case_id: str, result: dict) -> None: ...


def predict(spec: PredictSpec, ranks: Ranks, source: CaseSource) -> Iterator[Event]:
    keep_freed_memory(ranks.device)
    work_of: Callable[..., dict]
    if spec.plugin is None and (spec.method == "nnunet" or is_model_folder(spec.members[0].checkpoint)):
        model = load_model(spec, ranks.device)
        work_of, count = partial(predict_by_nnunet, spec, model, ranks.device), len(model.networks)
    else:
        members, glancer = load_members(spec, ranks.device), load_glancer(spec, ranks.device)
        work_of, count = partial(predict_case, spec, members, ranks.device, glancer=glancer), len(members)
    cases = {case.id: case for case in spec.cases}
    while (case_id := source.next()) is not None:
        progress = CaseProgress(source, case_id, count)
        work = partial(work_of, on_windows=progress.add)
        source.done(case_id, outcome_of(cases[case_id], work, "lower --window-batch or --workers"))
        return_freed_memory()
    yield Finished(0, "completed", "")


class CaseProgress:
    """Report the finished windows of a case over all members of an ensemble, at most every few seconds."""

    def __init__(self, source: CaseSource, case_id: str, members: int) -> None:
        self._source, self._case_id, self._members = source, case_id, members
        self._done, self._reported = 0, perf_counter()

    def add(self, count: int, windows: int) -> None:
        """Add finished windows; `windows` is the number that each member computes."""
        self._done += count
        now = perf_counter()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._source.progress(self._case_id, self._done, windows * self._members)


def load_members(spec: PredictSpec, device: torch.device) -> list[Predictor]:
    if spec.plugin is not None:
        segmentor = PluginSegmentor(
            Plugin(spec.plugin, str(device), spec.threadsPerProcess), spec.windowHu, spec.spacingMm
        )
        refuse_other_outputs(spec, f"plug-in {segmentor.plugin.facts.name}", segmentor.outputs)
        return [predictor_of(segmentor.eval(), spec.mirrorAxes, "fp32")]
    return [load_member(spec, member, device, spec.mirrorAxes) for member in spec.members]


def load_member(
    spec: PredictSpec, member: PredictMember, device: torch.device, mirror_axes: Sequence[int]
) -> Predictor:
    loaded = load_segmentor(member.checkpoint, member.patchMerging, device, member.weights)
    refuse_other_outputs(spec, member.checkpoint, loaded.facts["outputs"])
    return predictor_of(loaded.network, mirror_axes, spec.precision)


def load_glancer(spec: PredictSpec, device: torch.device) -> Predictor | None:
    return None if spec.glance is None else load_member(spec, spec.glance.member, device, ())


def refuse_other_outputs(spec: PredictSpec, path: str, found: int) -> None:
    if found != len(spec.maskIds):
        raise CheckpointError(
            f"{path}: wrong outputs (expected {len(spec.maskIds)}, found {found})",
            "start again: the file was replaced meanwhile",
        )


@dataclass(frozen=True)
class NnUNetModel:
    """The folds of an nnU-Net, or one `resenc` or `unet` of ours; `mirror_axes` of the transposed array."""

    plans: NnUNetPlans
    networks: list[nn.Module]
    mirror_axes: tuple[int, ...]


def load_model(spec: PredictSpec, device: torch.device) -> NnUNetModel:
    path, weights = spec.members[0].checkpoint, spec.members[0].weights
    if is_model_folder(path):
        folder = read_folder(path)
        plans, networks = folder.plans, list[nn.Module](load_folds(folder, device))
    else:
        plans, networks = checkpoint_plans(path, weights), [load_segmentor(path, None, device, weights).network]
    refuse_other_outputs(spec, path, len(plans.label_names))
    axes = tuple(axis for axis in range(3) if scan_axis(plans, axis) in spec.mirrorAxes)
    return NnUNetModel(plans, networks, axes)


def predict_by_nnunet(
    spec: PredictSpec,
    model: NnUNetModel,
    device: torch.device,
    case: PredictCase,
    on_windows: WindowCount | None = None,
) -> dict:
    """Write the mask of one scan as nnunetv2 does, and its probabilities if requested. Returns as predict_case."""
    started = perf_counter()
    image_IJK, affine = load_nifti(case.image)
    organ_IJK = None if case.organMask is None else load_organ(spec, case.organMask, image_IJK.shape, affine)
    read = perf_counter()
    found = segment_scan(
        model.networks,
        model.plans,
        image_IJK,
        affine,
        mirror_axes=model.mirror_axes,
        overlap=spec.windows.overlap,
        device=device,
        precision=spec.precision,
        on_windows=on_windows,
    )
    refuse_overflow(spec, torch.from_numpy(found.logits.astype(np.float32)))
    mask = without_tumors_outside(spec, found.on_scan(winners_of(found.logits), 0), organ_IJK)
    segment = perf_counter()
    ids, lesions = at_operating_point(spec, mask, affine, lambda: nnunet_scores(spec, found))
    files, voxels = write_mask(spec, case, ids, affine)
    if spec.probabilities:
        files |= write_nnunet_probabilities(spec, case, found, affine)
    end = perf_counter()
    return {
        "files": files,
        "seconds": {"read": read - started, "segment": segment - read, "write": end - segment},
        "windows": {"all": found.windows, "computed": found.windows, "blank": 0, "leftOut": 0},
        "labelVoxels": voxels,
        **lesions,
    }


def write_nnunet_probabilities(
    spec: PredictSpec, case: PredictCase, found: NnUNetLogits, affine: np.ndarray
) -> dict[str, str]:
    """Write one float32 file per output; voxels outside the box that was segmented are background."""
    probabilities = to_probabilities(torch.from_numpy(found.logits.astype(np.float32))).numpy()
    files = {}
    for output in spec.probabilities:
        name = f"probabilities/{case.name}_{output}.nii.gz"
        volume = found.on_scan(probabilities[output], float(output == 0))
        files[name] = save_nifti(str(Path(spec.directory) / name), volume, affine, np.float32)
    return files


def nnunet_scores(spec: PredictSpec, found: NnUNetLogits) -> Iterator[ScoredPart]:
    probabilities = to_probabilities(torch.from_numpy(found.logits.astype(np.float32)))
    yield (slice(None),) * 3, found.on_scan(tumor_probability(spec, probabilities).numpy(), 0)


def at_operating_point(
    spec: PredictSpec, mask: np.ndarray, affine: np.ndarray, scores: Callable[[], Iterable[ScoredPart]]
) -> tuple[np.ndarray, dict]:
    """Return the ids of a mask of outputs without the lesions that the operating point removes, and their number."""
    ids = np.asarray(spec.maskIds, np.uint8)[mask]
    rule = spec.operatingPoint
    if rule is None:
        return ids, {}
    found = FoundLesions(ids, rule.tumorIds)
    if needs_probabilities(rule):
        for place, values in scores():
            found.add_scores(place, values)
    ids, lesions = without_lesions(ids, affine, found, rule)
    return ids, {"lesions": {"kept": lesions.kept, "removed": lesions.removed}}


def tumor_probability(spec: PredictSpec, probabilities_CXYZ: Tensor) -> Tensor:
    """Return the probability of all tumors of the mask together: tumors of several organs exclude each other."""
    rule = spec.operatingPoint
    assert rule is not None
    outputs = [output for output in spec.tumorOutputs if spec.maskIds[output] in rule.tumorIds]
    return probabilities_CXYZ[outputs].float().sum(0).clamp(max=1)


def write_mask(
    spec: PredictSpec, case: PredictCase, written: np.ndarray, affine: np.ndarray
) -> tuple[dict[str, str], list[int]]:
    """Write a mask; return the file with its hash, and the voxels by id."""
    dtype = np.dtype(np.uint8) if spec.dataType == "uint8" else read_header(case.image).dtype.newbyteorder("=")
    name = f"{case.name}.nii.gz"
    files = {name: save_nifti(str(Path(spec.directory) / name), written, affine, dtype)}
    return files, np.bincount(written.ravel(order="K"), minlength=max(spec.maskIds) + 1).tolist()


def predict_case(
    spec: PredictSpec,
    members: list[Predictor],
    device: torch.device,
    case: PredictCase,
    on_windows: WindowCount | None = None,
    glancer: Predictor | None = None,
) -> dict:
    """Write the mask of one scan, and its label and probabilities if requested.

    Returns `{files: {name: sha256}, seconds: {read, segment, write}, windows: {all, computed, blank, leftOut},
    labelVoxels}`; names are relative to the output folder, voxels are by id of the mask. With an operating point,
    `lesions: {kept, removed}` too.
    """
    started = perf_counter()
    scan = OpenScan.open(spec, case)
    image_XYZ = window_intensity(scan.prepared.image_hu.to(device), spec.windowHu)
    read = perf_counter()
    walk = walk_through(spec, members, image_XYZ, scan, wanted_voxels(spec, scan), on_windows, glancer)
    probabilities = KeptProbabilities(spec, image_XYZ.shape, of_logits=len(members) == 1)
    mask, affine = mask_of(spec, scan, probabilities.kept_of(checked(spec, walk.planes)))
    segment = perf_counter()
    ids, lesions = at_operating_point(spec, mask, affine, lambda: scores_on_mask(spec, scan, probabilities.tumor_XYZ))
    files, voxels = write_mask(spec, case, ids, affine)
    if case.label is not None:
        files |= write_label(spec, scan, case)
    files |= write_probabilities(spec, scan, case, probabilities.values_PXYZ)
    end = perf_counter()
    return {
        "files": files,
        "seconds": {"read": read - started, "segment": segment - read, "write": end - segment},
        "windows": {
            "all": walk.counts.windows,
            "computed": walk.counts.computed,
            "blank": walk.counts.blank,
            "leftOut": walk.counts.left_out,
        },
        "labelVoxels": voxels,
        **lesions,
    }


def checked(spec: PredictSpec, planes: Iterable[Planes]) -> Iterator[Planes]:
    for first, values_CXYZ in planes:
        refuse_overflow(spec, values_CXYZ)
        yield first, values_CXYZ


def refuse_overflow(spec: PredictSpec, values_CXYZ: Tensor) -> None:
    """Refuse logits with NaN or infinity, which a sum preserves: no mask follows from them."""
    if not bool(values_CXYZ.sum().isfinite()):
        hint = "predict with --precision bf16 or fp32" if spec.precision == "fp16" else "use another checkpoint"
        raise CheckpointError(f"the segmentor's outputs are not finite in {spec.precision}", hint)


class KeptProbabilities:
    """Keeps probabilities of planes on their way to the mask, float32: the requested ones, `values_PXYZ`, and the sum
    of the tumors that an operating point needs, `tumor_XYZ` (one volume, whatever the number of tumor outputs).
    """

    def __init__(self, spec: PredictSpec, shape: Sequence[int], *, of_logits: bool) -> None:
        self._spec, self._outputs, self._of_logits = spec, list(spec.probabilities), of_logits
        self._of_tumors = needs_probabilities(spec.operatingPoint)
        self.values_PXYZ = torch.empty((len(self._outputs), *shape))
        self.tumor_XYZ = torch.empty(tuple(shape) if self._of_tumors else (0, 0, 0))

    def kept_of(self, planes: Iterable[Planes]) -> Iterator[Planes]:
        for first, values_CXYZ in planes:
            if self._outputs or self._of_tumors:
                own = slice(first, first + values_CXYZ.shape[1])
                probabilities_CXYZ = values_CXYZ.softmax(0) if self._of_logits else values_CXYZ
                if self._outputs:
                    self.values_PXYZ[:, own] = probabilities_CXYZ[self._outputs].cpu()
                if self._of_tumors:
                    self.tumor_XYZ[own] = tumor_probability(self._spec, probabilities_CXYZ).cpu()
            yield first, values_CXYZ


def wanted_voxels(spec: PredictSpec, scan: OpenScan) -> Tensor | None:
    """Return the voxels where the mask can differ from background; None for all.

    With an organ mask, only tumors inside it remain if no other output has an id in the mask.
    """
    others = [one for output, one in enumerate(spec.maskIds) if output not in spec.tumorOutputs]
    if scan.organ_IJK is None or any(others) or spec.probabilities or needs_probabilities(spec.operatingPoint):
        return None
    if spec.grid == "prepared":
        return torch.from_numpy(organ_on_prepared(spec, scan))
    needed_XYZ = needed_on_prepared(scan.organ_IJK, scan.route)
    return None if needed_XYZ is None else torch.from_numpy(needed_XYZ)


def mask_of(spec: PredictSpec, scan: OpenScan, planes: Iterable[Planes]) -> tuple[np.ndarray, np.ndarray]:
    """Return the winning output of each voxel, uint8, on the requested grid, and the affine of that grid."""
    if spec.grid == "prepared":
        organ = None if scan.organ_IJK is None else organ_on_prepared(spec, scan)
        return without_tumors_outside(spec, prepared_mask(scan, planes), organ), scan.prepared.grids.prepared_affine
    if spec.resampling == "nearest":
        mask = nearest_on_scan(prepared_mask(scan, planes), scan.prepared.grids, spec.patchVoxels)
    else:
        mask = np.zeros(scan.route.shape, np.uint8, order="F")
        for place, values_CIJK, outside in linear_on_scan(planes, scan.route):
            mask[place] = np.where(outside, 0, labels_of(values_CIJK).cpu().numpy())
    return without_tumors_outside(spec, mask, scan.organ_IJK), scan.prepared.grids.source_affine


def prepared_mask(scan: OpenScan, planes: Iterable[Planes]) -> np.ndarray:
    mask = np.empty(scan.prepared.grids.prepared_shape, np.uint8)
    for first, values_CXYZ in planes:
        mask[first : first + values_CXYZ.shape[1]] = labels_of(values_CXYZ).cpu().numpy()
    return mask


def without_tumors_outside(spec: PredictSpec, mask: np.ndarray, organ: np.ndarray | None) -> np.ndarray:
    if organ is not None:
        mask[np.isin(mask, spec.tumorOutputs) & ~organ] = 0
    return mask


def write_label(spec: PredictSpec, scan: OpenScan, case: PredictCase) -> dict[str, str]:
    """Write the scan's label on the prepared grid, for comparison with a mask there."""
    assert case.label is not None
    grids = scan.prepared.grids
    aligned = load_on_scan(case.label, grids.source_shape, grids.source_affine)
    cropped = on_prepared_grid(spec, aligned, grids)
    name = f"labels/{case.name}.nii.gz"
    return {name: save_nifti(str(Path(spec.directory) / name), cropped, grids.prepared_affine, aligned.dtype)}


def scores_on_mask(spec: PredictSpec, scan: OpenScan, tumor_XYZ: Tensor) -> Iterator[ScoredPart]:
    """Yield tumor probabilities on the grid of the mask, some planes at a time; outside the crop they are 0."""
    if spec.grid == "prepared":
        yield (slice(None),) * 3, tumor_XYZ.numpy()
        return
    for place, values_CIJK, outside in linear_on_scan([(0, tumor_XYZ[None])], scan.route):
        yield place, np.where(outside, np.float32(0), values_CIJK[0].numpy())


def write_probabilities(
    spec: PredictSpec, scan: OpenScan, case: PredictCase, probabilities_PXYZ: Tensor
) -> dict[str, str]:
    """Write one float32 file per requested output, linear on the scan's grid; outside the crop all is background."""
    files = {}
    for output, one_XYZ in zip(spec.probabilities, probabilities_PXYZ, strict=True):
        if spec.grid == "prepared":
            volume, affine = one_XYZ.numpy(), scan.prepared.grids.prepared_affine
        else:
            volume, affine = np.empty(scan.route.shape, np.float32, order="F"), scan.prepared.grids.source_affine
            for place, values_CIJK, outside in linear_on_scan([(0, one_XYZ[None])], scan.route):
                volume[place] = np.where(outside, np.float32(output == 0), values_CIJK[0].numpy())
        name = f"probabilities/{case.name}_{output}.nii.gz"
        files[name] = save_nifti(str(Path(spec.directory) / name), volume, affine, np.float32)
    return files
