"""Many small linear problems, each with data of its own, solved by full-batch gradient steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rewa.errors import UserError
from rewa.linear import LinearLoss
from rewa.packed.linear import check_targets
from rewa.packed.pack import F32, I64, Pack, checked, default_workers, shares, thread_pool
from rewa.packed.table import PackedTrial
from rewa.schedules import warmup_cosine

ROWS_TOGETHER = 64
"""Trainings of one problem that one call takes: enough to amortise it, and their state fits in the cache."""


@dataclass(frozen=True)
class ProblemsResult:
    """Outcome of P problems with S settings each; d inputs.

    Attributes:
        weights: Shape (P, S, d), float32; NaN where diverged.
        bias: Shape (P, S); NaN where diverged, the initial one without intercept.
        train_loss: Shape (P, S): mean over all steps of the loss before the step; NaN where diverged.
        diverged_step: Shape (P, S): the step, from 1, whose loss was not finite; 0 for none.
    """

    weights: F32
    bias: F32
    train_loss: F32
    diverged_step: I64


def train_batch_of_problems(
    inputs: ArrayLike,
    targets: ArrayLike,
    trials: Sequence[PackedTrial] | Sequence[Sequence[PackedTrial]],
    *,
    init_weights: ArrayLike,
    steps: int,
    init_bias: ArrayLike = 0.0,
    counts: ArrayLike | None = None,
    warmup: float = 0.0,
    factors: ArrayLike | None = None,
    loss: LinearLoss = "squared",
    intercept: bool = False,
    workers: int | None = None,
) -> ProblemsResult:
    """Train S linear models on each of P problems, one step per pass over all of a problem's samples.

    Args:
        inputs: Shape (P, n, d); float32 in C order is used without a copy.
        targets: Shape (P, n); 0 or 1 for "logistic".
        trials: S settings for all problems, or P sequences of S settings.
        init_weights: Any shape that broadcasts to (P, S, d), such as (d,) or (P, 1, d).
        steps: Gradient steps.
        init_bias: Any shape that broadcasts to (P, S); default 0.
        counts: Shape (P,): problem p uses its first ``counts[p]`` samples; default n.
        warmup: Share of the steps that warm up; see :func:`rewa.schedules.warmup_cosine`.
        factors: Shape (steps,): factors on the learning rates, instead of warm-up and cosine.
        loss: As in :func:`rewa.packed.train_packed`.
        intercept: Train the bias too; default: it stays.
        workers: Threads; default: the number of cores.

    Raises:
        UserError: If a shape does not fit, a value is not finite, or a setting is out of range.
    """
    from rewa.kernels.linear import run_steps

    x = checked("inputs", inputs, np.shape(inputs))
    if x.ndim != 3 or not x.size or not len(trials) or steps < 1:
        raise UserError("problems need inputs of shape (P, n, d), and at least one setting and step")
    problems, n, d = x.shape
    y = checked("targets", targets, (problems, n))
    check_targets(y, loss)
    used = np.broadcast_to(np.asarray(n if counts is None else counts, np.int64), (problems,))
    if used.min() < 1 or used.max() > n:
        raise UserError(f"counts must be between 1 and n = {n}")
    settings = _nested(trials, problems)
    each = len(settings[0])
    if factors is None:
        rates = np.array([warmup_cosine(s, steps, warmup) for s in range(steps)])
    else:
        rates = checked("factors", factors, (steps,)).astype(np.float64)
    pack = Pack(
        [trial for one in settings for trial in one],
        checked("init_weights", init_weights, (problems, each, d)).reshape(-1, d),
        checked("init_bias", init_bias, (problems, each)).reshape(-1),
    )
    workers = workers or default_workers()
    tasks: list[tuple[int, I64]] = []
    for p in range(problems):
        rows = np.arange(p * each, (p + 1) * each)
        parts = max(-(-each // ROWS_TOGETHER), workers if problems < workers else 1)
        tasks += [(p, share) for share in shares(rows, pack.table, parts)]

    def run(task: tuple[int, I64]) -> None:
        p, share = task
        m = int(used[p])
        # fmt: off
        run_steps(x[p], y[p], np.arange(m), m, rates, pack.table, share, pack.latents, pack.biases,
                  pack.losses, pack.died, loss == "logistic", intercept, pack.width)
        # fmt: on

    with thread_pool(workers) as pool:
        try:
            for _ in pool.map(run, tasks):
                pass
        except BaseException:  # an interrupt must not wait for the tasks that have not begun
            pool.shutdown(cancel_futures=True)
            raise
    weights, bias = pack.weights(), pack.biases[0].copy()
    unfinished = ~(np.isfinite(weights).all(axis=1) & np.isfinite(bias))
    pack.died[unfinished & (pack.died == 0)] = steps
    bad = pack.died > 0
    weights[bad], bias[bad] = np.nan, np.nan
    losses = np.where(bad, np.nan, pack.losses / steps).astype(np.float32)
    shape = (problems, each)
    return ProblemsResult(
        weights.reshape(*shape, d), bias.reshape(shape), losses.reshape(shape), pack.died.reshape(shape)
    )


def _nested(
    trials: Sequence[PackedTrial] | Sequence[Sequence[PackedTrial]], problems: int
) -> list[list[PackedTrial]]:
    """Return one list of settings per problem, all of one length.

    Raises:
        UserError: If their numbers do not fit.
    """
    flat = [trial for trial in trials if isinstance(trial, PackedTrial)]
    if len(flat) == len(trials):
        return [flat] * problems
    nested = [list(one) for one in trials if not isinstance(one, PackedTrial)]
    if len(nested) != problems or len({len(one) for one in nested}) != 1 or not nested[0]:
        raise UserError("trials must be S settings, or one sequence of S settings per problem")
    return nested
