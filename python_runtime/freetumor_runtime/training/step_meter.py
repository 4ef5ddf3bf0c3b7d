"""Measure time, memory and load of each step of a training on rank 0."""

import os
import time
from pathlib import Path

import torch

from freetumor_runtime.data.crop_source import CropSource
from freetumor_runtime.events import StepDone
from freetumor_runtime.training.step_profile import start_profile


class StepMeter:
    """Measure steps. Call `begin` before a step and `done` when its losses are known."""

    def __init__(self, device: torch.device, feed: CropSource) -> None:
        self._device, self._feed = device, feed
        self.profile = start_profile(device)
        self._started = self._processor_started = self._waited = 0.0

    def begin(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._started, self._processor_started = time.perf_counter(), time.process_time()
        self._waited = self._feed.waited_seconds
        if self.profile is not None:
            self.profile.begin_step()

    def done(self, step: int, losses: dict[str, float], learning_rate: float) -> StepDone:
        """Return the event of the step that just ended. Losses in host memory imply that the device has finished."""
        seconds = time.perf_counter() - self._started
        if self.profile is not None:
            self.profile.end_step()
        return StepDone(
            step,
            losses,
            learning_rate,
            seconds,
            self._feed.waited_seconds - self._waited,
            self._memory_bytes(),
            self._utilization(seconds),
        )

    def _memory_bytes(self) -> int | None:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return _resident_bytes()

    def _utilization(self, seconds: float) -> float | None:
        if self._device.type == "cuda":
            return _gpu_utilization(self._device)
        if seconds <= 0:
            return None
        share = (time.process_time() - self._processor_started) / (seconds * torch.get_num_threads())
        return min(1.0, share)


def _resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes; None on systems without /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _gpu_utilization(device: torch.device) -> float | None:
    """Return the load of a GPU, 0 to 1; None if NVML (package nvidia-ml-py) is not installed."""
    try:
        return torch.cuda.utilization(device) / 100
    except (ModuleNotFoundError, RuntimeError):
        return None
