"""Measure tumor plans on one core: ours in TypeScript against NumPy, SciPy and elasticdeform written from method.md 5.

    scripts/bench masks [-- --count 100 --repeats 4 --reference-python PATH]

Each size is measured in a 96^3 crop whose organ is an ellipsoid, one core for both, in turns. elasticdeform needs
numpy < 2: name a Python that has it, SciPy and NumPy (`python -m venv V; V/bin/pip install 'numpy<2' scipy
elasticdeform`) by --reference-python or FREETUMOR_REFERENCE_PYTHON. Without such a Python, the warps are one NumPy
index map per plane (slower for small tumors, faster for large ones). With one, both are measured. The first round
warms up: ours with 1,500 tumors, after which V8 has compiled the code that a training runs thousands of times.
Prints medians of processor time and wall time as JSON.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from measuring import Server

HERE = Path(__file__).parent
SIZES = ("tiny", "small", "medium", "large")
# the required speed, and a better goal
TARGETS = {"tiny": 10, "small": 10, "medium": 5, "large": 3}
WARM_UP = 1500
HOPED = {"tiny": 20, "small": 20, "medium": 10, "large": 5}
# of the published code, from shared/reference/README.md: another machine, 96^3
PUBLISHED_SECONDS = {"tiny": 0.0047, "small": 0.0067, "medium": 0.0137, "large": 0.064}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--reference-python", default=os.environ.get("FREETUMOR_REFERENCE_PYTHON"))
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["OMP_NUM_THREADS"] = "1"
    servers = {"ours": Server(["node", str(HERE / "masks.mjs")])}
    for python in filter(None, [sys.executable, options.reference_python]):
        server = Server([python, str(HERE / "tumor_by_numpy.py")])
        warps = server.ask(asked("tiny", 1, 0))["warps"]
        servers[warps] = server
    try:
        rows = [row(servers, size, options.count, options.repeats) for size in SIZES]
    finally:
        for server in servers.values():
            server.close()
    print(json.dumps({"rows": rows, "loadAverage": os.getloadavg()}, indent=2))


def row(servers: dict[str, Server], size: str, count: int, repeats: int) -> dict:
    taken: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "processor": []} for name in servers}
    for repeat in range(repeats + 1):
        for name, server in servers.items():
            ours = count if repeat > 0 else WARM_UP
            answer = server.ask(asked(size, ours if name == "ours" else max(3, count // 4), repeat))
            if repeat > 0:
                for kind in ("seconds", "processor"):
                    taken[name][kind] += answer[kind]
    found = {name: {kind: statistics.median(values) for kind, values in kinds.items()} for name, kinds in taken.items()}
    reference = "elasticdeform" if "elasticdeform" in found else "numpy"
    return {
        "row": f"masks {size} ({reference})",
        "ours": {"median": found["ours"]["processor"], "wall": found["ours"]["seconds"]},
        "reference": {"median": found[reference]["processor"], "wall": found[reference]["seconds"]},
        "ratio": found[reference]["processor"] / found["ours"]["processor"],
        "target": TARGETS[size],
        "hoped": HOPED[size],
        "all": found,
        "publishedSecondsElsewhere": PUBLISHED_SECONDS[size],
    }


def asked(size: str, count: int, seed: int) -> str:
    return json.dumps({"what": "masks", "size": size, "side": 96, "count": count, "seed": seed})


if __name__ == "__main__":
    main()
