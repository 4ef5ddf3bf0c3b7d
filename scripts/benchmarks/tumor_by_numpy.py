"""The synthesis of method.md 5 and 6 in plain NumPy and SciPy, step by step as written there: the reference.

The warps are elasticdeform's where it can be imported (it needs numpy < 2), else one NumPy index map per plane; both
give the same masks. Run as a program it is a server for the benchmarks: a JSON line asks, a JSON line answers.
"""

import json
import sys
import time

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter, map_coordinates

try:
    import elasticdeform
except ImportError:
    elasticdeform = None

RADIUS = {"tiny": 4, "small": 8, "medium": 16, "large": 32}
PLANES = ((0, 1), (1, 2), (0, 2))


def ellipsoid_organ(side: int = 96) -> np.ndarray:
    grid = np.ogrid[:side, :side, :side]
    axes = zip(grid, (0.42, 0.36, 0.40), strict=True)
    return (sum(((at - side // 2) / (share * side)) ** 2 for at, share in axes) < 1).astype(np.uint8)


def plan(organ: np.ndarray, size: str, rng: np.random.Generator) -> np.ndarray:
    """Return radii, warped shape, centre, and the shape in the crop: uint8, not yet clipped to the organ."""
    base = RADIUS[size]
    radii = [int(rng.integers(int(0.75 * base), int(1.25 * base) + 1)) for _ in range(3)]
    shape = warped(radii, warp_sigma(size, rng), rng)
    slices = np.flatnonzero((organ == 1).any(axis=(0, 1)))
    z = slices[0] + round(rng.uniform(0.3, 0.7) * (slices[-1] - slices[0]))
    inner = np.argwhere(binary_erosion(organ[:, :, z] == 1, np.ones((5, 5)), border_value=1))
    x, y = inner[rng.integers(len(inner))]
    mask = np.zeros(organ.shape, np.uint8)
    target, source = [], []
    for at, radius, side, length in zip((x, y, z), radii, organ.shape, shape.shape, strict=True):
        start = at - 2 * radius
        target.append(slice(max(0, start), min(side, start + length)))
        source.append(slice(max(0, -start), min(length, side - start)))
    mask[tuple(target)] = shape[tuple(source)]
    return mask


def warp_sigma(size: str, rng: np.random.Generator) -> float:
    if size == "tiny":
        return rng.uniform(0.5, 1)
    low, high = {"small": (1, 2), "medium": (3, 6), "large": (5, 10)}[size]
    return float(rng.integers(low, high + 1))


def warped(radii: list[int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    grid = np.ogrid[tuple(slice(0, 4 * radius) for radius in radii)]
    shape = sum(((axis - 2 * radius) / radius) ** 2 for axis, radius in zip(grid, radii, strict=True)) < 1
    return warp(shape.astype(np.uint8), [rng.normal(0, sigma, (2, 3, 3)) for _ in PLANES])


def warp(mask: np.ndarray, controls: list[np.ndarray]) -> np.ndarray:
    """Apply the three warps; `controls[w]` is [component, i, j]."""
    for plane, control in zip(PLANES, controls, strict=True):
        if elasticdeform is None:
            mask = warp_by_index(mask, plane, control)
        else:
            mask = elasticdeform.deform_grid(mask, control, order=0, mode="constant", axis=plane)
    return mask


def warp_by_index(mask: np.ndarray, plane: tuple[int, int], control: np.ndarray) -> np.ndarray:
    other = ({0, 1, 2} - set(plane)).pop()
    stack = np.moveaxis(mask, other, -1)
    rows, columns = stack.shape[:2]
    places = np.meshgrid(np.linspace(0, 2, rows), np.linspace(0, 2, columns), indexing="ij")
    field = [map_coordinates(one, places, order=3, mode="mirror") for one in control]
    row, column = (at + shift for at, shift in zip(np.ogrid[:rows, :columns], field, strict=True))
    inside = (row >= 0) & (row <= rows - 1) & (column >= 0) & (column <= columns - 1)
    nearest = (np.where(inside, np.floor(at + 0.5), 0).astype(np.intp) for at in (row, column))
    return np.moveaxis(stack[tuple(nearest)] * inside[..., None], -1, other)


def synthesize(
    image: np.ndarray,
    organ: np.ndarray,
    texture: np.ndarray,
    size: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesize a crop with the hand-crafted difference: (image float32, roles uint8)."""
    mask = plan(organ, size, rng) > 0
    return render(image, organ, texture, mask, rng)


def render(
    image: np.ndarray,
    organ: np.ndarray,
    texture: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    edge = mask & ((organ == 1) | (organ == 2))
    weight = gaussian_filter(edge.astype(np.float64), rng.uniform(1, 2))
    start = [int(rng.integers(0, big - small)) for big, small in zip(texture.shape, image.shape, strict=True)]
    window = texture[tuple(slice(at, at + side) for at, side in zip(start, image.shape, strict=True))]
    changed = image - weight * rng.uniform(0.2, 0.7) * window
    roles = organ.copy()
    roles[mask & (organ == 1)] = 3
    return np.where((organ == 1), changed, image).astype(np.float32), roles


def texture_volume(
    shape: tuple[int, int, int],
    sigma_a: float,
    sigma_b: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Make a texture by docs/method.md 5.5, float64 as published."""
    a = gaussian_filter(rng.random(shape), sigma_a)
    scale, base, target = (
        rng.uniform(0.19, 0.21),
        rng.uniform(0.04, 0.06),
        rng.uniform(0.5, 0.55),
    )
    chance = scale * (a - a.min()) / (a.max() - a.min()) + base
    b = gaussian_filter((chance > rng.random(shape)).astype(np.float64), sigma_b)
    return np.clip(b * target / b[b > 0.12].mean(), 0, 1)


def serve() -> None:
    """`{what: "masks" | "render", size, side, count, seed}` -> seconds and processor seconds of each."""
    made: dict = {}
    for line in sys.stdin:
        asked = json.loads(line)
        side, size = asked["side"], asked["size"]
        if side not in made:
            rng = np.random.default_rng(0)
            image = rng.random((side,) * 3, dtype=np.float32)
            # the statistics of the texture do not matter here, but its type does: the published one is float64
            made[side] = ellipsoid_organ(side), image, rng.random((side + 20,) * 3)
        organ, image, texture = made[side]
        rng = np.random.default_rng(asked["seed"])
        seconds, processor = [], []
        for _ in range(asked["count"]):
            started = time.perf_counter(), time.process_time()
            if asked["what"] == "masks":
                plan(organ, size, rng)
            else:
                synthesize(image, organ, texture, size, rng)
            seconds.append(time.perf_counter() - started[0])
            processor.append(time.process_time() - started[1])
        warps = "numpy" if elasticdeform is None else "elasticdeform"
        print(json.dumps({"seconds": seconds, "processor": processor, "warps": warps}), flush=True)


if __name__ == "__main__":
    serve()
