"""Several processes that train one model: rank, share, sums over all; trivial with one process.

The processes are started by torchrun, or by Ray Train inside a trial of a sweep. Every process runs the same
program; process 0 writes files. A global batch is split over the processes, so that the number of processes
changes no setting, and training with w processes gives what one process gives up to the order of float sums
(batch norm, whose statistics are each process's own, excepted).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T", list[int], Tensor)


def rank() -> int:
    """Return this process's number, 0 for the one that writes files."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, and take a GPU of one's own; alone, do nothing.

    Args:
        device: Where the model will live: "cuda" communicates by NCCL, "cpu" by gloo.
    """
    if dist.is_initialized() or not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(items: T) -> T:
    """Return this process's part of a batch or split: items r, r + w, r + 2w, ... for process r of w."""
    return items[rank() :: world_size()]


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the element-wise sum of a tensor over all processes, in place; the tensor itself with one."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def of_rank_zero(value: float) -> float:
    """Return process 0's value on every process, so that all decide alike."""
    return float(from_rank_zero(value))


def from_rank_zero(value: Any) -> Any:
    """Return process 0's object on every process."""
    if world_size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def gathered(value: Any) -> list[Any]:
    """Return every process's object, by rank."""
    if world_size() == 1:
        return [value]
    everyones: list[Any] = [None] * world_size()
    dist.all_gather_object(everyones, value)
    return everyones


def parallel(model: nn.Module) -> nn.Module:
    """Return the model whose backward pass averages gradients over the processes; with one, the model."""
    return DistributedDataParallel(model) if world_size() > 1 else model


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of process 0 (batch norm's running statistics), in place."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
