"""Prepare the cases of a data set by MONAI's transforms (method.md 4), one process per core: reference of prepare.py.

Writes what the cache holds, uncompressed: HU as int16 and label ids as uint8.

    python scripts/benchmarks/prepare_by_monai.py FOLDER WORKERS OUT
"""

import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose, CropForegroundd, EnsureChannelFirstd, LoadImaged, Orientationd, Spacingd

BOTH = ["image", "label"]


def main() -> None:
    folder, workers, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    pairs = [
        {"image": str(path), "label": str(folder / "labelsTr" / path.name)}
        for path in sorted((folder / "imagesTr").iterdir())
    ]
    with Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        voxels = sum(pool.imap_unordered(partial(prepare, out=out), pairs))
    print(voxels)


def prepare(pair: dict, out: Path) -> int:
    transforms = Compose(
        [
            LoadImaged(BOTH),
            EnsureChannelFirstd(BOTH),
            Orientationd(BOTH, axcodes="RAS", labels=None),
            Spacingd(BOTH, pixdim=(1.5, 1.5, 1.5), mode=("bilinear", "nearest")),
            CropForegroundd(BOTH, source_key="image", select_fn=lambda hu: hu > -175, allow_smaller=True),
        ]
    )
    prepared = transforms(pair)
    name = Path(pair["image"]).name
    np.save(out / f"{name}.image.npy", prepared["image"][0].numpy().round().astype(np.int16))
    np.save(out / f"{name}.label.npy", prepared["label"][0].numpy().astype(np.uint8))
    return int(prepared["image"].numel())


if __name__ == "__main__":
    main()
