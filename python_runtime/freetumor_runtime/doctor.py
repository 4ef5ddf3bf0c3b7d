"""What `freetumor doctor` asks of Python: devices, and an all-reduce over two ranks.

The ranks are started as those of a job: launcher/single_node.py with `-m freetumor_runtime.doctor RESULT`.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from freetumor_runtime.bridge.lifeline import follow_parent, keep_rank_log

_JOBS = ("train_segmentation", "train_synthesis", "synthesize", "predict", "prepare", "evaluate", "serve")


def devices() -> dict:
    """CPU threads, and name and memory of each CUDA device that this PyTorch can use."""
    import torch

    return {
        "torch": torch.__version__,
        "cudaBuild": torch.version.cuda,
        "cpuThreads": os.cpu_count(),
        "cuda": [_cuda_device(index) for index in range(torch.cuda.device_count())],
    }


def _cuda_device(index: int) -> dict:
    import torch

    free, total = torch.cuda.mem_get_info(index)
    major, minor = torch.cuda.get_device_capability(index)
    return {
        "name": torch.cuda.get_device_name(index),
        "memoryBytes": total,
        "freeBytes": free,
        "capability": f"{major}.{minor}",
    }


def all_reduce(result: Path) -> None:
    """Join as the ranks of a job do and sum rank + 1 over them; rank 0 imports what jobs import, and writes the sum."""
    if os.environ["RANK"] == "0":
        for job in _JOBS:
            import_module(f"freetumor_runtime.jobs.{job}")
    import torch

    from freetumor_runtime.training.ranks import join_ranks, leave_ranks

    ranks = join_ranks("cpu", 1, 0)
    value = ranks.sum(torch.tensor([float(ranks.rank + 1)]))
    if ranks.first:
        result.write_text(json.dumps({"ranks": ranks.size, "sum": value.item()}), encoding="utf-8")
    leave_ranks()


if __name__ == "__main__":
    follow_parent()
    keep_rank_log()
    all_reduce(Path(sys.argv[1]))
