"""Changes made on the prepared grid, carried back to the scan's own grid and data type (docs/method.md 12).

Everything outside the change mask keeps its stored bits. The header is written from scratch: it gets the named numeric
fields of the scan's header for data type, rescale and geometry, and no other byte of it.
"""

import hashlib
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates

from freetumor_runtime.data.boxes import Box
from freetumor_runtime.data.nifti import NiftiHeader, files_of_scan, load_stored, write_synced_parts
from freetumor_runtime.data.plain_nibabel import nibabel
from freetumor_runtime.data.synthetic_mark import DESCRIPTION, mark_extension
from freetumor_runtime.data.way_back import ScanGrids, nearest_on_scan

_PART_BYTES = 4 << 20


@dataclass(frozen=True)
class OriginalScan:
    """`stored_IJK` as in the file (before slope and intercept), `affine` voxel to RAS millimetres.

    `sha256` is that of the file; of a pair, that of its .hdr and .img one after the other.
    """

    stored_IJK: np.ndarray
    header: NiftiHeader
    raw_header: nibabel.Nifti1Header
    sha256: str


def load_original(path: str) -> OriginalScan:
    header, stored_IJK, raw_header = load_stored(path)
    digest = hashlib.sha256()
    for name in files_of_scan(path):
        with open(name, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return OriginalScan(stored_IJK, header, raw_header, digest.hexdigest())


@dataclass(frozen=True)
class SubvolumeChange:
    """What synthesis changed of one organ, in a part of the prepared grid.

    `organ_label` is the organ's id of the region; nothing else changes. `tumor_label` is the id of its tumors.
    `delta_hu_XYZ` float32; `synthetic_XYZ` uint8, the number of the tumor plus 1 where one was placed, else 0.
    `start` is the part's first voxel in the prepared grid. Outside `boxes` both are 0.
    """

    organ_label: int
    tumor_label: int
    delta_hu_XYZ: np.ndarray
    synthetic_XYZ: np.ndarray
    start: Sequence[int]
    boxes: Sequence[Box]


class ChangedScan(NamedTuple):
    """Arrays on the grid of the scan, in its axis order."""

    stored_IJK: np.ndarray
    # ids of the region, with the new tumors; uint8
    label_IJK: np.ndarray
    # 1 where the stored value may differ; uint8
    change_IJK: np.ndarray
    # number of the tumor plus 1, else 0; uint8
    tumors_IJK: np.ndarray


def apply_changes(
    original: OriginalScan, label_IJK: np.ndarray, changes: Sequence[SubvolumeChange], grids: ScanGrids
) -> "ChangedScan":
    """Apply changes on the original grid.

    HU' = HU + the change, linearly interpolated, rounded in stored units, on voxels of the organ that the
    interpolation reaches; the tumor's label is the nearest prepared voxel's as MONAI's `Invertd` finds it, on the
    organ's voxels. `label_IJK` holds ids of the region on the scan's grid.
    """
    stored_IJK, label_out_IJK = original.stored_IJK.copy(order="F"), label_IJK.astype(np.uint8, order="F")
    mask_IJK = np.zeros(stored_IJK.shape, np.uint8, order="F")
    tumors_IJK = np.zeros(stored_IJK.shape, np.uint8, order="F")
    for change in changes:
        affine = grids.prepared_affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array(change.start)
        to_subvolume = np.linalg.inv(affine) @ original.header.affine
        tumor_IJK = _tumor_on_scan(change, grids)
        changed_XYZ = (change.delta_hu_XYZ != 0).view(np.uint8)
        for box in change.boxes:
            for i, rows, columns in _reached(box, to_subvolume, stored_IJK.shape):
                j, k = np.nonzero(label_IJK[i, rows, columns] == change.organ_label)
                if len(j) > 0:
                    place = i, j + rows.start, k + columns.start
                    _change_voxels(original, change, changed_XYZ, to_subvolume, place, stored_IJK, mask_IJK)
                    tumor = tumor_IJK[place]
                    label_out_IJK[place] = np.where(tumor > 0, change.tumor_label, label_out_IJK[place])
                    tumors_IJK[place] = np.where(tumor > 0, tumor, tumors_IJK[place])
    return ChangedScan(stored_IJK, label_out_IJK, mask_IJK, tumors_IJK)


def _change_voxels(original, change, changed_XYZ, to_subvolume, place, stored_IJK, mask_IJK) -> None:
    i, j, k = place
    voxels = np.stack([np.full(j.shape, i), j, k]).astype(np.float64)
    places = to_subvolume[:3, :3] @ voxels + to_subvolume[:3, 3:]
    delta_hu = map_coordinates(change.delta_hu_XYZ, places, np.float64, order=1, mode="constant")
    touched = map_coordinates(changed_XYZ, places, np.float64, order=1) > 0
    target = (i, j[touched], k[touched])
    stored_IJK[target] = _restored(original, delta_hu[touched], original.stored_IJK[target])
    mask_IJK[target] = 1


def _restored(original: OriginalScan, delta_hu: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Return the stored values after a change in HU; for an integer type, round them and clip them to its range."""
    values = stored.astype(np.float64) + delta_hu / original.header.slope
    dtype = stored.dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)


def _tumor_on_scan(change: SubvolumeChange, grids: ScanGrids) -> np.ndarray:
    whole_XYZ = np.zeros(grids.prepared_shape, np.uint8)
    sides = zip(change.start, change.synthetic_XYZ.shape, strict=True)
    whole_XYZ[tuple(slice(start, start + side) for start, side in sides)] = change.synthetic_XYZ
    # a label is never padded for a network
    return nearest_on_scan(whole_XYZ, grids, (1, 1, 1))


def _reached(box: Box, to_subvolume: np.ndarray, shape: Sequence[int]):
    """Iterate over the slices of the original grid that a box of the subvolume may reach: (i, j range, k range)."""
    corners = np.array([[x, y, z, 1] for x in _ends(box[0]) for y in _ends(box[1]) for z in _ends(box[2])], np.float64)
    places = (np.linalg.inv(to_subvolume) @ corners.T)[:3]
    low = np.maximum(np.floor(places.min(axis=1)).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=1)).astype(int) + 1, shape)
    if (low >= high).any():
        return
    for i in range(low[0], high[0]):
        yield i, slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def _ends(part: slice) -> tuple[int, int]:
    # linear interpolation reaches one voxel further
    return part.start - 1, part.stop


def write_like(
    path: str, original: OriginalScan, array_IJK: np.ndarray, *, is_scan: bool, mark: Mapping[str, object]
) -> str:
    """Write an array with the geometry of the original, whole or not at all; return the file's SHA-256.

    A scan keeps data type, slope and intercept; anything else is uint8 without them. Version and byte order are kept.
    `mark` states the origin of the file (synthetic_mark.py).
    """
    header = _fresh_header(original.raw_header)
    if is_scan:
        for name in ("datatype", "bitpix", "scl_slope", "scl_inter"):
            header[name] = original.raw_header[name]
    else:
        header.set_data_dtype(np.uint8)
        header["scl_slope"], header["scl_inter"] = 1, 0
    dtype = header.get_data_dtype()
    extension = mark_extension(mark, _voxel_parts(array_IJK, dtype.newbyteorder("<")), header.endianness)
    header["vox_offset"] = len(header.binaryblock) + len(extension)
    parts = itertools.chain([header.binaryblock + extension], _voxel_parts(array_IJK, dtype))
    digest = hashlib.sha256()

    def written() -> Iterator[bytes]:
        for part in _compressed(parts) if path.endswith(".gz") else parts:
            digest.update(part)
            yield part

    write_synced_parts(path, written())
    return digest.hexdigest()


def _fresh_header(source: nibabel.Nifti1Header) -> nibabel.Nifti1Header:
    """Return a header with the shape and the geometry of another one, and nothing else of it.

    Numbers that its own codes call unused are left out, too: a writer may have left text in them.
    """
    header = type(source)(endianness=source.endianness)
    header["descrip"] = DESCRIPTION
    dimensions, sides = int(source["dim"][0]), source["dim"][1:4]
    header["dim"] = [dimensions, *sides, 1, 1, 1, 1]
    header["pixdim"] = [-1 if source["pixdim"][0] == -1 else 1, *source["pixdim"][1:4], 1, 1, 1, 1]
    # The bits of millimetres and seconds.
    header["xyzt_units"] = int(source["xyzt_units"]) & 0x3F
    forms = {
        "qform_code": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
        "sform_code": ("srow_x", "srow_y", "srow_z"),
    }
    for code, fields in forms.items():
        if source[code] != 0:
            for name in (code, *fields):
                header[name] = source[name]
    return header


def _voxel_parts(array_IJK: np.ndarray, dtype: np.dtype) -> Iterator[bytes]:
    """Iterate over the stored bytes of voxels, a few MB at a time, without a second copy of the volume."""
    flat = np.asfortranarray(array_IJK).reshape(-1, order="F")
    length = _PART_BYTES // dtype.itemsize
    for first in range(0, len(flat), length):
        yield flat[first : first + length].astype(dtype, copy=False).tobytes()


def _compressed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Gzip without a name or a time: the same content gives the same bytes."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    for part in parts:
        yield deflate.compress(part)
    yield deflate.flush()
