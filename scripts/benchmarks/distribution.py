"""Print Kolmogorov-Smirnov distances between our tumors and samples of the published simulation; speed is not measured.

    scripts/bench distribution [-- --count 2000 --samples ../shared/reference/simulation_distribution.json]

By site and size: the largest distance over volume, extents, faces and third coordinate of the centroid; the fraction
of tumors with several components; empty tumors; voxels on a real tumor. Prints JSON; exit code 1 when a limit is
exceeded.
"""

import argparse
import json
import sys
from pathlib import Path

from measuring import Server
from scipy.stats import ks_2samp

ONLY_BY_NAME = "not about speed; needs the samples of the published simulation (--samples)"
SIZES = ("tiny", "small", "medium", "large")
LIMITS = {"ellipsoid_96": (0.07, 0.09), "free_160": (0.08, 0.10)}
MEASURES = ("volume", "max_extent", "min_extent", "faces", "centroid_z")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--samples", default="../shared/reference/simulation_distribution.json")
    options = parser.parse_args()
    published = json.loads(Path(options.samples).read_text())
    node = Server(["node", str(Path(__file__).with_name("distribution.mjs"))])
    rows = [row(node, published, site, size, options.count) for site in LIMITS for size in SIZES]
    beside = [node.ask(asked("ellipsoid_96_with_tumor", size, options.count // 4)) for size in SIZES]
    node.close()
    overlap = sum(one["overlap"] for one in beside)
    print(json.dumps({"rows": rows, "overlapWithRealTumors": overlap}, indent=2))
    return 0 if overlap == 0 and all(one["isWithin"] for one in rows) else 1


def row(node: Server, published: dict, site: str, size: str, count: int) -> dict:
    ours = node.ask(asked(site, size, count))
    theirs = published[site][size]
    distances = {name: round(ks_2samp(ours["found"][name], theirs[name]).statistic, 4) for name in MEASURES}
    shares = [several(one["components"]) for one in (ours["found"], theirs)]
    limit = LIMITS[site][size == "large"]
    within = max(distances.values()) <= limit and abs(shares[0] - shares[1]) <= 0.05 and ours["empty"] == 0
    return {
        "row": f"{site} {size}",
        "distance": max(distances.values()),
        "limit": limit,
        "distances": distances,
        "severalPieces": {"ours": shares[0], "published": shares[1]},
        "empty": ours["empty"],
        "isWithin": within,
    }


def several(components: list[int]) -> float:
    return sum(count > 1 for count in components) / len(components)


def asked(site: str, size: str, count: int) -> str:
    return json.dumps({"site": site, "size": size, "count": count})


if __name__ == "__main__":
    sys.exit(main())
