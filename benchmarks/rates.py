"""What this machine can do at best, measured beside a benchmark: the rates that floors are counted with."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

REPEATS = 7
SECONDS = 0.1
"""A repeat runs at least so long."""


def best_time(work: Callable[[], object], device: str = "cpu") -> float:
    """Return the shortest mean time of one call, in seconds, over several repeats."""
    work()
    once = max(_timed(work, 1, device), 1e-7)
    count = max(1, int(SECONDS / once))
    return min(_timed(work, count, device) for _ in range(REPEATS))


def matmul_rate(
    m: int, k: int, n: int, *, batch: int = 1, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> float:
    """Return the operations per second of (batched) products (m, k) x (k, n), on torch's threads."""
    a = torch.randn(batch, m, k, device=device).to(dtype)
    b = torch.randn(batch, k, n, device=device).to(dtype)
    out = torch.empty(batch, m, n, device=device, dtype=dtype)
    return 2.0 * batch * m * k * n / best_time(lambda: torch.bmm(a, b, out=out), device)


def copy_rate(megabytes: int = 256, device: str = "cpu") -> float:
    """Return the bytes per second that a copy of a large array moves: those read and those written.

    Written memory is counted once, though a CPU reads it first unless it streams.
    """
    source = torch.ones(megabytes * 250_000, device=device)
    target = torch.empty_like(source)
    return 2.0 * source.nbytes / best_time(lambda: target.copy_(source), device)


def _timed(work: Callable[[], object], count: int, device: str) -> float:
    """Return the mean time of a call; waits for the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(count):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / count
