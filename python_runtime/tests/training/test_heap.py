"""Processes that compute networks on a CPU reuse freed memory."""

import json
import platform
import resource
import subprocess
import sys
import warnings

import pytest
import torch

from freetumor_runtime.training.heap import keep_freed_memory

FAULTS = """
import json, resource, sys
import torch
from freetumor_runtime.training.heap import keep_freed_memory

def faults(megabytes):
    for _ in range(3):
        torch.ones(megabytes << 18)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(megabytes << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
before = faults(40)
kept = keep_freed_memory(torch.device("cpu"))
print(json.dumps({"kept": kept, "before": before, "after": faults(40)}))
"""


def test_freed_tensors_cost_less_than_half_of_their_page_faults():
    if platform.libc_ver()[0] != "glibc":
        warnings.warn("no glibc here: malloc is not tuned", stacklevel=1)
        pytest.skip("no glibc")
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    # 20 tensors of 40 MiB: a page has 4 KiB, or 2 MiB
    assert told["kept"] and told["before"] >= 20 * 20 and told["after"] < told["before"] / 2


def test_tensors_larger_than_the_stated_size_are_allocated_as_before():
    if platform.libc_ver()[0] != "glibc":
        warnings.warn("no glibc here: malloc is not tuned", stacklevel=1)
        pytest.skip("no glibc")
    limited = FAULTS.replace('torch.device("cpu"))', 'torch.device("cpu"), 20 << 20)')
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["kept"] and told["after"] >= 20 * 20


RETURNED = """
import json
from pathlib import Path
import torch
from freetumor_runtime.training.heap import keep_freed_memory, return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

kept = keep_freed_memory(torch.device("cpu"))
before = resident()
tensors = [torch.ones(10 << 18) for _ in range(20)]
# the last one is in use: memory below it is returned, too
del tensors[:-1]
freed = resident()
return_freed_memory()
print(json.dumps({"kept": freed - before, "returned": freed - resident()}))
"""


def test_kept_memory_is_returned_on_request():
    if platform.libc_ver()[0] != "glibc" or resource.getpagesize() != 4096:
        warnings.warn("no glibc or other pages here: returned memory is not measured", stacklevel=1)
        pytest.skip("no glibc, or other pages")
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    # KiB, of 190 MiB
    assert told["kept"] > 180 << 10 and told["returned"] > 180 << 10


def test_the_memory_of_a_gpu_is_left_alone():
    assert keep_freed_memory(torch.device("cuda", 0)) is False
