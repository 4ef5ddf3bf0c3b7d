"""Set up the ranks of a job: device, process group, seeds, and networks shared between ranks."""

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

# The supervisor's watchdog ends a job that hangs; a limit here would also count time in which the job is suspended.
_PATIENCE = timedelta(days=7)
_PLACE = (("GROUP_RANK", "0"), ("GROUP_WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


@dataclass(frozen=True)
class Ranks:
    rank: int
    size: int
    device: torch.device
    # for commands and counts: on the CPU, also if tensors are on a GPU
    control_group: dist.ProcessGroup | None
    # number of this node, number of nodes, and rank within this node
    node: int = 0
    nodes: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def leads_node(self) -> bool:
        """Return whether this rank communicates with the process that started the ranks of its node."""
        return self.local_rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are means over the ranks."""
        if self.size == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        # Buffers are never broadcast: no network of ours keeps running averages.
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)

    def sum(self, values: Tensor) -> Tensor:
        """Sum a CPU tensor over the ranks in place; return it."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM, group=self.control_group)
        return values

    def maximum(self, values: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX, group=self.control_group)
        return values

    def send_all(self, values: Tensor) -> Tensor:
        """Copy rank 0's values into the CPU tensor of every rank; return it."""
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
    # torch.use_deterministic_algorithms sets the same, but imports the compiler, which takes seconds: see `lay_out`
    torch.set_deterministic_debug_mode("warn" if chosen.type == "cuda" else "error")
    # no code reads uninitialized memory, and filling it takes up to a tenth of a forward pass
    # (an attribute that torch adds at run time)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    control_group = None
    if size > 1:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE, **_store(rank, size))
        control_group = dist.group.WORLD
        if chosen.type == "cuda":
            own = dist.new_group(backend="gloo", timeout=_PATIENCE)
            # it is a number only on ranks that do not belong to it
            assert not isinstance(own, int)
            control_group = own
    node, nodes, local_rank = (int(os.environ.get(name, default)) for name, default in _PLACE)
    return Ranks(rank, size, chosen, control_group, node, nodes, local_rank)


def _store(rank: int, size: int) -> dict[str, Any]:
    """Return the arguments that choose the store: on a single node a private file, else the TCPStore of torchrun.

    Every user who can connect to a TCPStore can write to it, including other users of the node.
    """
    path = os.environ.get("FREETUMOR_STORE")
    return {} if path is None else {"store": dist.FileStore(path, size), "rank": rank, "world_size": size}


def leave_ranks() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def without_sync(networks: Iterable[nn.Module]) -> AbstractContextManager:
    """Return the context that keeps gradients local, for all parts of an accumulated step but the last."""
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
