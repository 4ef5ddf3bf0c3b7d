"""The launcher leaves stops to its ranks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from freetumor_runtime.launcher import stops

RANK = """
import signal, time
asked = []
def stop(*_):
    print("asked", flush=True)
    asked.append(True)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while not asked:  # not pause(): the signal may come before it
    time.sleep(0.01)
"""
LAUNCHER = f"""
import subprocess, sys
from freetumor_runtime.launcher.stops import leave_stops_to_ranks
leave_stops_to_ranks()
rank = subprocess.Popen([sys.executable, "-c", {RANK!r}])
sys.exit(rank.wait())
"""


def test_the_launcher_survives_stop_signals_and_its_rank_is_asked_to_stop():
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout.readline() == "ready\n"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
            launcher.send_signal(number)
        assert launcher.stdout.readline() == "asked\n"
        assert launcher.wait(60) == 0


def test_a_thread_that_ends_during_the_signal_ends_nothing_else(monkeypatch):
    def gone(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", gone)
    stops._signal_children(signal.SIGTERM)
