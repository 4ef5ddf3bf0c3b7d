"""Copy tensors from host memory to the device of a job."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of host memory on `device`; on a CPU the tensor itself.

    A plain copy to a GPU waits for all kernels before it. A copy from pinned memory does not: PyTorch reuses the pinned
    memory only after the copy.
    """
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
