"""Choose the sliding windows of a scan that are computed, the same for all members (docs/method.md 11)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from freetumor_runtime.config.cases import PredictSpec
from freetumor_runtime.data.boxes import Box, as_box
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.inference.ensemble import Predictor, ensemble_planes
from freetumor_runtime.inference.glance import Glance, glance
from freetumor_runtime.inference.open_scan import OpenScan
from freetumor_runtime.inference.sliding_windows import (
    Planes,
    Start,
    WindowCount,
    WindowCounts,
    WindowPlan,
    averaged_planes,
    gaussian_weights,
    plan_windows,
)

# Of the blend weight of all windows of a voxel near a finding, the share that may be left out.
_LEFT_OUT_SHARE = 0.02


@dataclass(frozen=True)
class Walk:
    """Averaged outputs of all members, plane by plane, and the windows of all members together."""

    planes: Iterator[Planes]
    counts: WindowCounts


def walk_through(
    spec: PredictSpec,
    members: Sequence[Predictor],
    image_XYZ: Tensor,
    scan: OpenScan,
    wanted_XYZ: Tensor | None,
    on_windows: WindowCount | None = None,
    glancer: Predictor | None = None,
) -> Walk:
    """Choose the windows of a scan, the same for all members, and start to compute them.

    Unless `windowChoice` is all, the glancer or every member glances at the scan first, and windows that matter to
    none of their findings are left out. Windows without any of the wanted voxels are left out; None wants all.
    """
    padding = padding_of(spec, image_XYZ)
    glances = glances_at(spec, members, glancer, image_XYZ, scan, wanted_XYZ, on_windows)
    plan = plan_windows(
        image_XYZ,
        spec.patchVoxels,
        spec.windows.overlap,
        padding_value=padding,
        wanted_XYZ=wanted_XYZ,
        min_foreground=spec.minForeground,
    )
    if spec.windowChoice != "all":
        plan = windows_that_matter(plan, glances, spec.windows.blend)
    # on a CPU a batch of four takes a fifth longer than its windows one by one, which fit into the caches
    batch = spec.windows.windowBatch if image_XYZ.device.type == "cuda" else 1
    outputs_known = [one.known for one in glances] if glancer is None and glances else [{} for _ in members]
    planes = [
        averaged_planes(member, plan, spec.windows.blend, batch, known=known, on_windows=on_windows)
        for member, known in zip(members, outputs_known, strict=True)
    ]
    # windows of the glancer are others, and smaller
    glanced = 0 if glancer is not None else sum(one.computed for one in glances)
    glanced -= sum(start in known for known in outputs_known for start in plan.asked)
    counts, count = plan.counts, len(members)
    return Walk(
        ensemble_planes(planes),
        WindowCounts(
            counts.windows * count, counts.computed * count + glanced, counts.blank * count, counts.left_out * count
        ),
    )


def windows_that_matter(plan: WindowPlan, glances: Sequence[Glance], blend: str) -> WindowPlan:
    """Leave out windows while every voxel near a finding keeps 98 % of the weight with which windows are averaged.

    Windows whose outputs a glance knows, and blank ones, cost nothing: they stay where they reach a finding.
    """
    matter = {start for one in glances for start in _that_matter(plan, one, blend)}
    asked, blank = (tuple(start for start in windows if start in matter) for windows in (plan.asked, plan.blank))
    return replace(plan, asked=asked, blank=blank)


def _that_matter(plan: WindowPlan, glance: Glance, blend: str) -> set[Start]:
    near_XYZ = glance.findings.with_margin()
    places = [glance.findings.places(axis, within) for axis, within in enumerate(plan.inside)]
    of_window_XYZ = gaussian_weights(plan.patch, torch.device("cpu")).numpy() if blend == "gaussian" else None

    def weights_of(start: Start) -> tuple[Box, np.ndarray]:
        """Return the part of the glance that a window holds, and its weights there; 0 where no finding is near."""
        sides = zip(places, start, plan.patch, strict=True)
        box = as_box(slice(*np.searchsorted(at, (first, first + side))) for at, first, side in sides)
        if of_window_XYZ is None:
            return box, near_XYZ[box].astype(np.float32)
        inside = (at[part] - first for at, part, first in zip(places, box, start, strict=True))
        return box, of_window_XYZ[np.ix_(*inside)] * near_XYZ[box]

    windows = [*plan.asked, *plan.blank]
    total_XYZ = np.zeros(near_XYZ.shape, np.float32)
    for start in windows:
        box, weights_XYZ = weights_of(start)
        total_XYZ[box] += weights_XYZ
    total_XYZ[total_XYZ == 0] = 1

    def shares_of(start: Start) -> tuple[Box, np.ndarray]:
        box, weights_XYZ = weights_of(start)
        return box, weights_XYZ / total_XYZ[box]

    largest = {start: shares_of(start)[1].max(initial=0) for start in windows}
    free = {*glance.known, *plan.blank}
    left_out_XYZ = np.zeros(near_XYZ.shape, np.float32)
    matter: set[Start] = set()
    for start in sorted((one for one in windows if largest[one] > 0), key=lambda one: largest[one]):
        box, shares_XYZ = shares_of(start)
        shares_XYZ += left_out_XYZ[box]
        if start in free or shares_XYZ[near_XYZ[box]].max() > _LEFT_OUT_SHARE:
            matter.add(start)
        else:
            left_out_XYZ[box] = shares_XYZ
    return matter


def glances_at(
    spec: PredictSpec,
    members: Sequence[Predictor],
    glancer: Predictor | None,
    image_XYZ: Tensor,
    scan: OpenScan,
    wanted_XYZ: Tensor | None,
    on_windows: WindowCount | None,
) -> list[Glance]:
    """Return what the glancer finds, or else each member; none if all windows are computed."""
    if spec.windowChoice == "all":
        return []
    outputs = [output for output, one in enumerate(spec.maskIds) if one != 0]
    labels = range(1, len(spec.maskIds))
    # without an output of an organ, tumors lie anywhere
    organs = [] if set(labels) <= set(spec.tumorOutputs) else labels
    look = partial(
        glance, outputs=outputs, organs=organs, whole_organs=spec.windowChoice == "organs", on_windows=on_windows
    )
    if glancer is None or spec.glance is None or scan.coarse is None:
        look = partial(look, padding_value=padding_of(spec, image_XYZ), within_XYZ=wanted_XYZ)
        return [look(member, image_XYZ, spec.patchVoxels, voxel_ml=voxel_ml(spec.spacingMm)) for member in members]
    coarse_XYZ = window_intensity(scan.coarse.image_hu.to(image_XYZ.device), spec.glance.windowHu)
    affines = (scan.coarse.grids.prepared_affine, scan.prepared.grids.prepared_affine)
    look = partial(look, padding_value=padding_of(spec, coarse_XYZ), affines=affines)
    return [look(glancer, coarse_XYZ, spec.glance.patchVoxels, voxel_ml=voxel_ml(spec.glance.spacingMm))]


def voxel_ml(spacing_mm: Sequence[float]) -> float:
    return spacing_mm[0] * spacing_mm[1] * spacing_mm[2] / 1000


def padding_of(spec: PredictSpec, image_XYZ: Tensor) -> float:
    return float(image_XYZ.min()) if spec.padding == "minimum" else 0.0
