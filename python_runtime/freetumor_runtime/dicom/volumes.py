"""Convert CT slices to NIfTI: dcm2niix decodes in a limited process, then its result is checked and rewritten."""

import errno
import gzip
import os
import resource
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from pydicom.pixels import iter_pixels

from freetumor_runtime.bridge.lifeline import die_with_parent
from freetumor_runtime.dicom.headers import preamble_of
from freetumor_runtime.errors import DataError, EnvironmentError
from freetumor_runtime.system_errors import read_problem

_MIB = 2**20
# An affine in float32 is off by less.
_VOXEL_TOLERANCE = 0.01
# no defaults file, no JSON, no compression, a fixed name, no crop or turn, one volume, no folders, values as stored
_OPTIONS = "-g i -b n -z n -f v -w 1 -x i -m y -d 0 -l o"


@dataclass(frozen=True)
class Volume:
    """Slices in order, and the grid of their series.

    `shape` is (columns, rows, slices); `affine` leads from voxels to RAS millimetres; `rescale` is slope and intercept.
    `frames`: place of each slice in one multi-frame file.
    """

    paths: Sequence[str]
    shape: tuple[int, int, int]
    affine: np.ndarray
    rescale: tuple[float, float]
    frames: Sequence[int] | None = None


@dataclass(frozen=True)
class Intensities:
    """The smallest and the largest HU of a volume, and the type in which it is stored."""

    low: float
    high: float
    dtype: str


def convert_volume(volume: Volume, target: str, work: str) -> Intensities:
    """Write the slices as `target` (.nii.gz) in HU on the grid of the DICOM series, with a header without text.

    `work` is a folder for temporary files. Raises DataError if the series cannot be decoded.
    """
    folder = Path(work, secrets.token_hex(8))
    source, made = folder / "in", folder / "out"
    try:
        for one in (source, made):
            one.mkdir(parents=True, mode=0o700)
        for at, path in enumerate(volume.paths):
            _lend(path, source / f"{at:06d}.dcm")
        _decode(source, made, int(np.prod(volume.shape)))
        return _rewrite(_only_volume(made), volume, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_volume(target: str, shape: Sequence[int], dtype: np.dtype, affine: np.ndarray, planes: Iterable) -> None:
    """Write a NIfTI file from its planes [column, row] completely or not at all; equal voxels give equal bytes."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(tuple(shape))
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    aside = f"{target}.tmp.{secrets.token_hex(8)}"
    try:
        with open(aside, "xb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as file:
                file.write(header.binaryblock + bytes(4))
                for plane in planes:
                    file.write(np.asarray(plane, dtype).tobytes(order="F"))
            raw.flush()
            os.fsync(raw.fileno())
        os.rename(aside, target)
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "EIO")
        raise EnvironmentError(
            f"{target}: cannot be written ({code})", "free space, or choose another --out"
        ) from error
    finally:
        Path(aside).unlink(missing_ok=True)


def _lend(path: str, name: Path) -> None:
    """Give dcm2niix a file: a link, or a copy with the preamble that it needs."""
    before = preamble_of(path)
    if not before:
        name.symlink_to(os.path.abspath(path))
        return
    with open(path, "rb") as file, open(name, "xb") as copy:
        copy.write(before)
        shutil.copyfileobj(file, copy)


def _decode(source: Path, made: Path, voxels: int) -> None:
    """Run dcm2niix, which parses foreign bytes in C: limits of time, memory and output; no text of a file in a name."""
    import dcm2niix

    seconds = 120 + voxels // 2_000_000
    options = [*_OPTIONS.split(), "-o", str(made), str(source)]

    def limit() -> None:
        die_with_parent()
        memory = 1024 * _MIB + 12 * voxels
        for what, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 4 * voxels + _MIB),
            (resource.RLIMIT_AS, memory),
        ):
            resource.setrlimit(what, (most, most))

    try:
        done = subprocess.run(
            [dcm2niix.bin, *options],
            stdin=subprocess.DEVNULL,
            # it prints names of files and patients
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=made,
            env={"HOME": str(made), "TMPDIR": str(made), "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            timeout=2 * seconds,
            preexec_fn=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"dcm2niix was not done within {2 * seconds} s", _EXPORT_AGAIN) from None
    except OSError as error:
        raise EnvironmentError(f"dcm2niix: {read_problem(error, 'program')}", _INSTALL) from error
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise DataError(f"dcm2niix cannot decode the series ({how})", _EXPORT_AGAIN)


_EXPORT_AGAIN = "export the series again without compression"
_INSTALL = "run `freetumor setup --extra dicom`"


def _only_volume(made: Path) -> Path:
    found = sorted(made.glob("*.nii"))
    if len(found) == 1 and found[0].name == "v.nii":
        return found[0]
    raise DataError(f"dcm2niix splits or resamples the series (expected 1 volume, found {len(found)})", _EXPORT_AGAIN)


def _rewrite(path: Path, volume: Volume, target: str) -> Intensities:
    with open(path, "rb") as file:
        header = nibabel.Nifti1Header.from_fileobj(file, check=False)
        # nibabel maps the file: a volume takes the memory of a few planes
        array = np.asanyarray(header.raw_data_from_fileobj(file))
    stored = _on_grid(array, np.asarray(header.get_best_affine()), volume)
    slope, intercept = volume.rescale
    # NIfTI has them in float32
    stated = [float(header[key]) for key in ("scl_slope", "scl_inter")]
    if stored.dtype.kind not in "iu" or not np.allclose(stated, volume.rescale, rtol=1e-6, atol=0):
        raise DataError("dcm2niix states another rescale than the headers of the slices", _EXPORT_AGAIN)
    planes = [stored[:, :, k] for k in range(volume.shape[2])]
    ends = (min(int(one.min()) for one in planes), max(int(one.max()) for one in planes))
    if volume.frames is not None:
        _compare_frames(planes, volume.paths[0], volume.frames)
    low, high = sorted(end * slope + intercept for end in ends)
    whole = slope == int(slope) and intercept == int(intercept)
    dtype = np.dtype("<i2" if whole and low >= -32768 and high <= 32767 else "<f4")
    hu = (plane.astype(np.float64) * slope + intercept for plane in planes)
    write_volume(target, volume.shape, dtype, volume.affine, hu)
    return Intensities(low, high, dtype.name)


def _compare_frames(planes: Sequence[np.ndarray], path: str, frames: Sequence[int]) -> None:
    """Raise DataError if the slices of dcm2niix are not the frames of the file, as pydicom decodes them."""
    try:
        # the indices ascend: a compressed file is read from its start
        places = sorted(range(len(frames)), key=lambda k: frames[k])
        decoded = iter_pixels(path, indices=[frames[k] for k in places])
        right = all(np.array_equal(planes[k], pixels.T) for k, pixels in zip(places, decoded, strict=True))
    except Exception:  # pydicom raises errors of many types for malformed pixels
        raise DataError("the frames of the file cannot be decoded", _EXPORT_AGAIN) from None
    if not right:
        raise DataError("dcm2niix states other pixels than the frames of the file", _EXPORT_AGAIN)


def _on_grid(array: np.ndarray, made: np.ndarray, volume: Volume) -> np.ndarray:
    """Return a view of the voxels of dcm2niix in the order of the DICOM grid. Raises DataError for another one."""
    change = np.linalg.inv(volume.affine) @ made
    turns = np.rint(change[:3, :3]).astype(int)
    axes = np.abs(turns)
    right = (
        array.ndim == 3
        and np.abs(change[:3, :3] - turns).max() < _VOXEL_TOLERANCE
        and (axes.sum(0) == 1).all()
        and (axes.sum(1) == 1).all()
    )
    if right:
        order = [int(axes[axis].argmax()) for axis in range(3)]
        view = np.transpose(array, order)
        signs = [int(turns[axis, order[axis]]) for axis in range(3)]
        start = [0 if sign > 0 else view.shape[axis] - 1 for axis, sign in enumerate(signs)]
        right = view.shape == volume.shape and np.abs(change[:3, 3] - start).max() < 0.05
        if right:
            return view[tuple(slice(None, None, sign) for sign in signs)]
    raise DataError("dcm2niix states another grid than the headers of the slices", _EXPORT_AGAIN)
