"""Run the reference of feeder.py, as the published scripts load: `feeder_by_monai.py {image, label, cache, workers,
simulate}`.

PersistentDataset holds the prepared volume, RandCropByPosNegLabeld cuts one crop of it, a DataLoader's workers do
both. With `simulate` the workers also put a tumor of method.md 5 by NumPy and SciPy into the crop. A line of input
states the number of items; `{seconds}` answers.
"""

import json
import sys
import time

import numpy as np
import torch
import tumor_by_numpy
from monai.data import DataLoader, PersistentDataset
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    MapTransform,
    RandCropByPosNegLabeld,
    ScaleIntensityRanged,
)

SIZES = tuple(tumor_by_numpy.RADIUS)


class AddTumor(MapTransform):
    def __init__(self) -> None:
        super().__init__(["label"])
        self.rng = None

    def __call__(self, data):
        if self.rng is None:
            self.rng = np.random.default_rng(torch.initial_seed() % 2**32)
        label = np.asarray(data["label"][0]).astype(np.uint8)
        if (label == 1).any():
            try:
                data["shape"] = tumor_by_numpy.plan(label, SIZES[self.rng.integers(4)], self.rng)
            except ValueError:  # no room: the published code lays it at voxel (0, 0, 0)
                data["shape"] = np.zeros_like(label)
        else:
            data["shape"] = np.zeros_like(label)
        return data


def main() -> None:
    torch.set_num_threads(1)
    asked = json.loads(sys.argv[1])
    keys = ["image", "label"]
    steps = [
        LoadImaged(keys),
        EnsureChannelFirstd(keys),
        ScaleIntensityRanged(["image"], a_min=-175, a_max=250, b_min=0, b_max=1, clip=True),
        RandCropByPosNegLabeld(
            keys, label_key="label", spatial_size=(96, 96, 96), pos=1, neg=1, num_samples=1, image_key="image",
            image_threshold=0,
        ),
    ]  # fmt: skip
    files = [{"image": asked["image"], "label": asked["label"]}] * 100_000
    if asked["simulate"]:
        steps.append(OnFirst(AddTumor()))
    dataset = PersistentDataset(files, Compose(steps), cache_dir=asked["cache"])
    loader = DataLoader(dataset, batch_size=1, num_workers=asked["workers"])
    items = iter(loader)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            item = next(items)
            assert item["image"].shape[-3:] == (96, 96, 96)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


class OnFirst:
    """Take the one crop from the list that RandCropByPosNegLabeld returns."""

    def __init__(self, transform) -> None:
        self.transform = transform

    def __call__(self, crops):
        return [self.transform(crop) for crop in crops] if isinstance(crops, list) else self.transform(crops)


if __name__ == "__main__":
    main()
