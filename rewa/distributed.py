"""Several processes that train one model: rank, share, sums over all; trivial with one process."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T", list[int], Tensor)


def rank() -> int:
    """Return this process's number, 0 for the one that writes files."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share(items: T) -> T:
    """Return this process's part of a batch or split: items r, r + w, r + 2w, ... for process r of w."""
    return items[rank() :: world_size()]


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the element-wise sum of a tensor over all processes; the tensor itself with one process."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor
