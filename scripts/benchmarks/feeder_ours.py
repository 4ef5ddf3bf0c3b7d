"""Run the rank's side of feeder.py: `feeder_ours.py {plan, workers, pauseSeconds?}`.

A line of input states the number of items; `{seconds}` answers. A rank with a pause is slow: it waits that long at
each item.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from freetumor_runtime.bridge.feed import FeedClient
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.feeds import CropFeed
from freetumor_runtime.synthesis.painting import place_shape, tumor_box

AHEAD = 4


def main() -> None:
    torch.set_num_threads(1)
    server = Path(__file__).with_name("feeder.mjs")
    node = subprocess.Popen(
        ["node", str(server), sys.argv[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert node.stdin is not None and node.stdout is not None
    feed = CropFeed(FeedClient(node.stdout.readline().strip(), 0, ""))
    asked = json.loads(sys.argv[1])
    window_hu, pause = asked["plan"]["windowHu"], asked.get("pauseSeconds", 0)
    step = 0
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            for ahead in range(step, step + AHEAD):
                feed.request(ahead)
            (crop,) = feed.crops(step)
            # what the reference hands over: a windowed float32 crop, its label, and the tumor's shape
            made = [window_intensity(crop.image_hu, window_hu), crop.label]
            made += [place_shape(one, tumor_box(one, crop.label.shape), crop.label.device) for one in crop.tumors]
            assert made[0].shape == (96, 96, 96)
            time.sleep(pause)
            feed.ack(step)
            step += 1
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
    node.stdin.close()
    node.wait()


if __name__ == "__main__":
    main()
