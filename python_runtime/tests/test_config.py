"""Specs are complete and strict; both sides know the same keys."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from freetumor_runtime import config
from freetumor_runtime.errors import ConfigError

EVALUATE = {
    "job": "evaluate",
    "workers": 1,
    "labels": [1],
    "tumorLabels": [1],
    "nsdTolerancesMm": [],
    "lesions": False,
    "spacingMm": None,
    "predictionMap": None,
    "labelMap": {"3": 1},
    "cases": [{"id": "a", "prediction": "p", "label": "l", "organ": None, "scores": []}],
}


def load(tmp_path, content):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(content))
    return config.load_spec(str(path))


def test_a_complete_spec_loads(tmp_path):
    spec = load(tmp_path, EVALUATE)
    assert spec.cases[0].prediction == "p" and spec.labels == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, r"unknown keys \['extra'\]"),
        ({"workers": "2"}, "job.workers: int was expected"),
        ({"workers": True}, "job.workers"),
        (
            {"cases": [{"id": "a", "prediction": "p", "organ": None, "scores": []}]},
            r"cases\[0\].*missing keys \['label'\]",
        ),
        ({"job": "dance"}, "job must be one of"),
        ({"labels": 3}, "job.labels: a list was expected"),
    ],
)
def test_a_wrong_spec_is_refused_and_the_key_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {**EVALUATE, **change})


def test_the_dataclasses_have_the_keys_of_the_ports_in_the_same_order():
    files = sorted((Path(__file__).parents[2] / "src/pipeline/ports").glob("*.ts"))
    ports = "\n".join(file.read_text() for file in files)
    for kind in (config.TrainingSpec, config.SynthesisSpec, config.SegmentorSpec, config.OptimizerSpec):
        body = re.search(rf"interface {kind.__name__} {{\n(.*?)\n}}", ports, re.DOTALL).group(1)
        keys = re.findall(r"^  readonly (\w+):", body, re.MULTILINE)
        assert keys == [field.name for field in dataclasses.fields(kind)], kind.__name__
