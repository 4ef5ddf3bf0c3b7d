"""Compare our textures with an exact implementation of docs/method.md 5.5 at the published size.

    scripts/bench texture_statistics [-- --seeds 5 --textures 0,3,9 --size 420,300,320]

For each texture the mean of ours over the seeds must lie within 2 standard deviations of as many reference seeds,
for mean, variance, correlation length (lag at which it falls to 1/e, mean of the axes) and fraction above 0.12.
Prints JSON; exit code 1 when a texture does not. With five seeds the standard deviation itself is uncertain by a
third, so about one of the 40 comparisons misses by chance. `t` (Welch's) and more seeds show whether there is a real
difference.
"""

import argparse
import json
import statistics
import sys

import numpy as np

from freetumor_runtime.synthesis.texture import (
    TEXTURE_SIGMAS,
    make_texture,
    quantised,
    spot_chance,
    texture_of_spots,
)

ONLY_BY_NAME = "not about speed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--textures", default=",".join(map(str, range(len(TEXTURE_SIGMAS)))))
    parser.add_argument("--size", default="420,300,320")
    options = parser.parse_args()
    size = tuple(map(int, options.size.split(",")))
    rows = []
    for index in map(int, options.textures.split(",")):
        sigmas = TEXTURE_SIGMAS[index]
        ours = [measures(quantised(make_texture(*sigmas, size, (seed, index)))) for seed in range(options.seeds)]
        reference = [measures(by_the_letter(*sigmas, size, (1000 + seed, index))) for seed in range(options.seeds)]
        rows.append(row(index, ours, reference))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"rows": rows}, indent=2))
    return 0 if all(one["isWithin"] for one in rows) else 1


def row(index: int, ours: list[dict], reference: list[dict]) -> dict:
    compared = {}
    for name in ours[0]:
        values = [one[name] for one in reference]
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        owns = [one[name] for one in ours]
        own = statistics.mean(owns)
        # nothing is below 0.12 in most textures: then there is no spread to lie in, and both must agree
        off = (own - mean) / deviation if deviation > 0 else 0.0 if own == mean else float("inf")
        compared[name] = {
            "ours": own,
            "reference": mean,
            "standardDeviation": deviation,
            "offBy": round(off, 2),
            "t": round(welch_t(owns, values), 2),
        }
    within = all(abs(one["offBy"]) <= 2 for one in compared.values())
    return {
        "row": f"texture {index}",
        "sigmas": TEXTURE_SIGMAS[index],
        "isWithin": within,
        **compared,
    }


def welch_t(a: list[float], b: list[float]) -> float:
    """Return the difference of two means in standard deviations of that difference; 0 where nothing varies."""
    spread = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
    return (statistics.mean(a) - statistics.mean(b)) / spread if spread > 0 else 0.0


def by_the_letter(sigma_a: float, sigma_b: float, shape: tuple[int, ...], key: tuple[int, int]) -> np.ndarray:
    stream = np.random.default_rng(key)
    scale, base, target = (stream.uniform(low, high) for low, high in ((0.19, 0.21), (0.04, 0.06), (0.5, 0.55)))
    chance = spot_chance(stream.random(shape, dtype=np.float32), scale, base, sigma_a)
    return texture_of_spots(chance, stream.random(shape, dtype=np.float32), target, sigma_b)


def measures(texture_XYZ: np.ndarray) -> dict[str, float]:
    values = texture_XYZ / np.float32(255) if texture_XYZ.dtype == np.uint8 else texture_XYZ
    mean = float(values.mean(dtype=np.float64))
    centred = values - np.float32(mean)
    variance = float(np.mean(centred**2, dtype=np.float64))
    lengths = [length_of_correlation(np.moveaxis(centred, axis, 0), variance) for axis in range(3)]
    above = float(np.mean(values > 0.12))
    return {
        "mean": mean,
        "variance": variance,
        "correlationLength": statistics.mean(lengths),
        "shareAbove": above,
    }


def length_of_correlation(centred: np.ndarray, variance: float) -> float:
    before = 1.0
    for lag in range(1, len(centred)):
        # every second row is enough: neighbours are strongly correlated
        pairs = centred[: len(centred) - lag, ::2, ::2] * centred[lag:, ::2, ::2]
        now = float(np.mean(pairs, dtype=np.float64)) / variance
        if now < np.exp(-1):
            return lag - 1 + (before - np.exp(-1)) / (before - now)
        before = now
    return float(len(centred))


if __name__ == "__main__":
    sys.exit(main())
