"""Compute the textures of synthetic tumors on large volumes, keep them in files, and read crops (docs/method.md 5.5).

A bank has ten textures of about 40 MB each (uint8, full scale = 1). One process of the node computes a texture on first
use; all processes share it through the page cache. A texture is a pure function of (seed, index, size). It is computed
in one thread without BLAS, so it is bit-identical for any number of threads or ranks.

The finest detail of a texture is that of the narrower blur, sigma 4. So both blurs run on a grid of half the
resolution, one eighth of the voxels; only the last step interpolates to the full grid, band-limited. Mean, variance,
correlation length and share above 0.12 are those of the method at full size (`scripts/bench texture_statistics`), in a
quarter of its time.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import torch
from scipy import fft
from torch import Tensor

from freetumor_runtime.data.device_copy import to_device
from freetumor_runtime.errors import DataError

# index -> (sigma_a, sigma_b) in voxels; index 0 is the one texture of the published abdomen code
TEXTURE_SIGMAS: tuple[tuple[float, float], ...] = tuple(product((3, 6, 9, 12, 15), (4, 7)))

_FORMAT_VERSION = 2
_FULL_SCALE = 255
# voxels of the full grid for each voxel of the coarse grid, along an axis
_STRIDE = 2
_NOISE_LEVELS = 2**16
_BACKGROUND = 0.12


@dataclass(frozen=True)
class TextureBank:
    """Textures of `size_voxels`, kept in `directory` (which must exist)."""

    directory: str
    size_voxels: tuple[int, ...]
    seed: int
    # index -> memory-mapped uint8 volume
    _open: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def part(
        self, index: int, start: Sequence[int], shape: Sequence[int], device: torch.device | None = None
    ) -> Tensor:
        """Return the texture's voxels [start, start + shape) as float32 in [0, 1], in steps of 1/255."""
        inside = all(
            first >= 0 and first + length <= side
            for first, length, side in zip(start, shape, self.size_voxels, strict=True)
        )
        if not inside or not 0 <= index < len(TEXTURE_SIGMAS):
            raise DataError(
                f"texture {index}: crop outside the textures (expected {len(TEXTURE_SIGMAS)} of "
                f"{tuple(self.size_voxels)} voxels, found {tuple(start)} + {tuple(shape)})",
                "keep texture index, start and shape inside the textures",
            )
        where = tuple(slice(first, first + length) for first, length in zip(start, shape, strict=True))
        levels_XYZ = torch.from_numpy(np.array(self._volume(index)[where]))
        return to_device(levels_XYZ, device or torch.device("cpu")).to(torch.float32).div_(_FULL_SCALE)

    def _volume(self, index: int) -> np.ndarray:
        if index not in self._open:
            path = self._path(index)
            if not path.exists():
                with _locked(path.with_suffix(".lock")):
                    if not path.exists():
                        texture_XYZ = make_texture(*TEXTURE_SIGMAS[index], self.size_voxels, (self.seed, index))
                        _publish(path, quantised(texture_XYZ))
            self._open[index] = self._map(path)
        return self._open[index]

    def _path(self, index: int) -> Path:
        size = "x".join(map(str, self.size_voxels))
        return Path(self.directory) / f"texture_v{_FORMAT_VERSION}_{size}_seed{self.seed}_{index}.npy"

    def _map(self, path: Path) -> np.ndarray:
        try:
            volume = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable texture", "delete the file; it is recomputed") from error
        if volume.shape != tuple(self.size_voxels) or volume.dtype != np.uint8:
            raise DataError(
                f"{path}: wrong texture "
                f"(expected uint8 {tuple(self.size_voxels)}, found {volume.dtype} {volume.shape})",
                "delete the file; it is recomputed",
            )
        return volume


def make_texture(sigma_a: float, sigma_b: float, shape: Sequence[int], key: Sequence[int]) -> np.ndarray:
    """Compute a texture float32 [X, Y, Z] in [0, 1] from its own random stream, seeded by the integers of `key`."""
    stream = np.random.default_rng(np.random.SeedSequence(list(key)))
    scale, base, target = (stream.uniform(low, high) for low, high in ((0.19, 0.21), (0.04, 0.06), (0.5, 0.55)))
    coarse = tuple(-(-side // _STRIDE) for side in shape)
    # normal noise: sums of uniform noise over so few coarse voxels would have shorter tails than at full size
    field_XYZ = gaussian_blur(stream.standard_normal(coarse, dtype=np.float32), sigma_a / _STRIDE)
    chance_XYZ = _rescaled(field_XYZ, _extremes(field_XYZ), scale, base)
    # the share of spots in a block is already a box blur, of variance (stride^2 - 1) / 12
    sigma = np.sqrt(sigma_b**2 - (_STRIDE**2 - 1) / 12) / _STRIDE
    spots_XYZ = gaussian_blur(_share_of_spots(chance_XYZ, stream), sigma, finer=_STRIDE)
    return _normalised(spots_XYZ[tuple(slice(side) for side in shape)], target)


def spot_chance(noise_XYZ: np.ndarray, scale: float, base: float, sigma_a: float) -> np.ndarray:
    """Convert uniform noise to the probability of a spot at each voxel, base to base + scale. Overwrite the noise."""
    field_XYZ = gaussian_blur(noise_XYZ, sigma_a)
    return _rescaled(field_XYZ, (field_XYZ.min(), field_XYZ.max()), scale, base)


def texture_of_spots(chance_XYZ: np.ndarray, sample_noise_XYZ: np.ndarray, target: float, sigma_b: float) -> np.ndarray:
    """Put spots where the probability exceeds uniform noise, blur them, and scale to a mean of `target`; in [0, 1].

    This follows the method exactly, on the full grid: the reference for the coarse grid.
    """
    spots_XYZ = gaussian_blur((chance_XYZ > sample_noise_XYZ).astype(chance_XYZ.dtype), sigma_b)
    return _normalised(spots_XYZ, target)


def gaussian_blur(
    volume_XYZ: np.ndarray, sigma: float, finer: int = 1, axes: Sequence[int] | None = None
) -> np.ndarray:
    """Compute scipy's gaussian_filter with its defaults, up to rounding; may overwrite its input.

    The mirrored edge (half a sample out) makes the truncated kernel diagonal in the cosine basis, so its width has no
    cost: a tenth of the time of direct sums at sigma 15. The same basis interpolates: the result has `finer` voxels for
    each voxel of the input. `axes`: all by default; sigma 0 does not blur.
    """
    axes = range(volume_XYZ.ndim) if axes is None else axes
    lengths = {axis: volume_XYZ.shape[axis] for axis in axes}
    spectrum_XYZ: np.ndarray = np.asarray(fft.dctn(volume_XYZ, axes=tuple(axes), overwrite_x=True, workers=1))
    for axis, length in lengths.items():
        broadcast = [1] * volume_XYZ.ndim
        broadcast[axis] = length
        response = finer * _cosine_response(length, sigma)
        spectrum_XYZ *= response.astype(volume_XYZ.dtype).reshape(broadcast)
    for axis, length in lengths.items():
        spectrum_XYZ = np.asarray(fft.idct(spectrum_XYZ, n=finer * length, axis=axis, overwrite_x=True, workers=1))
    return spectrum_XYZ


def quantised(texture_XYZ: np.ndarray) -> np.ndarray:
    """Convert [0, 1] to uint8: a step is 1/255, while the texture's standard deviation is 0.03 to 0.07."""
    levels_XYZ = texture_XYZ * np.float32(_FULL_SCALE)
    return np.rint(levels_XYZ, out=levels_XYZ).astype(np.uint8)


def _rescaled(field_XYZ: np.ndarray, extremes: tuple[float, float], scale: float, base: float) -> np.ndarray:
    """Rescale a field so that its extremes become base and base + scale. Overwrite the field."""
    low, high = extremes
    factor = scale / (high - low)
    field_XYZ *= factor
    field_XYZ += base - low * factor
    return field_XYZ


def _extremes(field_XYZ: np.ndarray) -> tuple[float, float]:
    """Return minimum and maximum as on the full grid.

    The mirrored edge doubles the variance at a face, and again at edges and corners, so the extremes lie there. The
    outermost voxels of the coarse grid lie twice as far inside as those of the full grid. So faces are interpolated.
    """
    low, high = field_XYZ.min(), field_XYZ.max()
    for axis, length in enumerate(field_XYZ.shape):
        outermost = gaussian_blur(np.eye(length, dtype=np.float32), 0, finer=_STRIDE, axes=(0,))[[0, -1]]
        # einsum does not use BLAS
        faces = np.einsum("ij,jkl->ikl", outermost, np.moveaxis(field_XYZ, axis, 0))
        faces = gaussian_blur(faces, 0, finer=_STRIDE, axes=(1, 2))
        low, high = min(low, faces.min()), max(high, faces.max())
    return float(low), float(high)


def _share_of_spots(chance_XYZ: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Return the share of full-grid voxels in each coarse voxel whose uniform noise is below the probability."""
    level_XYZ = (chance_XYZ * _NOISE_LEVELS).astype(np.uint16)
    count_XYZ = np.zeros(chance_XYZ.shape, np.uint8)
    for _ in range(_STRIDE**3):
        count_XYZ += level_XYZ > stream.integers(0, _NOISE_LEVELS, chance_XYZ.shape, dtype=np.uint16)
    return count_XYZ.astype(np.float32) / _STRIDE**3


def _normalised(spots_XYZ: np.ndarray, target: float) -> np.ndarray:
    spots_XYZ *= target / _mean_above(spots_XYZ, _BACKGROUND)
    return np.clip(spots_XYZ, 0, 1, out=spots_XYZ)


def _cosine_response(length: int, sigma: float) -> np.ndarray:
    if sigma == 0:
        return np.ones(length)
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.cos(np.pi * np.outer(np.arange(length), offsets) / length) @ (weights / weights.sum())


def _mean_above(values: np.ndarray, threshold: float) -> float:
    """Return the mean of the values above the threshold; of all values if there are none (only in tiny volumes)."""
    above = values > threshold
    count = np.count_nonzero(above)
    return float(np.sum(values, where=above, dtype=np.float64) / count) if count else float(values.mean())


def _publish(path: Path, volume: np.ndarray) -> None:
    aside = path.with_suffix(f".tmp.{secrets.token_hex(8)}")
    try:
        with open(aside, "wb") as file:
            np.save(file, volume, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file. Without locks in the file system, a texture may be computed more than once."""
    with open(path, "w", encoding="utf-8") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
