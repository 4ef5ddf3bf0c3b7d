import os

import torch

from freetumor_runtime.doctor import devices


def test_devices_name_what_torch_sees():
    found = devices()
    assert found["torch"] == torch.__version__
    assert found["cpuThreads"] == os.cpu_count()
    assert len(found["cuda"]) == torch.cuda.device_count()
