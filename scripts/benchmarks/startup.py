"""Compare the start-up of a run, from the command to its first step, with PyTorch's own; and `--help` with Node's.

    scripts/bench startup [-- --repeats 3]

The reference is a plain script that imports PyTorch and MONAI, builds the same small network and makes one step
under torchrun with one rank. Both run in turns, with one thread. Ours is `freetumor train` of
configs/debug-baseline.yaml, with phantoms and prepared cases of an earlier run; the time ends with the `step` event
on standard output. The limit is 4 s. Phases: `node` until the run is planned (Node, configuration, curation, cases
looked up), `launch` until the rank has started, `imports` until the rank is ready (PyTorch, MONAI,
network), `step` until the first step is reported. Processor seconds are those of all processes up to then, which a
busy machine changes least. The row `help` compares `freetumor --help` with an empty Node program; its limit is
150 ms. Prints JSON; exit code 1 when a median is above its limit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from measuring import family_processor

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 4.0
MOST_HELP_SECONDS = 0.15
HELP_REPEATS = 15
PLAIN = Path(__file__).with_name("startup_plain.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "FREETUMOR_PYTHON": sys.executable}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[dict]] = {"ours": [], "reference": []}
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        # the first turn prepares the cases and warms the disk's cache
        for turn in range(options.repeats + 1):
            for name, start in (("ours", ours), ("reference", plain)):
                told = start(Path(folder), turn)
                if turn > 0:
                    runs[name].append(told)
    sides = {name: side(told) for name, told in runs.items()}
    seconds = sides["ours"]["median"]
    row = {
        "row": "startup",
        **sides,
        "ratio": sides["reference"]["median"] / seconds,
        "mostSeconds": MOST_SECONDS,
    }
    row["processorRatio"] = sides["reference"]["processorMedian"] / sides["ours"]["processorMedian"]
    row["note"] = ", ".join(f"{name} {taken:.2f} s" for name, taken in sides["ours"]["phases"].items())
    row["note"] += f"; processor ours {sides['ours']['processorMedian']:.1f} s, "
    row["note"] += f"reference {sides['reference']['processorMedian']:.1f} s; at most {MOST_SECONDS:.0f} s wanted"
    rows = [row, help_row()]
    print(json.dumps({"rows": rows, "loadAverage": [load_before, os.getloadavg()[0]]}))
    return 0 if all(one["ours"]["median"] <= one["mostSeconds"] for one in rows) else 1


def help_row() -> dict:
    commands = {"ours": ["dist/cli/start.js", "--help"], "reference": ["-e", "0"]}
    runs: dict[str, list[dict]] = {"ours": [], "reference": []}
    for turn in range(HELP_REPEATS + 1):
        for name, arguments in commands.items():
            used, started = os.times(), time.perf_counter()
            subprocess.run(["node", *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            now = os.times()
            processor = now.children_user + now.children_system - used.children_user - used.children_system
            if turn > 0:
                runs[name].append(
                    {"seconds": time.perf_counter() - started, "processorSeconds": processor, "phases": {}}
                )
    sides = {name: side(told) for name, told in runs.items()}
    processors = {name: one["processorMedian"] for name, one in sides.items()}
    return {
        "row": "startup: --help",
        **sides,
        "ratio": sides["reference"]["median"] / sides["ours"]["median"],
        "processorRatio": processors["reference"] / processors["ours"],
        "mostSeconds": MOST_HELP_SECONDS,
        "note": f"processor ours {processors['ours'] * 1000:.0f} ms, reference {processors['reference'] * 1000:.0f} ms",
    }


def ours(folder: Path, turn: int) -> dict:
    run = folder / f"run-{turn}"
    values = [
        f"data.root={folder}/phantoms",
        f"prepare.cache={folder}/cache",
        "training.steps=1",
        "training.warmupSteps=0",
    ]
    command = [
        "node",
        "dist/cli/main.js",
        "train",
        "--config",
        "configs/debug-baseline.yaml",
        "--out",
        str(run),
    ]
    command += ["--output", "ndjson", "--set", *values]
    appears = {"node": run / "plan.json", "launch": run / "logs/node-0/rank-0"}
    return timed(command, appears, {"imports": '"type":"started"', "step": '"type":"step"'})


def plain(_folder: Path, _turn: int) -> dict:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=1",
        str(PLAIN),
    ]
    return timed(command, {}, {"step": "step"})


def timed(command: list[str], appears: dict[str, Path], lines: dict[str, str]) -> dict:
    """Return seconds from the start of a command to the last of `lines` (parts of its output), and of the phases
    before.

    A phase ends when its file exists or its line is printed. The command is not killed: it ends by itself.
    """
    reached: dict[str, float] = {}
    with tempfile.TemporaryFile("w+") as complaints:
        started = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        watch = threading.Thread(target=await_files, args=(child, appears, reached))
        watch.start()
        processor = 0.0
        assert child.stdout is not None
        for line in child.stdout:
            for phase, part in lines.items():
                if part in line and phase not in reached:
                    reached[phase] = time.perf_counter()
                    processor = family_processor(child.pid)
        code = child.wait()
        watch.join()
        if code != 0 or len(reached) < len(appears) + len(lines):
            complaints.seek(0)
            sys.exit(f"{' '.join(command)} ended with {code} after {sorted(reached)}: {complaints.read()[-2000:]}")
    phases, before = {}, started
    for phase in (*appears, *lines):
        phases[phase], before = reached[phase] - before, reached[phase]
    return {
        "seconds": before - started,
        "processorSeconds": processor,
        "phases": phases,
    }


def await_files(child: subprocess.Popen, appears: dict[str, Path], reached: dict[str, float]) -> None:
    waiting = dict(appears)
    while waiting and child.poll() is None:
        for phase in [phase for phase, path in waiting.items() if path.exists()]:
            reached[phase] = time.perf_counter()
            del waiting[phase]
        time.sleep(0.01)


def side(runs: list[dict]) -> dict:
    def median(of: Callable[[dict], float]) -> float:
        return statistics.median(map(of, runs))

    phases = {phase: median(lambda one, phase=phase: one["phases"][phase]) for phase in runs[0]["phases"]}
    processor = median(lambda one: one["processorSeconds"])
    return {
        "median": median(lambda one: one["seconds"]),
        "processorMedian": processor,
        "phases": phases,
        "runs": runs,
    }


if __name__ == "__main__":
    sys.exit(main())
