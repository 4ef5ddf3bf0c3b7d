from dataclasses import dataclass
from mmap import mmap
from typing import cast

import torch

from freetumor_runtime.data.crop_source import CropSource
from freetumor_runtime.training.step_meter import StepMeter


@dataclass
class WaitingFeed:
    waited_seconds: float = 5.0


def test_a_step_reports_its_own_wait_and_the_use_of_the_processor():
    feed = WaitingFeed()
    meter = StepMeter(torch.device("cpu"), cast(CropSource, feed))
    meter.begin()
    feed.waited_seconds = 5.25
    torch.ones(200, 200) @ torch.ones(200, 200)
    event = meter.done(3, {"total": 1.0}, 1e-3)
    assert (event.step, event.losses, event.learning_rate) == (3, {"total": 1.0}, 1e-3)
    assert event.wait_seconds == 0.25
    assert event.seconds > 0
    assert event.utilization is not None and 0 <= event.utilization <= 1


def test_memory_is_that_of_the_process():
    meter = StepMeter(torch.device("cpu"), cast(CropSource, WaitingFeed()))
    meter.begin()
    before = meter.done(0, {}, 0.0).memory_bytes
    # not of the allocator, which may reuse memory that earlier tests freed
    held = torch.frombuffer(mmap(-1, 100_000_000), dtype=torch.uint8).fill_(1)
    after = meter.done(1, {}, 0.0).memory_bytes
    assert before is not None and after is not None
    assert after - before > 50_000_000
    assert bool(held.all())
