"""The threads that share large steps: made when first needed, gone in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_pools: dict[int, ThreadPoolExecutor] = {}
"""The pool in use, by its number of threads; one at most."""

if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pools.clear)


def run_together(work: Callable[[], None], threads: int) -> None:
    """Call ``work`` in this thread and in ``threads - 1`` others at once, and return when all are done.

    Args:
        work: Releases the GIL, and shares its work out by itself.
        threads: How many; at least 1.
    """
    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)] if threads > 1 else []
    try:
        work()
    finally:  # also on an interrupt: nobody may write on into memory that the caller will free
        for helper in helpers:
            if not helper.cancel():  # one that has not begun would find nothing left to do
                helper.result()


def _pool(workers: int) -> ThreadPoolExecutor:
    """Return the pool, made anew when the number of threads changes."""
    pool = _pools.get(workers)
    if pool is None:
        for old in _pools.values():
            old.shutdown(wait=False)
        _pools.clear()
        pool = _pools[workers] = ThreadPoolExecutor(workers, "rewa-step")
    return pool
