"""Kill preparations at random moments and resume each: only whole cases exist, equal to an undisturbed preparation.

    .venv/bin/python scripts/faults/prepare_kills.py [--kills 20] [--seed 0]

Kills one random process of `freetumor prepare` (Node, the Python job, the server of workers, a worker) at a random
moment, inspects every case in the cache, and resumes. When all cases are prepared, it restarts with an empty cache.
Prints JSON; exit code 1 when a case is partially written, differs, or a process outlives the command. Needs a built
`dist`.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python_runtime"), str(ROOT / "scripts/benchmarks")]

from made_cts import make_data_set  # noqa: E402

from freetumor_runtime.data.cache import read_prepared_case  # noqa: E402

CASES, SHAPE = 8, (256, 256, 80)
MOST_SECONDS_TO_DIE = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        report = campaign(Path(folder), options.kills, random.Random(options.seed))
    print(json.dumps(report, indent=2))
    return 0 if not report["halfCases"] and not report["differences"] and not report["survivors"] else 1


def campaign(folder: Path, kills: int, draw: random.Random) -> dict:
    make_data_set(folder / "data", CASES, SHAPE)
    command, cache = preparation(folder)
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    expected = contents(cache)
    shutil.rmtree(cache)

    report = {"kills": 0, "completed": 0, "victims": Counter(), "halfCases": [], "differences": [], "survivors": []}
    while report["kills"] < kills:
        victim, family, code = killed(command, draw.uniform(0.15, 1.0) * seconds, draw)
        if victim is not None:
            report["kills"] += 1
            report["victims"][victim] += 1
        report["survivors"] += survivors(family)
        try:
            found = contents(cache)
        except Exception as error:
            report["halfCases"].append(f"after the end of {victim}: {error}")
            break
        report["differences"] += [name for name, content in found.items() if expected[name] != content]
        if code == 0:
            report["completed"] += 1
            if found.keys() != expected.keys():
                report["differences"].append(
                    f"{len(found)} of {len(expected)} cases although it reported all as prepared"
                )
            shutil.rmtree(cache)
    subprocess.run(command, check=True, capture_output=True)
    report["leftOver"] = [entry.name for entry in cache.rglob("*.tmp.*")]
    report["finallyEqual"] = contents(cache) == expected
    report["secondsUndisturbed"] = round(seconds, 1)
    return report


def preparation(folder: Path) -> tuple[list[str], Path]:
    cache, config = folder / "cache", folder / "config.json"
    datasets = [{"name": "Made", "path": str(folder / "data"), "role": "labelled"}]
    content = {
        "job": "baseline",
        "data": {"root": str(folder), "datasets": datasets},
        "prepare": {"cache": str(cache), "workers": 2},
        "runtime": {"python": sys.executable},
    }
    config.write_text(json.dumps(content))
    return ["node", str(ROOT / "dist/cli/main.js"), "prepare", "--config", str(config)], cache


def killed(command: list[str], after_seconds: float, draw: random.Random) -> tuple[str | None, list[int], int]:
    """Return the killed process (None if the command had ended), all processes of the command, and its exit code."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ever: set[int] = set()
    until = time.perf_counter() + after_seconds
    while time.perf_counter() < until and running.poll() is None:
        ever.update(family(running.pid))
        time.sleep(0.02)
    living = family(running.pid) if running.poll() is None else []
    victim = None
    if living:
        process = draw.choice(living)
        victim = role_of(process, running.pid)
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            victim = None
    while running.poll() is None:
        ever.update(family(running.pid))
        time.sleep(0.02)
    return victim, sorted(ever | set(living)), running.returncode


def role_of(process: int, root: int) -> str:
    if process == root:
        return "node"
    try:
        line = Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
        parent = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return "gone"
    if "forkserver" in line:
        return "worker" if "forkserver" in Path(f"/proc/{parent}/cmdline").read_text() else "server of workers"
    return "resource tracker" if "resource_tracker" in line else "job"


def survivors(processes: list[int]) -> list[str]:
    until = time.perf_counter() + MOST_SECONDS_TO_DIE
    while time.perf_counter() < until:
        left = [process for process in processes if alive(process)]
        if not left:
            return []
        time.sleep(0.1)
    return [Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ") for process in left]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(one for child in children for one in family(int(child)))]


def contents(cache: Path) -> dict[str, str]:
    """Return a hash of every case in the cache. Raises when one is not whole."""
    hashes = {}
    for path in sorted(cache.glob("*/*.zarr")):
        image, label, attributes = read_prepared_case(path)
        hashes[path.name] = hashlib.sha256(
            image.tobytes() + label.tobytes() + str(attributes["key"]).encode()
        ).hexdigest()
    return hashes


if __name__ == "__main__":
    sys.exit(main())
