"""A training on several nodes begins alike, or says why it cannot."""

from dataclasses import replace
from pathlib import Path

from freetumor_runtime.errors import ConfigError
from freetumor_runtime.training.nodes import begin_alike
from tests.training.toy_training import toy_spec
from tests.training.voting import on_nodes


def spec_of(ranks, folder: Path, **changes):
    """Each node has its own disk."""
    own = folder / f"node-{ranks.node}"
    return replace(toy_spec(own / "run", "baseline", own), **changes)


def write_checkpoint(folder: Path, content: bytes) -> str:
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(content)
    (folder / "state.pt").write_bytes(b"state")
    (folder / "manifest.json").write_text('{"step": 3}')
    return str(folder)


def test_nodes_whose_files_lie_elsewhere_have_the_same_training(tmp_path):
    specs = on_nodes(2, lambda ranks: begin_alike(spec_of(ranks, tmp_path), ranks))
    assert [spec.resumeFrom for spec in specs] == [None, None]
    assert specs[0].runDirectory != specs[1].runDirectory


def test_a_node_that_lacks_the_checkpoint_of_node_0_is_sent_it(tmp_path):
    # larger than what is sent at once
    content = bytes(range(256)) * (80 << 10)

    def begin(ranks):
        spec = spec_of(ranks, tmp_path)
        directory = Path(spec.runDirectory) / "checkpoints" / "step_00000003"
        start = write_checkpoint(directory, content) if ranks.first else None
        return begin_alike(replace(spec, resumeFrom=start), ranks)

    first, second = on_nodes(2, begin)
    assert Path(first.resumeFrom).parent.name == "checkpoints"
    assert Path(second.resumeFrom).parent.name == "checkpoints.node-1"
    for name in ("model.pt", "state.pt", "manifest.json"):
        assert (Path(second.resumeFrom) / name).read_bytes() == (Path(first.resumeFrom) / name).read_bytes()
    assert not list(Path(second.resumeFrom).glob("*.tmp"))


def test_a_checkpoint_on_a_disk_that_nodes_share_is_read_there(tmp_path):
    start = write_checkpoint(tmp_path / "run" / "checkpoints" / "step_00000003", b"model")

    def begin(ranks):
        spec = spec_of(ranks, tmp_path, runDirectory=str(tmp_path / "run"))
        # what another node believes does not count
        return begin_alike(replace(spec, resumeFrom=start if ranks.first else None), ranks)

    assert [spec.resumeFrom for spec in on_nodes(2, begin)] == [start, start]
    assert not (tmp_path / "run" / "checkpoints.node-1").exists()


def test_a_node_with_another_training_reports_the_differences(tmp_path):
    changes = {1: {"steps": 9, "seed": 4}}
    results = on_nodes(3, lambda ranks: begin_alike(spec_of(ranks, tmp_path, **changes.get(ranks.node, {})), ranks))
    assert all(isinstance(error, ConfigError) for error in results)
    assert str(results[1]) == "node 1 has another training than node 0 (differences: seed, steps)"
    assert "another node" in str(results[0])
    assert "another node" in str(results[2])
