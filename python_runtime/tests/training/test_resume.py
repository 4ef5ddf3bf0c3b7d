"""A run that was stopped goes on as if nothing had been, in every bit, on three ranks (with two, any order of summation
is the same); and what three ranks count in a validation is what one counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("toy_training.py")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    command = [
        sys.executable,
        str(SCRIPT),
        str(tmp_path_factory.mktemp("toy")),
        "baseline",
        "synthesis",
        "segmentation",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("job", ["baseline", "synthesis", "segmentation"])
def test_a_training_that_was_stopped_and_resumed_is_the_unbroken_one(reports, job):
    losses, weights = reports[job]["losses"], reports[job]["weights"]
    assert len(losses["whole"]) == 6
    assert losses["parts"] == losses["whole"]
    assert weights["parts"] == weights["whole"]


def test_three_ranks_count_four_validation_cases_as_one_does(reports):
    validations, alone = reports["baseline"]["validations"], reports["baseline"]["alone"]
    assert [len(cases) for cases in validations] == [4, 4, 4]
    assert validations[-1] == alone
    truth = {one["label"]: one["truePositive"] + one["falseNegative"] for one in alone[0]}
    assert truth == {1: 12**3 - 27, 2: 27, 3: 0, 4: 0, 5: 0, 6: 0}
