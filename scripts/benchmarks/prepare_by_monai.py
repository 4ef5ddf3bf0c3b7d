"""Run the transforms of method.md 4 by MONAI alone, one process per core, without writing: the reference of prepare.py.

python scripts/benchmarks/prepare_by_monai.py FOLDER WORKERS
"""

import sys
from multiprocessing import Pool
from pathlib import Path

import torch
from monai.transforms import Compose, CropForegroundd, EnsureChannelFirstd, LoadImaged, Orientationd, Spacingd

BOTH = ["image", "label"]


def main() -> None:
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    pairs = [
        {"image": str(path), "label": str(folder / "labelsTr" / path.name)}
        for path in sorted((folder / "imagesTr").iterdir())
    ]
    with Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        voxels = sum(pool.imap_unordered(prepare, pairs))
    print(voxels)


def prepare(pair: dict) -> int:
    transforms = Compose(
        [
            LoadImaged(BOTH),
            EnsureChannelFirstd(BOTH),
            Orientationd(BOTH, axcodes="RAS", labels=None),
            Spacingd(BOTH, pixdim=(1.5, 1.5, 1.5), mode=("bilinear", "nearest")),
            CropForegroundd(BOTH, source_key="image", select_fn=lambda hu: hu > -175, allow_smaller=True),
        ]
    )
    return int(transforms(pair)["image"].numel())


if __name__ == "__main__":
    main()
