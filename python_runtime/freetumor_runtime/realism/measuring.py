"""Measures of all tumors of one case, kept in one file: features, histograms, patches. Arrays are [X, Y, Z], RAS."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from zipfile import BadZipFile

import numpy as np
from scipy import ndimage

from freetumor_runtime.config.realism import EncoderSpec, RealismCase, RealismOrgan, RealismSpec
from freetumor_runtime.data.grids import align_label, reordered, spacing_of, to_ras_axes
from freetumor_runtime.data.nifti import load_nifti, write_synced
from freetumor_runtime.errors import DataError
from freetumor_runtime.evaluation.mask_pair import load_label_map
from freetumor_runtime.realism.features import FEATURES, NAN, features_of, histograms_of
from freetumor_runtime.realism.patches import surroundings_patch, tumor_patch
from freetumor_runtime.realism.zones import MARGIN_MM, FoundTumor, Scan, find_tumors, resampled, widened, zones_of

_VERSION = 2
# Grid of the distances in a whole organ (mm).
_COARSE_MM = 3.0
_ARRAYS = ("features", "histograms", "tumor", "around", "host", "encoder")
# Id of voxels without an annotation.
_IGNORED = 255


def measure_case(case: RealismCase, spec: RealismSpec) -> dict[str, Any]:
    """Measure the tumors of a case, or reuse the file of an earlier start; return `{file, tumors, reused}`."""
    key = _key_of(case, spec)
    path = os.path.join(spec.directory, f"{hashlib.sha256(case.id.encode()).hexdigest()[:32]}.npz")
    kept = _kept(path, key)
    if kept is not None:
        return {"file": path, "tumors": kept, "reused": True}
    tumors, arrays = measure_scan(load_scan(case), case.organs, spec.spacingMm, _encode_with(spec.encoder))
    write_measures(path, key, tumors, arrays)
    return {"file": path, "tumors": tumors, "reused": False}


def write_measures(path: str, key: str, tumors: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> None:
    """Write the file of a case."""
    content = io.BytesIO()
    about = np.frombuffer(json.dumps({"key": key, "tumors": tumors}).encode(), np.uint8)
    np.savez(content, allow_pickle=False, about=about, **arrays)
    write_synced(path, content.getvalue())


def _encode_with(encoder: EncoderSpec | None) -> "Encode | None":
    if encoder is None:
        return None
    # the import takes seconds
    from freetumor_runtime.realism.encoder import encoded_tumor

    return partial(encoded_tumor, encoder=encoder)


def _key_of(case: RealismCase, spec: RealismSpec) -> str:
    files = [path for path in (case.image, case.label, case.numbers, case.host) if path is not None]
    facts = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files if os.path.exists(path)]
    encoder = spec.encoder
    settings = [
        _VERSION,
        spec.spacingMm,
        case.labelMap,
        [vars(organ) for organ in case.organs],
        case.numbers,
        case.host,
        encoder and {**vars(encoder), "checkpoint": None},
    ]
    return hashlib.sha256(json.dumps([facts, settings]).encode()).hexdigest()


def _kept(path: str, key: str) -> list[dict[str, Any]] | None:
    """Return the tumors of the file of an earlier start; None without one, or of other inputs."""
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return about["tumors"] if about.get("key") == key else None


# Features of a tumor of a scan by an encoder.
Encode = Callable[[Scan, FoundTumor], np.ndarray]


def measure_scan(
    scan: Scan, organs: Sequence[RealismOrgan], grid_mm: float, encode: Encode | None = None
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the tumors of a scan, and for each a row of features, histograms and patches; with `encode` of it, too."""
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    tumors: list[dict[str, Any]] = []
    rows: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    depths: dict[str, _Organ] = {}
    for found in find_tumors(
        scan.label_XYZ, scan.numbers_XYZ, [(one.name, one.label, one.tumorLabel) for one in organs]
    ):
        if found.organ not in depths:
            depths[found.organ] = _Organ(scan, found)
        zones = zones_of(scan.image_XYZ, scan.label_XYZ, found, scan.spacing_mm, grid_mm)
        values = features_of(zones, depths[found.organ].position_of(found))
        host = _host_crop(scan, found, zones.spacing_mm)
        ml = int(np.count_nonzero(found.mask_XYZ)) * voxel_ml
        tumors.append(
            {
                "tumor": found.number,
                "organ": found.organ,
                "volumeMl": ml,
                "diameterMm": float((6000 * ml / np.pi) ** (1 / 3)),
            }
        )
        rows["features"].append(np.array([values[name] for name in FEATURES]))
        rows["histograms"].append(histograms_of(zones))
        rows["tumor"].append(tumor_patch(zones).astype(np.float16).ravel())
        rows["around"].append(surroundings_patch(zones, zones.image_XYZ).astype(np.float16).ravel())
        if encode is not None:
            rows["encoder"].append(encode(scan, found))
        if host is not None:
            rows["host"].append(surroundings_patch(zones, host).astype(np.float16).ravel())
    return tumors, {name: np.stack(arrays) for name, arrays in rows.items() if arrays}


def load_scan(case: RealismCase) -> Scan:
    """Load the scan with its label maps, all in RAS order. Raises DataError that names the file."""
    image_XYZ, affine = load_nifti(case.image)
    if not np.isfinite(image_XYZ).all():
        raise DataError(f"{case.image}: voxels without a number (NaN or infinite)", "run `freetumor data check` on it")
    label_XYZ, label_affine = load_label_map(case.label, case.labelMap)
    shape = image_XYZ.shape

    def onto_image(path: str, array: np.ndarray, own_affine: np.ndarray) -> np.ndarray:
        aligned = align_label(array, own_affine, shape, affine)
        if aligned is None:
            raise DataError(
                f"{path}: its grid is not that of {case.image} in physical space", "name the files of one scan"
            )
        return aligned

    label_XYZ = onto_image(case.label, label_XYZ, label_affine)
    numbers_XYZ = host_XYZ = None
    if case.numbers is not None:
        numbers_XYZ = onto_image(case.numbers, *load_label_map(case.numbers, None))
    if case.host is not None:
        host_XYZ = onto_image(case.host, *load_nifti(case.host))
    order, _ = to_ras_axes(affine)
    spacing = spacing_of(affine)
    in_order = [0.0] * 3
    for axis, (place, _) in enumerate(order):
        in_order[int(place)] = spacing[axis]
    label = reordered(label_XYZ, order)
    return Scan(
        image_XYZ=reordered(image_XYZ, order),
        label_XYZ=np.where(label == _IGNORED, 0, label),
        numbers_XYZ=None if numbers_XYZ is None else reordered(numbers_XYZ, order),
        host_XYZ=None if host_XYZ is None else reordered(host_XYZ, order),
        spacing_mm=in_order,
    )


def _host_crop(scan: Scan, found: FoundTumor, grid_mm: float) -> np.ndarray | None:
    if scan.host_XYZ is None:
        return None
    box = widened(found.box, scan.host_XYZ.shape, scan.spacing_mm, MARGIN_MM)
    return resampled(scan.host_XYZ[box].astype(np.float32), scan.spacing_mm, grid_mm)


class _Organ:
    """Depths below the surface of an organ with its tumors, on a coarse grid."""

    def __init__(self, scan: Scan, found: FoundTumor) -> None:
        self._steps = [max(1, round(_COARSE_MM / mm)) for mm in scan.spacing_mm]
        coarse = scan.label_XYZ[tuple(slice(None, None, step) for step in self._steps)]
        organ = (coarse == found.organ_label) | (coarse == found.tumor_label)
        self._spacing = [step * mm for step, mm in zip(self._steps, scan.spacing_mm, strict=True)]
        boxes = ndimage.find_objects(organ.astype(np.uint8))
        self._box = boxes[0] if boxes else None
        if self._box is not None:
            depth_mm = np.asarray(ndimage.distance_transform_edt(np.pad(organ[self._box], 1), self._spacing))
            self._depth_mm = depth_mm[1:-1, 1:-1, 1:-1]

    def position_of(self, found: FoundTumor) -> dict[str, float]:
        """Return depth relative to the deepest place of the organ, and the place in its box, each 0 to 1."""
        if self._box is None:
            return dict.fromkeys(("depth", "x", "y", "z"), NAN)
        centre = [
            (mean + side.start) / step
            for mean, side, step in zip(np.argwhere(found.mask_XYZ).mean(0), found.box, self._steps, strict=True)
        ]
        sizes = self._depth_mm.shape
        at = [place - side.start for place, side in zip(centre, self._box, strict=True)]
        voxel = tuple(int(np.clip(round(place), 0, size - 1)) for place, size in zip(at, sizes, strict=True))
        relative = [float(np.clip(place / max(size - 1, 1), 0, 1)) for place, size in zip(at, sizes, strict=True)]
        depth = float(self._depth_mm[voxel] / max(float(self._depth_mm.max()), 1e-6))
        return {"depth": depth, "x": relative[0], "y": relative[1], "z": relative[2]}
