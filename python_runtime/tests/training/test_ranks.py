"""The number of ranks: the same training to rounding by default, and in every bit in the reproducible mode."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("toy_training.py")
COUNTS = (1, 2, 3, 4)
JOBS = ("baseline", "synthesis")
EXACT = {"reproducible": True}


def runs():
    for count in COUNTS:
        # instance norm in the segmentor: no crop sees its batch mates
        yield {"job": "baseline", "ranks": count, "name": f"default-{count}", "set": {"steps": 20}}
        for job in JOBS:
            yield {"job": job, "ranks": count, "name": f"exact-{count}", "set": EXACT}
    for job in JOBS:
        yield {"job": job, "ranks": 4, "name": "parts", "until": 3, "set": EXACT}
        yield {"job": job, "ranks": 2, "name": "rest", "resume": "parts", "set": EXACT}
    # batch norm sees the rank's crops
    yield {"job": "synthesis", "ranks": 1, "name": "default-1"}
    yield {"job": "synthesis", "ranks": 2, "name": "default-2"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("toy")), "--runs", json.dumps(list(runs()))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    reports = json.loads(done.stdout.strip().splitlines()[-1])
    return {(run["job"], run["name"]): report for run, report in zip(runs(), reports, strict=True)}


def farthest(one, other):
    """The largest difference of two runs' losses, relative."""
    pairs = [
        (float.fromhex(value), float.fromhex(other[step][name])) for step in one for name, value in one[step].items()
    ]
    return max(abs(a - b) / abs(b) for a, b in pairs)


@pytest.mark.parametrize("count", COUNTS[1:])
def test_losses_of_the_same_items_agree_to_rounding_where_no_batch_norm_is_in_play(told, count):
    one, many = told["baseline", "default-1"]["losses"], told["baseline", f"default-{count}"]["losses"]
    assert len(one) == 20
    assert many != one
    assert farthest(many, one) < 1e-5


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("count", COUNTS[1:])
def test_reproducible_losses_and_weights_are_equal_in_every_bit(told, job, count):
    one, many = told[job, "exact-1"], told[job, f"exact-{count}"]
    assert len(one["losses"]) == 6
    assert many["losses"] == one["losses"]
    assert many["weights"] == one["weights"]


@pytest.mark.parametrize("job", JOBS)
def test_a_reproducible_run_of_4_ranks_resumes_on_2_bit_identically(told, job):
    whole, parts, rest = told[job, "exact-1"], told[job, "parts"], told[job, "rest"]
    assert list(rest["losses"]) == ["3", "4", "5"]
    assert parts["losses"] | rest["losses"] == whole["losses"]
    assert rest["weights"] == whole["weights"]


def test_batch_norm_makes_the_default_depend_on_the_ranks_and_the_reproducible_mode_goes_item_by_item(told):
    assert farthest(told["synthesis", "default-2"]["losses"], told["synthesis", "default-1"]["losses"]) > 1e-5
    assert farthest(told["baseline", "exact-1"]["losses"], told["baseline", "default-1"]["losses"]) < 1
