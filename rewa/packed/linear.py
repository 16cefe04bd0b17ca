"""Many linear models on one data set, trained together with one pass over the data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rewa.errors import UserError
from rewa.linear import LinearLoss
from rewa.packed.pack import F32, I64, Pack, checked, default_workers, shares, thread_pool
from rewa.packed.table import PackedTrial
from rewa.schedules import warmup_cosine


@dataclass(frozen=True)
class PackedEpoch:
    """What is known after one epoch of a pack; T trials, d inputs.

    Attributes:
        epoch: 1 for the first.
        train_loss: Shape (T,): mean of the epoch's batch losses; NaN for trials not in training any more.
        live: Shape (T,): which trials are still in training.
        bias: Shape (T,).
    """

    epoch: int
    train_loss: F32
    live: NDArray[np.bool_]
    bias: F32
    _pack: Pack = field(repr=False)

    def weights(self, trials: Sequence[int] | I64 | None = None) -> F32:
        """Return a copy of the current weights of some trials (default: all), shape (their number, d).

        Only valid during the callback; those of a diverged trial are meaningless.
        """
        return self._pack.weights(None if trials is None else np.asarray(trials, np.int64))


@dataclass(frozen=True)
class PackedResult:
    """Outcome of a pack; T trials, d inputs.

    Attributes:
        weights: Shape (T, d), float32; NaN for diverged trials.
        bias: Shape (T,); NaN for diverged trials.
        train_loss: Shape (epochs, T): mean of each epoch's batch losses; NaN once a trial has left.
        diverged: Shape (T,): the loss, or a weight at the end, was not finite.
        last_epoch: Shape (T,): the epoch in which the trial diverged or was stopped; else ``epochs``.
    """

    weights: F32
    bias: F32
    train_loss: F32
    diverged: NDArray[np.bool_]
    last_epoch: I64


OnEpoch = Callable[[PackedEpoch], Collection[int] | None]


def train_packed(
    inputs: ArrayLike,
    targets: ArrayLike,
    trials: Sequence[PackedTrial],
    *,
    init_weights: ArrayLike,
    init_bias: ArrayLike,
    epochs: int,
    batch_size: int,
    seed: int,
    warmup: float = 0.0,
    loss: LinearLoss = "squared",
    on_epoch: OnEpoch | None = None,
    workers: int | None = None,
) -> PackedResult:
    """Train T linear models with intercept that differ in their settings.

    Each is what :func:`rewa.training.fit` makes of ``nn.Linear(d, 1)`` with the same seed, recipe and initial
    weights, up to float32 rounding: same batches, same schedule, bias by plain SGD with the trial's lr and
    momentum. A trial's result does not depend on the others, to the bit. A trial whose loss is not finite
    leaves at once.

    Args:
        inputs: Shape (n, d); float32 in C order is used without a copy.
        targets: Shape (n,); 0 or 1 for "logistic" (not -1 and 1).
        trials: Settings of the T models.
        init_weights: Shape (d,), for all, or (T, d).
        init_bias: A number, for all, or shape (T,).
        epochs: Passes over the data.
        batch_size: Samples per step; an epoch's last batch may be smaller.
        seed: Decides the order of the data, as in ``fit``.
        warmup: Share of the steps that warm up; see :func:`rewa.schedules.warmup_cosine`.
        loss: "squared" is torch's mse_loss (no half), "logistic" binary_cross_entropy_with_logits.
        on_epoch: Called after every epoch; may return the indices of trials to stop there.
        workers: Threads; default: the number of cores.

    Raises:
        UserError: If a shape does not fit, a value is not finite, or a setting is out of range.
    """
    from rewa.kernels.linear import run_steps

    x = checked("inputs", inputs, np.shape(inputs))
    if x.ndim != 2 or not x.size or not len(trials) or epochs < 1 or batch_size < 1:
        raise UserError("a pack needs inputs of shape (n, d), and at least one trial, epoch and sample")
    (n, d), count = x.shape, len(trials)
    y = checked("targets", targets, (n,))
    check_targets(y, loss)
    pack = Pack(
        trials,
        checked("init_weights", init_weights, (count, d)),
        checked("init_bias", init_bias, (count,)),
    )
    workers = workers or default_workers()
    batches = -(-n // batch_size)
    total = epochs * batches
    order = torch.Generator().manual_seed(seed)
    live, last = np.ones(count, bool), np.full(count, epochs)
    diverged = np.zeros(count, bool)
    history = np.full((epochs, count), np.nan, np.float32)
    with thread_pool(workers) as pool:
        for epoch in range(1, epochs + 1):
            index = torch.randperm(n, generator=order).numpy()
            first = (epoch - 1) * batches
            factors = np.array([warmup_cosine(first + s, total, warmup) for s in range(batches)])
            rows = np.flatnonzero(live)

            def run(share: I64, index: I64 = index, factors: NDArray[np.float64] = factors) -> None:
                # fmt: off
                run_steps(x, y, index, batch_size, factors, pack.table, share, pack.latents, pack.biases,
                          pack.losses, pack.died, loss == "logistic", True, pack.width)
                # fmt: on

            pack.losses[:] = 0
            _wait(pool, run, shares(rows, pack.table, workers))
            with np.errstate(over="ignore"):  # fit sums in float32 and calls an overflow a divergence too
                history[epoch - 1, rows] = pack.losses[rows].astype(np.float32) / np.float32(batches)
            bad = live & ((pack.died > 0) | ~np.isfinite(history[epoch - 1]))
            diverged |= bad
            last[bad] = epoch
            live &= ~bad
            if on_epoch:
                stop = on_epoch(
                    PackedEpoch(epoch, history[epoch - 1], live.copy(), pack.biases[0].copy(), pack)
                )
                for trial in stop or ():
                    if live[trial]:
                        live[trial], last[trial] = False, epoch
            if not live.any():
                break
    weights, bias = pack.weights(), pack.biases[0].copy()
    diverged |= ~(np.isfinite(weights).all(axis=1) & np.isfinite(bias))
    weights[diverged], bias[diverged] = np.nan, np.nan
    return PackedResult(weights, bias, history, diverged, last)


def check_targets(targets: F32, loss: str) -> None:
    """Refuse an unknown loss, and targets that the logistic loss does not take.

    Raises:
        UserError: If so.
    """
    if loss not in ("squared", "logistic"):
        raise UserError(f"loss {loss!r} is unknown: choose squared or logistic")
    if loss == "logistic" and not ((targets == 0) | (targets == 1)).all():
        raise UserError("the logistic loss needs targets 0 and 1")


def _wait(pool: ThreadPoolExecutor, run: Callable[[I64], None], parts: Iterable[I64]) -> None:
    """Run all parts and raise what one raises."""
    for _ in pool.map(run, parts):
        pass
