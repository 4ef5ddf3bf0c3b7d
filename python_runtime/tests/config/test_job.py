"""Specs are complete and strict. That both languages have the same keys is tested by test/contract/specs.test.ts."""

import json

import pytest

from freetumor_runtime.config.job import load_spec
from freetumor_runtime.errors import ConfigError

EVALUATE = {
    "job": "evaluate",
    "workers": 1,
    "labels": [1],
    "tumorLabels": [1],
    "nsdTolerancesMm": [],
    "lesions": False,
    "lesionFeatures": False,
    "operatingPoint": None,
    "spacingMm": None,
    "predictionMap": None,
    "labelMap": {"3": 1},
    "ignoredIds": [],
    "organOfTumor": {},
    "cases": [{"id": "a", "prediction": "p", "label": "l", "organ": None, "scores": [], "image": None}],
}


def load(tmp_path, content):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(content))
    return load_spec(str(path))


def test_a_complete_spec_loads(tmp_path):
    spec = load(tmp_path, EVALUATE)
    assert spec.cases[0].prediction == "p" and spec.labels == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, r"unknown keys \['extra'\]"),
        ({"workers": "2"}, r"job.workers: wrong type \(expected int"),
        ({"workers": True}, "job.workers"),
        (
            {"cases": [{"id": "a", "prediction": "p", "organ": None, "scores": [], "image": None}]},
            r"cases\[0\].*missing keys \['label'\]",
        ),
        ({"job": "dance"}, "wrong job \\(expected one of"),
        ({"labels": 3}, r"job.labels: wrong type \(expected a list"),
    ],
)
def test_a_wrong_spec_is_refused_and_the_key_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {**EVALUATE, **change})
