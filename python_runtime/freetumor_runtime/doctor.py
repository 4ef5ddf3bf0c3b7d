"""What `freetumor doctor` asks of Python: devices, and an all-reduce over two ranks.

The ranks are started as those of a job: launcher/single_node.py with `-m freetumor_runtime.doctor RESULT`.
"""

import json
import os
import sys
import time
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


def all_reduce(result: Path, device: str) -> None:
    """Join as the ranks of a job do and sum rank + 1 over them; rank 0 of a single machine imports what jobs import.

    The first rank of each node writes the sum, and the largest difference between the clocks of the ranks in seconds.
    """
    if os.environ["RANK"] == "0" and device == "cpu":
        for job in _JOBS:
            import_module(f"freetumor_runtime.jobs.{job}")
    import torch

    from freetumor_runtime.training.ranks import join_ranks, leave_ranks

    ranks = join_ranks(device, 1, 0)
    value = torch.tensor([float(ranks.rank + 1)], device=ranks.device)
    # the group of the devices: NCCL on GPUs
    torch.distributed.all_reduce(value)
    ranks.barrier()
    now = time.time()
    earliest, latest = (-ranks.maximum(torch.tensor([sign * now], dtype=torch.float64)).item() for sign in (-1, 1))
    found = {
        "ranks": ranks.size,
        "sum": value.item(),
        "backend": torch.distributed.get_backend(),
        "clockSeconds": -latest - earliest,
    }
    if ranks.leads_node:
        result.write_text(json.dumps(found), encoding="utf-8")
    leave_ranks()


if __name__ == "__main__":
    follow_parent()
    keep_rank_log()
    all_reduce(Path(sys.argv[1]), sys.argv[2])
