"""One linear model by itself: no tile to share reads with, so the samples are read where they are.

Imports numba. A step reads its batch from memory once, for the predictions, sample after sample; the gradient
then finds it in the cache. Sums are taken in another order than :mod:`rewa.kernels.linear` takes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewa.kernels.blocks import step_block, write_weights
from rewa.kernels.compiled import compiled
from rewa.kernels.linear import loss_of
from rewa.kernels.settings import LR, MOMENTUM

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BLOCK = 2048
"""Columns whose gradient is made and stepped at a time."""


@compiled("contract", "reassoc", "nsz")
def _predict(p: F32, inputs: F32, index: I64, weights: F32) -> None:
    """p[b] = weights . inputs[index[b], :]."""
    for b in range(len(index)):
        x, total = inputs[index[b]], np.float32(0)
        for j in range(len(weights)):
            total += x[j] * weights[j]
        p[b] = total


@compiled("contract", "reassoc", "nsz")
def _gradient(g: F32, inputs: F32, index: I64, r: F32, low: int, high: int) -> None:
    """G = sum over b of r[b] inputs[index[b], low:high], five samples at a time."""
    g[:] = np.float32(0)
    whole = len(index) - len(index) % 5
    for b in range(0, whole, 5):
        x0, x1 = inputs[index[b], low:high], inputs[index[b + 1], low:high]
        x2, x3 = inputs[index[b + 2], low:high], inputs[index[b + 3], low:high]
        x4 = inputs[index[b + 4], low:high]
        r0, r1, r2, r3, r4 = r[b], r[b + 1], r[b + 2], r[b + 3], r[b + 4]
        for j in range(len(g)):
            g[j] += r0 * x0[j] + r1 * x1[j] + r2 * x2[j] + r3 * x3[j] + r4 * x4[j]
    for b in range(whole, len(index)):
        x0, r0 = inputs[index[b], low:high], r[b]
        for j in range(len(g)):
            g[j] += r0 * x0[j]


@compiled("contract")
def run_alone(
    inputs: F32,
    targets: F32,
    order: I64,
    batch_size: int,
    factors: F64,
    table: F64,
    row: int,
    latents: F32,
    biases: F32,
    losses: F64,
    died: I64,
    logistic: bool,
    intercept: bool,
) -> None:
    """Take one optimizer step per entry of ``factors`` with the trial ``row``.

    The arguments are those of :func:`rewa.kernels.linear.run_steps`, with one trial instead of several.
    """
    d = inputs.shape[1]
    y, m, y2, m2 = latents[0, row, :d], latents[1, row, :d], latents[2, row, :d], latents[3, row, :d]
    weights, g, r = np.empty(d, np.float32), np.empty(BLOCK, np.float32), np.empty(batch_size, np.float32)
    a, q = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    settings = table[row].copy()
    write_weights(weights, y, y2, settings)
    for s in range(len(factors)):
        index = order if len(order) <= batch_size else order[s * batch_size : (s + 1) * batch_size]
        settings[LR] = table[row, LR] * factors[s]
        p = r[: len(index)]
        _predict(p, inputs, index, weights)
        loss = loss_of(p, targets, index, biases[0, row], logistic)
        losses[row] += loss
        if not np.isfinite(loss):
            died[row] = s + 1
            return
        if intercept:
            biases[1, row] = np.float32(settings[MOMENTUM]) * biases[1, row] + p.sum()
            biases[0, row] -= np.float32(settings[LR]) * biases[1, row]
        for low in range(0, d, BLOCK):
            high = min(low + BLOCK, d)
            n = high - low
            _gradient(g[:n], inputs, index, p, low, high)
            # fmt: off
            step_block(weights[low:high], y[low:high], m[low:high], g[:n], y2[low:high], m2[low:high],
                       a[:n], q[:n], settings)
            # fmt: on
