"""Changes made on the prepared grid, carried back to the scan's own grid and data type (METHOD 12).

Everything outside the change mask keeps its stored bits; header geometry is kept, free text is not.
"""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel
import numpy as np
from scipy.ndimage import map_coordinates

from freetumor_runtime.data.nifti import NiftiHeader, load_stored, write_synced

_MARK = b"synthetic tumors, made by freetumor; not a patient's scan"
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class OriginalScan:
    """`stored_IJK` as in the file (before slope and intercept), `affine` voxel to RAS millimetres."""

    stored_IJK: np.ndarray
    header: NiftiHeader
    raw_header: nibabel.Nifti1Header
    sha256: str


def load_original(path: str) -> OriginalScan:
    header, stored_IJK, raw_header = load_stored(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OriginalScan(stored_IJK, header, raw_header, digest)


@dataclass(frozen=True)
class RegionChange:
    """What synthesis changed in a region of the prepared grid.

    `delta_hu_XYZ` float32; `synthetic_XYZ` uint8, the tumor's label id where one was placed, else 0. `affine` is that
    of the region's first voxel. Outside `boxes` both are 0.
    """

    delta_hu_XYZ: np.ndarray
    synthetic_XYZ: np.ndarray
    affine: np.ndarray
    boxes: Sequence[Box]


def apply_change(
    original: OriginalScan, label_IJK: np.ndarray, organ_labels: Sequence[int], change: RegionChange
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(stored values, label uint8, change mask uint8) on the original grid.

    HU' = HU + the change, linearly interpolated, rounded in stored units, on voxels of `organ_labels` that the
    interpolation reaches; the tumor's label is the nearest prepared voxel's, on organ voxels. `label_IJK` holds ids of
    the region on the scan's grid.
    """
    stored_IJK, label_out_IJK = original.stored_IJK.copy(order="F"), label_IJK.astype(np.uint8, order="F")
    mask_IJK = np.zeros(stored_IJK.shape, np.uint8, order="F")
    to_region = np.linalg.inv(change.affine) @ original.header.affine
    organ_IJK = np.isin(label_IJK, organ_labels)
    for box in change.boxes:
        for i, rows, columns in _reached(box, to_region, stored_IJK.shape):
            _change_slice(
                original, organ_IJK, change, to_region, (i, rows, columns), stored_IJK, label_out_IJK, mask_IJK
            )
    return stored_IJK, label_out_IJK, mask_IJK


def _change_slice(original, organ_IJK, change, to_region, place, stored_IJK, label_IJK, mask_IJK) -> None:
    i, rows, columns = place
    organ = organ_IJK[i, rows, columns]
    if not organ.any():
        return
    j, k = np.nonzero(organ)
    voxels = np.stack([np.full(j.shape, i), j + rows.start, k + columns.start]).astype(np.float64)
    places = to_region[:3, :3] @ voxels + to_region[:3, 3:]
    delta_hu = map_coordinates(change.delta_hu_XYZ, places, np.float64, order=1, mode="constant")
    touched = map_coordinates((change.delta_hu_XYZ != 0).view(np.uint8), places, np.float64, order=1) > 0
    tumor = _nearest(change.synthetic_XYZ, places)
    target = (np.full(j.shape, i)[touched], (j + rows.start)[touched], (k + columns.start)[touched])
    stored_IJK[target] = _restored(original, delta_hu[touched], original.stored_IJK[target])
    mask_IJK[target] = 1
    inside = tumor > 0
    label_IJK[np.full(j.shape, i)[inside], (j + rows.start)[inside], (k + columns.start)[inside]] = tumor[inside]


def _restored(original: OriginalScan, delta_hu: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Stored values after a change of so many HU, rounded and kept inside the data type where it is an integer's."""
    values = stored.astype(np.float64) + delta_hu / original.header.slope
    dtype = stored.dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)


def _nearest(array_XYZ: np.ndarray, places: np.ndarray) -> np.ndarray:
    index = np.floor(places + 0.5).astype(np.int64)
    inside = np.all((index >= 0) & (index < np.array(array_XYZ.shape)[:, None]), axis=0)
    found = np.zeros(places.shape[1], array_XYZ.dtype)
    found[inside] = array_XYZ[tuple(index[:, inside])]
    return found


def _reached(box: Box, to_region: np.ndarray, shape: Sequence[int]):
    """Slices of the original grid that a box of the region may reach: (i, range of j, range of k)."""
    corners = np.array([[x, y, z, 1] for x in _ends(box[0]) for y in _ends(box[1]) for z in _ends(box[2])], np.float64)
    places = (np.linalg.inv(to_region) @ corners.T)[:3]
    low = np.maximum(np.floor(places.min(axis=1)).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=1)).astype(int) + 1, shape)
    if (low >= high).any():
        return
    for i in range(low[0], high[0]):
        yield i, slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def _ends(part: slice) -> tuple[int, int]:
    # linear interpolation reaches one voxel further
    return part.start - 1, part.stop


def write_like(path: str, original: OriginalScan, array_IJK: np.ndarray, *, is_scan: bool) -> str:
    """Writes an array with the geometry of the original, whole or not at all; returns the file's SHA-256.

    A scan keeps data type, slope and intercept; anything else is uint8 without them.
    """
    header = original.raw_header.copy()
    for name in ("descrip", "aux_file", "intent_name", "db_name"):
        if name in header:
            header[name] = b""
    # 80 bytes are what the format has
    header["descrip"] = _MARK
    if not is_scan:
        header.set_data_dtype(np.uint8)
        header["scl_slope"], header["scl_inter"] = 1, 0
        header["cal_min"] = header["cal_max"] = 0
    offset = 352 if header.sizeof_hdr == 348 else 544
    header["vox_offset"] = offset
    dtype = header.get_data_dtype()
    content = header.binaryblock + bytes(offset - len(header.binaryblock))
    content += np.asfortranarray(array_IJK).astype(dtype, copy=False).tobytes(order="F")
    if path.endswith(".gz"):
        content = gzip.compress(content, compresslevel=1, mtime=0)
    write_synced(path, content)
    return hashlib.sha256(content).hexdigest()
