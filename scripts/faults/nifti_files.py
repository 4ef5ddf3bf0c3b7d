"""Read thousands of randomly changed NIfTI files, and decompression bombs, with the readers of both languages.

    .venv/bin/python scripts/faults/nifti_files.py [--count 10000] [--seed 0]

Prints JSON; exit code 1 when a reader raises anything but its own error, the two disagree, or one takes more memory
than the file holds. Needs a built `dist` (npm run build) and Linux, for the peak memory of a process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python_runtime"), str(ROOT / "test/contract")]

from mutated_nifti import write_bombs, write_mutated  # noqa: E402

from freetumor_runtime.data.nifti import NiftiError, load_nifti  # noqa: E402

WAYS = ("typescript", "python")
BATCH = 500
# Chunks, delay of the garbage collector and allocator slack, for any size of the file.
SLACK_BYTES = 48 << 20
BOMB_BYTES = 3 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pairs = []
    for start in range(0, options.count, BATCH):
        with tempfile.TemporaryDirectory() as folder:
            paths = write_mutated(Path(folder), min(BATCH, options.count - start), options.seed + start)
            pairs += judge(paths)
    with tempfile.TemporaryDirectory() as folder:
        bombs = write_bombs(Path(folder), BOMB_BYTES)
        sizes = {name: path.stat().st_size for name, path in bombs.items()}
        judged = dict(zip(bombs, judge(list(bombs.values())), strict=True))
    report = {
        "files": len(pairs),
        "crashes": [pair for pair in pairs if any(pair[way]["verdict"].startswith("CRASH") for way in WAYS)],
        "disagreements": [pair for pair in pairs if pair["typescript"]["verdict"] != pair["python"]["verdict"]],
        "verdicts": dict(Counter(pair["python"]["verdict"] for pair in pairs).most_common()),
        "peakMegabytes": {way: round(max(pair[way]["peakBytes"] for pair in pairs) / 2**20, 1) for way in WAYS},
        "bombs": {name: {"storedBytes": sizes[name], **judged[name]} for name in bombs},
    }
    print(json.dumps(report, indent=2))
    everything = [pair[way] for pair in [*pairs, *judged.values()] for way in WAYS]
    bounded = all(one["peakBytes"] <= SLACK_BYTES for one in everything)
    refused = all(one["verdict"] != "ok" for one in everything[-2 * len(bombs) :])
    return 0 if not report["crashes"] and not report["disagreements"] and bounded and refused else 1


def judge(paths: list[Path]) -> list[dict]:
    lines = "\n".join(map(str, paths))
    reader = ["node", str(ROOT / "scripts/faults/read_nifti.mjs")]
    typescript = subprocess.run(reader, input=lines, capture_output=True, text=True)
    answers = [json.loads(line) for line in typescript.stdout.splitlines()]
    if len(answers) < len(paths):
        answers.append({"verdict": f"CRASH of node: {typescript.stderr[-500:]}", "peakBytes": 0})
        answers += judge_rest(paths[len(answers) :])
    return [
        {"file": path.name, "typescript": one, "python": in_python(path)}
        for path, one in zip(paths, answers, strict=True)
    ]


def judge_rest(paths: list[Path]) -> list[dict]:
    return [pair["typescript"] for pair in judge(paths)] if paths else []


def in_python(path: Path) -> dict:
    Path("/proc/self/clear_refs").write_text("5")
    before = kibibytes("VmRSS")
    answer = verdict(path)
    return {**answer, "peakBytes": 1024 * (kibibytes("VmHWM") - before)}


def verdict(path: Path) -> dict:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, _ = load_nifti(str(path))
        return {"verdict": "ok", "voxels": int(array.size)}
    except NiftiError as error:
        return {"verdict": error.reason}
    except Exception as error:
        return {"verdict": f"CRASH {type(error).__name__}: {error}"}


def kibibytes(line: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(next(one for one in text.splitlines() if one.startswith(f"{line}:")).split()[1])


if __name__ == "__main__":
    sys.exit(main())
