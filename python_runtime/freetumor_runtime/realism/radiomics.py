"""Radiomic features of a region: first order, co-occurrence (GLCM) and shape, by the IBSI definitions.

The names are those of the IBSI reference manual (arXiv 1612.07003), whose digital phantom checks them. Arrays are
[X, Y, Z].
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.spatial import ConvexHull, QhullError

# one of each pair of opposite neighbours at distance 1
_DIRECTIONS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
# pairs of corners of a cube that share an edge
_EDGES = [(a, b) for a, b in itertools.combinations(range(8), 2) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]


def first_order(values: np.ndarray) -> dict[str, float]:
    """Return mean, standard deviation, skewness, excess kurtosis, and the 10th, 50th and 90th percentile."""
    centred = values - values.mean()
    variance = float((centred**2).mean())
    spread = variance**0.5
    p10, p50, p90 = np.percentile(values, [10, 50, 90])
    return {
        "mean": float(values.mean()),
        "sd": spread,
        # IBSI: 0 for a constant region
        "skewness": float((centred**3).mean() / spread**3) if spread > 0 else 0.0,
        "kurtosis": float((centred**4).mean() / variance**2 - 3) if spread > 0 else 0.0,
        "p10": float(p10),
        "p50": float(p50),
        "p90": float(p90),
    }


def co_occurrence(levels_XYZ: np.ndarray, mask_XYZ: np.ndarray) -> dict[str, float] | None:
    """Return features of the GLCM of levels 1 to N in a mask: 3-D, distance 1, symmetric, 13 directions merged.

    None for a mask without two neighbours.
    """
    levels = np.where(mask_XYZ, levels_XYZ, 0)
    top = int(levels.max())
    pairs = np.zeros((top + 1) ** 2, np.int64)
    for step in _DIRECTIONS:
        here, there = _shifted(levels, step)
        both = (here > 0) & (there > 0)
        pairs += np.bincount(here[both] * (top + 1) + there[both], minlength=len(pairs))
    counts = pairs.reshape(top + 1, top + 1)[1:, 1:]
    counts = counts + counts.T
    if counts.sum() == 0:
        return None
    p = counts / counts.sum()
    i = np.arange(1, top + 1)[:, None]
    j = i.T
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    seen = p[p > 0]
    return {
        "jointAverage": mean,
        "jointEntropy": float(-(seen * np.log2(seen)).sum()),
        "angularSecondMoment": float((p**2).sum()),
        "contrast": float(((i - j) ** 2 * p).sum()),
        "differenceAverage": float((np.abs(i - j) * p).sum()),
        "inverseDifferenceMoment": float((p / (1 + (i - j) ** 2)).sum()),
        # constant levels are fully correlated
        "correlation": float(((i - mean) * (j - mean) * p).sum() / variance) if variance > 0 else 1.0,
    }


def _shifted(array: np.ndarray, step: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return two views of an array: the voxels, and their neighbours at a step."""
    here, there = [], []
    for move, size in zip(step, array.shape, strict=True):
        here.append(slice(max(0, -move), size - max(0, move)))
        there.append(slice(max(0, move), size - max(0, -move)))
    return array[tuple(here)], array[tuple(there)]


def shape(mask_XYZ: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Return volume and surface of the mesh at half height, and figures made from them (mm).

    `spiculation` is the standard deviation of the surface's distance from the centre, relative to its mean.
    """
    spacing = np.asarray(spacing_mm, float)
    volume, surface = mesh_volume_and_surface(mask_XYZ, spacing_mm)
    edge_XYZ = mask_XYZ & ~_eroded(mask_XYZ)
    places = np.argwhere(mask_XYZ) * spacing
    centre = places.mean(0)
    radii = np.linalg.norm(np.argwhere(edge_XYZ) * spacing - centre, axis=1)
    axes = 4 * np.sqrt(
        np.maximum(0, np.linalg.eigvalsh(np.cov(places.T, bias=True)) if len(places) > 1 else np.zeros(3))
    )
    return {
        "meshVolume": volume,
        "surface": surface,
        "compactness1": volume / (np.pi**0.5 * surface**1.5),
        "compactness2": 36 * np.pi * volume**2 / surface**3,
        "sphericity": float((36 * np.pi * volume**2) ** (1 / 3) / surface),
        "majorAxis": float(axes[2]),
        "elongation": float(axes[1] / axes[2]) if axes[2] > 0 else 1.0,
        "flatness": float(axes[0] / axes[2]) if axes[2] > 0 else 1.0,
        "spiculation": float(radii.std() / radii.mean()) if radii.mean() > 0 else 0.0,
    }


def _eroded(mask_XYZ: np.ndarray) -> np.ndarray:
    padded = np.pad(mask_XYZ, 1)
    inner = mask_XYZ.copy()
    for axis in range(3):
        for start in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(start, start + mask_XYZ.shape[axis])
            inner &= padded[tuple(window)]
    return inner


def mesh_volume_and_surface(mask_XYZ: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return volume and area of the surface that marching cubes finds at half height (mm3, mm2).

    Each cube of eight voxels adds the figures of its pattern; the table of the 256 patterns is made once per spacing.
    """
    padded = np.pad(np.asarray(mask_XYZ, np.uint8), 1)
    nx, ny, nz = (size + 1 for size in mask_XYZ.shape)
    code = np.zeros((nx, ny, nz), np.uint8)
    for bit, (x, y, z) in enumerate(_CORNERS):
        code |= padded[x : x + nx, y : y + ny, z : z + nz] << np.uint8(bit)
    counts = np.bincount(code.ravel(), minlength=256)
    table = _cube_table(tuple(float(mm) for mm in spacing_mm))
    volume, surface = counts @ table
    return float(volume), float(surface)


@lru_cache(maxsize=64)
def _cube_table(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Return volume and area of each pattern of corners [256, 2].

    Corners that edges join form the hull of them and of the middles of the edges that they cut. With more than four
    corners inside, the parts outside are measured instead.
    """
    whole = float(np.prod(spacing_mm))
    table = np.zeros((256, 2))
    for code in range(1, 255):
        inside = [corner for corner in range(8) if code >> corner & 1]
        few = inside if len(inside) <= 4 else [corner for corner in range(8) if corner not in inside]
        volume, area = 0.0, 0.0
        for part in _parts(few):
            hull_volume, hull_area = _part_figures(part, np.asarray(spacing_mm))
            volume, area = volume + hull_volume, area + hull_area
        table[code] = (volume if few is inside else whole - volume), area
    table[255] = whole, 0
    return table


def _parts(corners: Sequence[int]) -> list[list[int]]:
    """Split corners into parts that edges join."""
    left, parts = set(corners), []
    while left:
        part, waiting = set(), [left.pop()]
        while waiting:
            corner = waiting.pop()
            part.add(corner)
            near = {b if a == corner else a for a, b in _EDGES if corner in (a, b)} & left
            left -= near
            waiting.extend(near)
        parts.append(sorted(part))
    return parts


def _part_figures(part: Sequence[int], spacing_mm: np.ndarray) -> tuple[float, float]:
    middles = [(_CORNERS[a] + _CORNERS[b]) / 2 for a, b in _EDGES if (a in part) != (b in part)]
    points = np.array([*_CORNERS[list(part)], *middles]) * spacing_mm
    try:
        hull = ConvexHull(points)
    except QhullError:  # no part of a cube is flat
        return 0.0, 0.0
    area = 0.0
    for simplex in hull.simplices:
        corners = points[simplex]
        # facets on the faces of the cube are shared with the next cube: they are no surface
        on_face = any(np.allclose(corners[:, axis], side) for axis in range(3) for side in (0, spacing_mm[axis]))
        if not on_face:
            area += float(np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0]))) / 2
    return float(hull.volume), area
