"""Keep freed memory in the process of a training or a synthesis on a CPU."""

import ctypes

import torch

# of mallopt in glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_IN_HEAP = 64 << 20
_NEVER_TRIM = 2**31 - 1


def keep_freed_memory(device: torch.device) -> bool:
    """Let malloc reuse the memory of freed tensors up to 64 MiB; return whether it does.

    By default glibc returns such memory to the system, which fills each page with zeros again: 10 to 17 % of the
    processor time of a step of the small segmentor. Larger tensors are allocated as before. No result changes.
    """
    if device.type != "cpu":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP) == 1 and mallopt(_TRIM_THRESHOLD, _NEVER_TRIM) == 1
