"""Ranks of several nodes as threads: their collectives meet in memory."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from freetumor_runtime.training.ranks import Ranks


class Table:
    """Where the ranks lay their values down."""

    def __init__(self, size: int) -> None:
        self.values: list[Tensor] = [torch.zeros(0)] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def exchange(self, rank: int, values: Tensor) -> list[Tensor]:
        self.values[rank] = values.clone()
        self.barrier.wait()
        seen = list(self.values)
        self.barrier.wait()
        return seen


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    table: Table | None = None

    def maximum(self, values: Tensor) -> Tensor:
        values.copy_(torch.stack(self.table.exchange(self.rank, values)).amax(0))
        return values

    def send_all(self, values: Tensor) -> Tensor:
        values.copy_(self.table.exchange(self.rank, values)[0])
        return values

    def barrier(self) -> None:
        self.table.barrier.wait()


def on_nodes(count: int, work: Callable[[Ranks], object]) -> list[object]:
    """What each of so many nodes of one rank makes of it: a result or the error that it raised."""
    table = Table(count)
    results: list[object] = [None] * count

    def one(rank: int) -> None:
        ranks = ThreadRanks(rank, count, torch.device("cpu"), None, rank, count, 0, table)
        try:
            results[rank] = work(ranks)
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
