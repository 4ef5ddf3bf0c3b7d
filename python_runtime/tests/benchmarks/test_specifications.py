"""Benchmarks start, and the specifications and keys that they write by hand are those of the product. None computes."""

import dataclasses
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "scripts/benchmarks"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if "ArgumentParser(" in path.read_text())


@pytest.fixture(autouse=True)
def benchmarks_importable(monkeypatch):
    """Import the helpers of benchmarks as their programs do; remove them afterwards, for they have common names."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(FOLDER):
            del sys.modules[name]


@pytest.mark.parametrize("program", PROGRAMS)
def test_prints_its_help(program, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{program}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{program}.py"), run_name="__main__")
    assert not ended.value.code
    assert capsys.readouterr().out.startswith("usage:")


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("step", ["synthesis", "segmentation", "small", "resenc"])
def test_training_step_has_every_key_of_a_training(step, checkpointing, tmp_path):
    from training_step import options_of
    from training_step_sides.ours import Feed, specification

    from freetumor_runtime.data.crop_source import CropVerdict

    arguments = ["--step", step, "--only", "reference" if checkpointing else "ours", "--folder", str(tmp_path)]
    options = options_of([*arguments, "--device", "cpu", "--cost-of-checkpointing"])
    spec = specification(options)
    assert spec.segmentor.activationCheckpointing == checkpointing
    assert (spec.generator is not None) == (step in ("synthesis", "segmentation"))
    options.side = 32
    feed = Feed(options)
    crops = feed.crops(0)
    assert len(crops) == spec.itemsPerStep * spec.cropsPerVolume
    assert feed.verdicts(0) == {(one.item, one.crop): CropVerdict(accepted=True) for one in crops}


def test_training_step_fails_without_a_required_key(tmp_path, monkeypatch):
    from training_step import options_of
    from training_step_sides import ours

    from freetumor_runtime.config.training import TrainingSpec
    from freetumor_runtime.errors import ConfigError

    @dataclasses.dataclass(frozen=True)
    class Newer(TrainingSpec):
        newKey: int

    monkeypatch.setattr(ours, "TrainingSpec", Newer)
    with pytest.raises(ConfigError, match="newKey"):
        ours.specification(options_of(["--step", "small", "--folder", str(tmp_path)]))


def test_other_benchmarks_have_every_key_of_their_jobs(tmp_path):
    import cache
    import predict_sides
    import published_agreement

    settings = {
        "out": str(tmp_path),
        "threads": 1,
        "windowHu": [-175, 250],
        "spacingMm": [1.5] * 3,
        "patch": [96] * 3,
        "overlap": 0.5,
        "blend": "constant",
        "windowBatch": 1,
        "windows": "all",
        "maskIds": [0, 1],
        "tumors": [],
        "glance": "coarse.pt",
        "glancePatch": 48,
        "glanceSpacingMm": 3.0,
    }
    assert predict_sides.specification(settings, "scan.nii.gz", "scan").cases[0].name == "scan"
    assert published_agreement.spec_of(tmp_path, tmp_path, (), 0.5).job == "predict"
    assert cache.specification().job == "prepare"


def test_every_configuration_key_of_a_benchmark_exists():
    documented = (ROOT / "docs/configuration.md").read_text()
    texts = [path.read_text() for path in FOLDER.glob("*.py")]
    keys = {key for text in texts for key in re.findall(r'"([a-z]\w+(?:\.[a-zA-Z]+)+)=', text)}
    assert {"synthesize.triesPerTumor", "prepare.cache"} <= keys
    assert [key for key in sorted(keys) if f"| `{key}` |" not in documented] == []
