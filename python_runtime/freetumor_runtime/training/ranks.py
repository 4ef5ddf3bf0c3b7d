"""The ranks of a job: device, process group, seeds, and how networks are shared between them."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from freetumor_runtime.errors import EnvironmentError

# The supervisor's watchdog ends a job that hangs. A limit here would also count time in which the job was suspended.
_PATIENCE = timedelta(days=7)
_PLACE = (("GROUP_RANK", "0"), ("GROUP_WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


@dataclass(frozen=True)
class Ranks:
    rank: int
    size: int
    device: torch.device
    # commands and counts are agreed on the CPU, whatever the tensors use
    control_group: dist.ProcessGroup | None
    # which node, of how many, and which of its ranks
    node: int = 0
    nodes: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def leads_node(self) -> bool:
        """It speaks with the process that started the ranks of its node."""
        return self.local_rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """Gradients of the shared network are means over the ranks."""
        if self.size == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        # Buffers are never broadcast: no network of ours keeps running averages.
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the ranks of a CPU tensor."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM, group=self.control_group)
        return values

    def maximum(self, values: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX, group=self.control_group)
        return values

    def send_all(self, values: Tensor) -> Tensor:
        """Puts rank 0's values into the CPU tensor of every rank."""
        if self.size > 1:
            dist.broadcast(values, 0, group=self.control_group)
        return values

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier(group=self.control_group)


def join_ranks(device: str, threads: int, seed: int) -> Ranks:
    """Join the process group of the ranks that torchrun started; a single process needs none. Seed the weights."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    chosen = _choose_device(device)
    torch.use_deterministic_algorithms(True, warn_only=chosen.type == "cuda")
    # nobody reads what was not written; filling it takes up to a tenth of a forward pass
    # (an attribute that torch adds at run time)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    control_group = None
    if size > 1:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE, **_store(rank, size))
        control_group = dist.group.WORLD
        if chosen.type == "cuda":
            own = dist.new_group(backend="gloo", timeout=_PATIENCE)
            # a number only for ranks that do not belong to it
            assert not isinstance(own, int)
            control_group = own
    node, nodes, local_rank = (int(os.environ.get(name, default)) for name, default in _PLACE)
    return Ranks(rank, size, chosen, control_group, node, nodes, local_rank)


def _store(rank: int, size: int) -> dict[str, Any]:
    """The arguments that choose the store: on a single node a private file, else the TCPStore that torchrun describes.

    Anyone who reaches a TCPStore can write to it, other users of the node included.
    """
    path = os.environ.get("FREETUMOR_STORE")
    return {} if path is None else {"store": dist.FileStore(path, size), "rank": rank, "world_size": size}


def leave_ranks() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def without_sync(networks: Iterable[nn.Module]) -> AbstractContextManager:
    """Gradients stay local: all but the last part of an accumulated step."""
    shared = [network for network in networks if isinstance(network, DistributedDataParallel)]
    if not shared:
        return nullcontext()
    stack = ExitStack()
    for network in shared:
        stack.enter_context(network.no_sync())
    return stack


def _choose_device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EnvironmentError("runtime.device is cuda, but PyTorch finds no CUDA device", "set runtime.device: cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if local_rank >= torch.cuda.device_count():
        raise EnvironmentError(
            f"rank {local_rank} of this node has no GPU: {torch.cuda.device_count()} visible",
            "lower runtime.processesPerNode, or widen CUDA_VISIBLE_DEVICES",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
