"""What `freetumor doctor` asks of Python: devices, and an all-reduce over two ranks.

The latter is `python -m torch.distributed.run --standalone --nproc-per-node=2 -m freetumor_runtime.doctor RESULT`.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path


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
    """Sums rank + 1 over the ranks with gloo; rank 0 writes what came out."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    value = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(value)
    if dist.get_rank() == 0:
        result.write_text(json.dumps({"ranks": dist.get_world_size(), "sum": value.item()}), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    all_reduce(Path(sys.argv[1]))
