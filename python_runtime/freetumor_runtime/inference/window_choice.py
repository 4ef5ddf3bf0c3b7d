"""Choose the sliding windows of a scan that are computed, the same for all members (docs/method.md 11)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from freetumor_runtime.config.cases import PredictSpec
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.inference.ensemble import Predictor, ensemble_planes
from freetumor_runtime.inference.glance import Glance, glance
from freetumor_runtime.inference.open_scan import OpenScan
from freetumor_runtime.inference.sliding_windows import (
    Planes,
    WindowCount,
    WindowCounts,
    averaged_planes,
    plan_windows,
)


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

    Unless `windowChoice` is all, the glancer or every member glances at the scan first; a window near which none
    finds anything is left out. Windows without any of the wanted voxels are blank; None wants all.
    """
    padding = padding_of(spec, image_XYZ)
    glances = glances_at(spec, members, glancer, image_XYZ, scan, wanted_XYZ, on_windows)
    findings = [one.findings for one in glances]
    plan = plan_windows(
        image_XYZ,
        spec.patchVoxels,
        spec.windows.overlap,
        padding_value=padding,
        wanted_XYZ=wanted_XYZ,
        min_foreground=spec.minForeground,
        worth=None if spec.windowChoice == "all" else lambda window: any(one.near(window) for one in findings),
    )
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
