"""A scan while it is segmented: on the grid of the networks, on its own grid, and the organ that limits its tumors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from freetumor_runtime.config.cases import PredictCase, PredictSpec
from freetumor_runtime.data.grids import align_label, resample_label
from freetumor_runtime.data.label_ids import empty_organ_mask
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.data.original_grid import GridRoute, grid_route
from freetumor_runtime.data.volumes import PreparedImage, load_prepared_images
from freetumor_runtime.data.way_back import ScanGrids
from freetumor_runtime.errors import DataError


@dataclass(frozen=True)
class OpenScan:
    """A prepared scan, the way back to its own grid, and where a tumor may be (bool [I, J, K]; None: anywhere).

    `coarse`: the scan on the grid of a network that glances, if there is one.
    """

    prepared: PreparedImage
    coarse: PreparedImage | None
    route: GridRoute
    organ_IJK: np.ndarray | None

    @staticmethod
    def open(spec: PredictSpec, case: PredictCase) -> "OpenScan":
        of_networks = [one for one in (spec, spec.glance) if one is not None]
        wanted = [(one.spacingMm, one.windowHu[0]) for one in of_networks]
        prepared, *coarse = load_prepared_images(case.image, wanted, spec.cropForeground)
        grids, mask = prepared.grids, case.organMask
        organ_IJK = None if mask is None else load_organ(spec, mask, grids.source_shape, grids.source_affine)
        return OpenScan(prepared, coarse[0] if coarse else None, route_to_scan(prepared.grids), organ_IJK)


def route_to_scan(grids: ScanGrids) -> GridRoute:
    return grid_route(grids.prepared_shape, grids.prepared_affine, grids.source_shape, grids.source_affine)


def load_organ(spec: PredictSpec, path: str, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    aligned = load_on_scan(path, shape, affine)
    if not aligned.any():
        raise empty_organ_mask(path)
    organ_IJK = np.isin(aligned, spec.organIds) if spec.organIds else aligned != 0
    if not organ_IJK.any():
        ids = ", ".join(map(str, spec.organIds))
        found = ", ".join(f"{id:g}" for id in np.unique(aligned)[:10])
        raise DataError(
            f"{path}: no voxel of the organ (expected id {ids}, found {found})", "name the organ's ids with --organ-ids"
        )
    return organ_IJK


def load_on_scan(path: str, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    label, own_affine = load_nifti(path)
    aligned = align_label(label, own_affine, shape, affine)
    if aligned is None:
        raise DataError(f"{path}: its grid is not that of its scan", "resample it onto the scan")
    return aligned


def organ_on_prepared(spec: PredictSpec, scan: OpenScan) -> np.ndarray:
    assert scan.organ_IJK is not None
    return on_prepared_grid(spec, scan.organ_IJK.astype(np.uint8), scan.prepared.grids) > 0


def on_prepared_grid(spec: PredictSpec, label_IJK: np.ndarray, grids: ScanGrids) -> np.ndarray:
    """Return a label of the scan, resampled and cropped as docs/method.md 4 prepares labels."""
    whole, _ = resample_label(label_IJK, grids.source_affine, spec.spacingMm)
    box = zip(grids.crop_start, grids.prepared_shape, strict=True)
    return whole[tuple(slice(start, start + side) for start, side in box)]
