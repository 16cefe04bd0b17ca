"""State of a pack: latents in blocks, and the threads that step shares of the trials."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from rewa.errors import UserError
from rewa.kernels.settings import MODE, SPRED, TILE, K, M
from rewa.optim import signed_root
from rewa.packed.table import PackedTrial, block_width, table_of

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class Pack:
    """The trials of a pack and everything that training them changes.

    Args:
        trials: Settings, T of them.
        init_weights: Shape (T, d), float32.
        init_bias: Shape (T,), float32.

    Attributes:
        table: The settings, one row per trial (:mod:`rewa.kernels.settings`).
        width: Columns per block.
        latents: Shape (4, T, padded d): y, its momentum, Spred's second factor, its momentum.
        biases: Shape (2, T): biases and their momentum.
        losses: Shape (T,): sum of the batch losses since it was last set to zero.
        died: Shape (T,): 1 + the step of the last run at which the loss was not finite; 0 for none.
    """

    def __init__(self, trials: Sequence[PackedTrial], init_weights: F32, init_bias: F32) -> None:
        count, self.d = init_weights.shape
        self.table = table_of(trials)
        self.width = block_width(self.d)
        # zeros that are never written, such as Spred's factors where nothing is Spred, take no memory
        self.latents = np.zeros((4, count, self.width * math.ceil(self.d / self.width)), np.float32)
        self.biases = np.zeros((2, count), np.float32)
        self.biases[0] = init_bias
        self.losses = np.zeros(count)
        self.died = np.zeros(count, np.int64)
        for row, weights in enumerate(init_weights):
            spred = self.table[row, MODE] == SPRED
            root = _root(weights, 2.0 if spred else float(self.table[row, K]))
            self.latents[0, row, : self.d] = root
            if spred:
                self.latents[2, row, : self.d] = np.abs(root)

    def weights(self, rows: I64 | None = None) -> F32:
        """Return the current weights of some trials (default: all), shape (their number, d)."""
        from rewa.kernels.linear import write_rows

        rows = np.arange(len(self.table)) if rows is None else rows
        weights = np.empty((len(rows), self.d), np.float32)
        write_rows(weights, rows, self.table, self.latents, self.width)
        return weights


def _root(weights: F32, depth: float) -> F32:
    """Return sign(x)|x|^(1/depth), by torch so that it is the unpacked start to the bit."""
    return signed_root(torch.tensor(weights), depth).numpy()


def shares(rows: I64, table: NDArray[np.float64], parts: int) -> list[I64]:
    """Split trials into at most ``parts`` shares of whole tiles, -1 filling up.

    Trials with real exponents, whose powers cost several times as much, are dealt out evenly.
    """
    real = (table[rows, K] % 1 != 0) | (table[rows, M] % 1 != 0)
    dealt = rows[np.argsort(~real, kind="stable")]
    tiles = math.ceil(len(rows) / TILE)
    parts = min(parts, tiles)
    found = []
    for part in range(parts):
        mine = dealt[part::parts]
        filled = np.full(TILE * math.ceil(len(mine) / TILE), -1, np.int64)
        filled[: len(mine)] = mine
        found.append(filled)
    return found


def thread_pool(workers: int) -> ThreadPoolExecutor:
    """Return threads that treat subnormal numbers as zero.

    Powers of collapsing weights are subnormal sooner or later, and plain loops over subnormals are five to
    seven times slower. The setting belongs to these threads alone; the caller's arithmetic is unchanged.
    """

    def flush() -> None:
        torch.set_flush_denormal(True)

    return ThreadPoolExecutor(workers, "rewa-packed", flush)


def checked(name: str, values: object, shape: tuple[int, ...]) -> F32:
    """Return values as a finite, read-only float32 array in C order, broadcast to a shape.

    Raises:
        UserError: If the shape does not fit or a value is not finite.
    """
    array = np.asarray(values, np.float32)
    try:
        array = np.ascontiguousarray(np.broadcast_to(array, shape))
    except ValueError as error:
        raise UserError(f"{name} has shape {array.shape}, which does not fit {shape}") from error
    if not np.isfinite(array).all():
        raise UserError(f"{name} has values that are not finite")
    view = array.view()
    view.flags.writeable = False  # always, because numba compiles anew for arrays that differ in this
    return view


def default_workers() -> int:
    """Return the number of cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
