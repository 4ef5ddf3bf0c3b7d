"""What a plug-in may do wrong, and what becomes of it."""

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from freetumor_runtime.config.common import PluginSpec
from freetumor_runtime.errors import PluginError
from freetumor_runtime.plugins.client import Plugin, SynthesisRequest
from freetumor_runtime.plugins.facts import seed_of
from tests.plugins.hostile import MODES

HOSTILE = Path(__file__).with_name("hostile.py")
SHAPE = (16, 16, 16)
IMAGE = np.linspace(-100, 200, 16**3, dtype=np.float32).reshape(SHAPE)
ONES = np.ones(SHAPE, np.uint8)
SPACING, WINDOW = (1.5, 1.5, 1.5), (-175.0, 250.0)
REQUEST = SynthesisRequest(IMAGE, ONES, ONES, "liver", "small", 7, SPACING, WINDOW, {1: "liver"})
# those that hang are waited for this long
SECONDS = 1.0
START_SECONDS = 20.0


@contextmanager
def hostile(mode: str, record: Path, start_seconds: float = START_SECONDS, seconds: float = SECONDS):
    plugin = Plugin(PluginSpec((sys.executable, str(HOSTILE), mode, str(record)), start_seconds, seconds), "cpu", 1)
    try:
        yield plugin
    finally:
        plugin.close()


def processes(record: Path) -> list[int]:
    return [int(pid) for pid in record.read_text().split()] if record.exists() else []


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def happens(condition: Callable[[], bool], within_seconds: float = 20) -> bool:
    last = time.monotonic() + within_seconds
    while not condition() and time.monotonic() < last:
        os.sched_yield()
    return condition()


@pytest.mark.parametrize("mode", MODES)
def test_a_fault_is_a_typed_error_that_names_the_command_and_ends_the_process(mode, tmp_path):
    record = tmp_path / "pids"
    start_seconds = 3.0 if mode in ("hang at start", "no hello") else START_SECONDS
    with hostile(mode, record, start_seconds) as plugin, pytest.raises(PluginError) as raised:
        for _ in range(2 if mode == "answers twice" else 1):
            if mode == "label without output":
                plugin.segment(IMAGE, SPACING, WINDOW)
            else:
                plugin.synthesize(REQUEST)
    message = str(raised.value)
    assert MODES[mode] in message and "hostile.py" in message
    assert raised.value.hint == "run `freetumor plugin check` on it"
    assert processes(record) and not any(running(pid) for pid in processes(record))


def test_logits_with_nan_are_refused(tmp_path):
    with hostile("NaN", tmp_path / "pids") as plugin, pytest.raises(PluginError, match="NaN or infinite"):
        plugin.segment(IMAGE, SPACING, WINDOW)


def test_the_error_lacks_what_the_plugin_prints_when_its_refused_answer_closes_the_connection(tmp_path):
    # the plug-in fails to send the rest of its answer, and prints a traceback
    with hostile("wrong dtype", tmp_path / "pids") as plugin, pytest.raises(PluginError) as raised:
        plugin.synthesize(REQUEST)
    assert "announced wrong arrays" in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_the_error_has_the_last_lines_of_the_output(tmp_path):
    with hostile("prints 100 MB", tmp_path / "pids", seconds=60) as plugin, pytest.raises(PluginError) as raised:
        plugin.synthesize(REQUEST)
    assert "the last line" in str(raised.value) and len(str(raised.value)) < 1500


def test_a_huge_array_takes_no_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with hostile("huge array sent", tmp_path / "pids") as plugin, pytest.raises(PluginError):
        plugin.synthesize(REQUEST)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_plugin_starts_again_after_a_fault_but_not_after_three_in_a_row(tmp_path):
    record = tmp_path / "pids"
    with hostile("killed", record) as plugin:
        for _ in range(3):
            with pytest.raises(PluginError, match="SIGKILL"):
                plugin.synthesize(REQUEST)
        started = len(processes(record))
        with pytest.raises(PluginError, match="not started again after 3 faults in a row"):
            plugin.synthesize(REQUEST)
    assert started == 3 and len(processes(record)) == 3


def test_a_good_plugin_answers_every_request_with_one_process(tmp_path):
    record = tmp_path / "pids"
    with hostile("good", record, seconds=60) as plugin:
        answers = [plugin.synthesize(REQUEST) for _ in range(3)]
        labels = plugin.segment(IMAGE, SPACING, WINDOW)
        assert running(processes(record)[0])
    assert all(np.array_equal(answer, IMAGE + 10) for answer in answers)
    assert labels.dtype == np.uint8 and not labels.any()
    assert len(processes(record)) == 1 and not running(processes(record)[0])


def test_a_program_that_does_not_exist_is_named():
    plugin = Plugin(PluginSpec(("/nowhere/program",), 5, 5), "cpu", 1)
    with pytest.raises(PluginError, match="program not found: /nowhere/program"):
        plugin.synthesize(REQUEST)


def test_a_script_that_is_not_executable_is_not_called_missing(tmp_path):
    script = tmp_path / "plugin.py"
    script.write_text("print()")
    plugin = Plugin(PluginSpec((str(script),), 5, 5), "cpu", 1)
    with pytest.raises(PluginError, match="program not executable") as error:
        plugin.synthesize(REQUEST)
    assert error.value.hint == "name its Python, or run `chmod +x` on it"


def test_secrets_and_ranks_do_not_reach_a_plugin(tmp_path, monkeypatch):
    secrets = ("FREETUMOR_TOKEN", "RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID", "PYTHONPATH")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("FREETUMOR_RUN_ID", "run")
    code = f"import os,sys; print(*[n for n in {[*secrets, 'FREETUMOR_RUN_ID']} if n in os.environ], *sys.argv[1:])"
    with pytest.raises(PluginError) as raised:
        Plugin(PluginSpec((sys.executable, "-c", code, "{device}", "{threads}"), 20, 5), "cpu", 3).synthesize(REQUEST)
    assert str(raised.value).endswith("last output: FREETUMOR_RUN_ID cpu 3")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("mode", ["hang", "ignores SIGTERM", "leaves a grandchild"])
def test_no_process_and_no_folder_of_a_plugin_survives_a_kill_of_ours(mode, tmp_path):
    record = tmp_path / "pids"
    code = f"""
        import sys
        sys.path.insert(0, {str(HOSTILE.parents[2])!r})
        from tests.plugins.test_client import REQUEST, hostile
        from pathlib import Path
        with hostile({mode!r}, Path({str(record)!r}), seconds=600) as plugin:
            plugin.facts
            print("started", flush=True)
            plugin.synthesize(REQUEST)
    """
    # a short path: sockets lie below it
    with tempfile.TemporaryDirectory() as temporary:
        environment = {**os.environ, "TMPDIR": temporary}
        ours = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, env=environment)
        assert ours.stdout is not None and ours.stdout.readline() == b"started\n"
        family = processes(record)
        assert family and all(running(pid) for pid in family)
        assert os.listdir(temporary)
        ours.kill()
        ours.wait()
        assert happens(lambda: not any(running(pid) for pid in family))
        assert happens(lambda: not os.listdir(temporary))


def test_the_seed_of_a_request_follows_from_its_place():
    # docs/plugins.md states the rule
    digest = hashlib.sha256(b"7/case/0/1/2").hexdigest()
    assert seed_of(7, "case", 0, 1, 2) == int(digest, 16) >> (256 - 53) < 2**53
    assert len({seed_of(7, "case", 0, 1, attempt) for attempt in range(50)}) == 50
