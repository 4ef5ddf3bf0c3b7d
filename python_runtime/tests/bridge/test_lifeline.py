"""A rank dies with the process that started it, whichever way that goes."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from freetumor_runtime.bridge.lifeline import EXIT_CODE

ROOT = Path(__file__).resolve().parents[2]
RANK = """
from freetumor_runtime.bridge.lifeline import follow_parent
follow_parent()
import os, signal
print(os.getpid(), flush=True)
signal.pause()
"""


def start(stdin, code=RANK):
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, text=True)


def test_it_leaves_the_signals_of_a_terminal_to_its_parent():
    code = RANK.replace("follow_parent()", "leave_signals_to_parent()").replace(
        "import follow_parent", "import leave_signals_to_parent"
    )
    with start(subprocess.PIPE, code) as rank:
        rank.stdout.readline()
        for name in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
            rank.send_signal(name)
        assert rank.wait(60) == -signal.SIGTERM


def test_it_ends_when_the_pipe_of_its_standard_input_ends():
    with start(subprocess.PIPE) as rank:
        assert int(rank.stdout.readline()) == rank.pid
        rank.stdin.close()
        assert rank.wait(60) == EXIT_CODE


def test_what_comes_over_the_pipe_is_no_end():
    with start(subprocess.PIPE) as rank:
        rank.stdout.readline()
        rank.stdin.write("still here")
        rank.stdin.flush()
        assert rank.poll() is None
        rank.stdin.close()
        assert rank.wait(60) == EXIT_CODE


def test_a_file_or_terminal_as_standard_input_ends_no_process():
    with start(subprocess.DEVNULL) as rank:
        assert int(rank.stdout.readline()) == rank.pid
        assert rank.poll() is None
        rank.send_signal(signal.SIGKILL)
        assert rank.wait(60) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_it_is_killed_with_its_parent_though_its_standard_input_stays_open():
    # the launcher starts a rank whose standard input is a pipe that the test holds, and waits
    read_end, write_end = os.pipe()
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {RANK!r}])"
    with start(read_end, launcher) as parent:
        os.close(read_end)
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        parent.wait()
        # its standard output is this pipe, too, which ends when the rank does
        assert select.select([parent.stdout], [], [], 60)[0]
        assert parent.stdout.read() == ""
    os.close(write_end)
