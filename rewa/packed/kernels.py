"""The compiled inner loops: every optimizer step of a share of the trials, in one call.

Importing this module imports numba; the rest of the package imports it only when it trains.

Rows (trials) are handled in tiles of ``TILE`` and columns in blocks of ``width``, so that everything a tile
needs for one block stays in the first-level cache: the gradient is made, the step taken, x = y^K written and
the next batch's predictions begun before the block is left. Memory is passed over once per step. A trial's
arithmetic never depends on its neighbours, so its result is the same to the bit in every pack.

All functions are in this file because numba's cache looks only at the file of the function it compiled: code
inlined from another file would go stale unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from rewa.packed.table import (
    EPSILON,
    L1,
    LR,
    M_FLOOR,
    METHOD,
    MOMENTUM,
    SGD_L1,
    SPRED,
    TILE,
    WEIGHT_DECAY,
    K,
    M,
    X_FLOOR_Y,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(*fastmath: str) -> Callable[[Function], Function]:
    """Compile without the GIL; of the fast-math rules only those named.

    "contract" allows fused multiply-add, "reassoc" and "nsz" a vectorised sum. None of them assumes that
    values are finite, so NaN and infinity are seen. Where no cache folder is writable there is none.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}

    def decorate(function: Function) -> Function:
        try:
            return cast(Function, numba.njit(cache=True, **options)(function))
        except RuntimeError:  # numba: "cannot cache function: no locator available"
            return cast(Function, numba.njit(**options)(function))

    return decorate


@_compiled("contract", "reassoc", "nsz")
def _gradient(g: F32, x: F32, r: F32, size: int, width: int) -> None:
    """g[t, :] = sum over b of r[t, b] x[b, :], for TILE rows t: five samples at a time, in registers."""
    g0, g1, g2, g3 = g[:width], g[width : 2 * width], g[2 * width : 3 * width], g[3 * width : 4 * width]
    g[:] = np.float32(0)
    whole = size - size % 5
    for b in range(0, whole, 5):
        x0, x1 = x[b * width : (b + 1) * width], x[(b + 1) * width : (b + 2) * width]
        x2, x3 = x[(b + 2) * width : (b + 3) * width], x[(b + 3) * width : (b + 4) * width]
        x4 = x[(b + 4) * width : (b + 5) * width]
        p0, p1, p2, p3, p4 = r[0, b], r[0, b + 1], r[0, b + 2], r[0, b + 3], r[0, b + 4]
        q0, q1, q2, q3, q4 = r[1, b], r[1, b + 1], r[1, b + 2], r[1, b + 3], r[1, b + 4]
        s0, s1, s2, s3, s4 = r[2, b], r[2, b + 1], r[2, b + 2], r[2, b + 3], r[2, b + 4]
        t0, t1, t2, t3, t4 = r[3, b], r[3, b + 1], r[3, b + 2], r[3, b + 3], r[3, b + 4]
        for j in range(width):
            a0, a1, a2, a3, a4 = x0[j], x1[j], x2[j], x3[j], x4[j]
            g0[j] += p0 * a0 + p1 * a1 + p2 * a2 + p3 * a3 + p4 * a4
            g1[j] += q0 * a0 + q1 * a1 + q2 * a2 + q3 * a3 + q4 * a4
            g2[j] += s0 * a0 + s1 * a1 + s2 * a2 + s3 * a3 + s4 * a4
            g3[j] += t0 * a0 + t1 * a1 + t2 * a2 + t3 * a3 + t4 * a4
    for b in range(whole, size):
        x0 = x[b * width : (b + 1) * width]
        p0, q0, s0, t0 = r[0, b], r[1, b], r[2, b], r[3, b]
        for j in range(width):
            g0[j] += p0 * x0[j]
            g1[j] += q0 * x0[j]
            g2[j] += s0 * x0[j]
            g3[j] += t0 * x0[j]


@_compiled("contract", "reassoc", "nsz")
def _predict(p: F32, x: F32, w: F32, size: int, width: int) -> None:
    """p[t, b] += w[t, :] . x[b, :], for TILE rows t: twenty sums at a time, in registers."""
    w0, w1, w2, w3 = w[:width], w[width : 2 * width], w[2 * width : 3 * width], w[3 * width : 4 * width]
    o = np.float32(0)
    whole = size - size % 5
    for b in range(0, whole, 5):
        x0, x1 = x[b * width : (b + 1) * width], x[(b + 1) * width : (b + 2) * width]
        x2, x3 = x[(b + 2) * width : (b + 3) * width], x[(b + 3) * width : (b + 4) * width]
        x4 = x[(b + 4) * width : (b + 5) * width]
        p0, p1, p2, p3, p4 = o, o, o, o, o
        q0, q1, q2, q3, q4 = o, o, o, o, o
        s0, s1, s2, s3, s4 = o, o, o, o, o
        t0, t1, t2, t3, t4 = o, o, o, o, o
        for j in range(width):
            a0, a1, a2, a3, a4 = x0[j], x1[j], x2[j], x3[j], x4[j]
            p0, p1, p2, p3, p4 = (
                p0 + a0 * w0[j],
                p1 + a1 * w0[j],
                p2 + a2 * w0[j],
                p3 + a3 * w0[j],
                p4 + a4 * w0[j],
            )
            q0, q1, q2, q3, q4 = (
                q0 + a0 * w1[j],
                q1 + a1 * w1[j],
                q2 + a2 * w1[j],
                q3 + a3 * w1[j],
                q4 + a4 * w1[j],
            )
            s0, s1, s2, s3, s4 = (
                s0 + a0 * w2[j],
                s1 + a1 * w2[j],
                s2 + a2 * w2[j],
                s3 + a3 * w2[j],
                s4 + a4 * w2[j],
            )
            t0, t1, t2, t3, t4 = (
                t0 + a0 * w3[j],
                t1 + a1 * w3[j],
                t2 + a2 * w3[j],
                t3 + a3 * w3[j],
                t4 + a4 * w3[j],
            )
        for i, sums in enumerate(
            ((p0, p1, p2, p3, p4), (q0, q1, q2, q3, q4), (s0, s1, s2, s3, s4), (t0, t1, t2, t3, t4))
        ):
            for c in range(5):
                p[i, b + c] += sums[c]
    for b in range(whole, size):
        x0 = x[b * width : (b + 1) * width]
        p0, q0, s0, t0 = o, o, o, o
        for j in range(width):
            p0 += x0[j] * w0[j]
            q0 += x0[j] * w1[j]
            s0 += x0[j] * w2[j]
            t0 += x0[j] * w3[j]
        p[0, b] += p0
        p[1, b] += q0
        p[2, b] += s0
        p[3, b] += t0


@_compiled("contract")
def _times_power(out: F32, base: F32, exponent: float) -> None:
    """out *= base ** exponent for base >= 0, by squaring for integers up to 32; base is overwritten."""
    whole = int(exponent)
    if whole != exponent or whole > 32:
        e = np.float32(exponent)
        for j in range(len(out)):
            out[j] *= base[j] ** e
        return
    if whole & 1:
        for j in range(len(out)):
            out[j] *= base[j]
    whole >>= 1
    while whole:
        if whole == 1:  # the last square need not be kept
            for j in range(len(out)):
                out[j] *= base[j] * base[j]
        elif whole & 1:
            for j in range(len(out)):
                base[j] *= base[j]
                out[j] *= base[j]
        else:
            for j in range(len(out)):
                base[j] *= base[j]
        whole >>= 1


@_compiled("contract")
def _weights(x: F32, y: F32, y2: F32, h: F64, a: F32) -> None:
    """Write the weights that one block of one trial's latents stands for; ``h`` is its row of the table."""
    if h[METHOD] == SPRED:
        for j in range(len(x)):
            x[j] = y[j] * y2[j]
    elif h[K] == 1:
        x[:] = y
    else:
        floor, o = np.float32(h[X_FLOOR_Y]), np.float32(0)
        for j in range(len(x)):
            a[j] = abs(y[j])
            x[j] = o if a[j] <= floor else y[j]
        _times_power(x, a, h[K] - 1)


@_compiled("contract")
def _scale(g: F32, y: F32, h: F64, a: F32, q: F32) -> None:
    """g *= |y|^(K-1) / (|y|^(K-1) + epsilon) * |y|^M, Eq. 3's factor (rewa.optim.adaptive)."""
    if h[M] > 0:
        floor, o = np.float32(h[M_FLOOR]), np.float32(0)
        for j in range(len(g)):
            a[j] = o if abs(y[j]) <= floor else abs(y[j])
        _times_power(g, a, h[M])
    if h[EPSILON] > 0:
        epsilon = np.float32(h[EPSILON])
        for j in range(len(g)):
            a[j] = abs(y[j])
            q[j] = np.float32(1)
        _times_power(q, a, h[K] - 1)
        for j in range(len(g)):
            g[j] *= q[j] / (q[j] + epsilon)


@_compiled("contract")
def _descend(y: F32, m: F32, g: F32, rate: float, momentum: float, decay: float) -> None:
    """m = momentum m + g + decay y; y -= rate m: torch.optim.SGD."""
    lr, mu, wd = np.float32(rate), np.float32(momentum), np.float32(decay)
    if mu == 0:
        for j in range(len(y)):
            y[j] -= lr * (g[j] + wd * y[j])
    else:
        for j in range(len(y)):
            m[j] = mu * m[j] + (g[j] + wd * y[j])
            y[j] -= lr * m[j]


@_compiled("contract")
def _step(y: F32, m: F32, y2: F32, m2: F32, g: F32, h: F64, factor: float, a: F32, q: F32) -> None:
    """One step on one block of one trial's latents; ``g`` is with respect to the weights, and is used up."""
    rate, mu, wd = h[LR] * factor, h[MOMENTUM], h[WEIGHT_DECAY]
    if h[METHOD] == SPRED:
        for j in range(len(g)):
            a[j] = g[j] * y[j]
            g[j] *= y2[j]
        _descend(y, m, g, rate, mu, wd)
        _descend(y2, m2, a, rate, mu, wd)
        return
    if h[METHOD] == SGD_L1:
        l1, o = np.float32(h[L1]), np.float32(0)
        for j in range(len(g)):
            g[j] += l1 if y[j] > o else (-l1 if y[j] < o else o)
    else:
        _scale(g, y, h, a, q)
    _descend(y, m, g, rate, mu, wd)


@_compiled("contract")
def _loss(r: F32, targets: F32, index: I64, bias: float, logistic: bool) -> float:
    """Turn predictions without bias into the loss's derivatives, in place, and return the mean loss."""
    one, share = np.float32(1), np.float32(1) / np.float32(len(index))
    total = np.float32(0)
    for b in range(len(index)):
        z, target = r[b] + np.float32(bias), targets[index[b]]
        if logistic:
            e = np.exp(-abs(z))
            total += max(z, np.float32(0)) - z * target + np.log1p(e)
            r[b] = ((one if z >= 0 else e) / (one + e) - target) * share
        else:
            total += (z - target) * (z - target)
            r[b] = np.float32(2) * (z - target) * share
    return float(total * share)


@_compiled("contract")
def write_weights(weights: F32, rows: I64, table: F64, latents: F32, width: int) -> None:
    """Write the weights of some rows, shape (their number, d), from the latents (:func:`run_steps`)."""
    d = weights.shape[1]
    x, a = np.empty(width, np.float32), np.empty(width, np.float32)
    for i in range(len(rows)):
        row = rows[i]
        for low in range(0, d, width):
            high = low + width
            _weights(x, latents[0, row, low:high], latents[2, row, low:high], table[row], a)
            weights[i, low : min(high, d)] = x[: min(high, d) - low]


@_compiled("contract")
def _gather(batch: F32, inputs: F32, index: I64, low: int, width: int) -> None:
    """Copy one block of columns of the batch's samples next to each other; columns past the end stay zero."""
    count = min(width, inputs.shape[1] - low)
    for b in range(len(index)):
        sample = index[b]
        start = b * width
        for j in range(count):
            batch[start + j] = inputs[sample, low + j]


@_compiled("contract")
def run_steps(
    inputs: F32,
    targets: F32,
    order: I64,
    batch_size: int,
    factors: F64,
    table: F64,
    rows: I64,
    latents: F32,
    biases: F32,
    losses: F64,
    died: I64,
    logistic: bool,
    intercept: bool,
    width: int,
) -> None:
    """Take one optimizer step per entry of ``factors`` with every trial in ``rows``.

    A trial whose batch loss is not finite takes no further step.

    Args:
        inputs: Shape (n, d), C order.
        targets: Shape (n,).
        order: Sample indices; step s takes ``order[s * batch_size : (s + 1) * batch_size]``. If it holds one
            batch only, every step takes that one, and it is copied once.
        batch_size: Samples per step; the last step of an epoch may have fewer.
        factors: The schedule's factor on each trial's learning rate, one per step.
        table: Settings, shape (T, 10); see :mod:`rewa.packed.table`.
        rows: The trials of this call, a multiple of TILE; -1 fills up.
        latents: Shape (4, T, padded d): y, its momentum, Spred's second factor, its momentum; updated.
        biases: Shape (2, T): bias and its momentum; updated.
        losses: Shape (T,): the batches' mean losses are added.
        died: Shape (T,): 1 + the step at which the loss was not finite, 0 if none; updated.
        logistic: The loss is the logistic one, with targets 0 and 1; else the squared error.
        intercept: The bias is trained.
        width: Columns per block; padded d is a multiple of it.
    """
    steps, slots, blocks, span = len(factors), len(rows), latents.shape[2] // width, TILE * width
    block = min(batch_size, len(order)) * width
    once = len(order) <= batch_size
    batch = np.zeros(blocks * block, np.float32)
    coming = batch if once else np.zeros(blocks * block, np.float32)
    r, p = np.empty((slots, batch_size), np.float32), np.empty((slots, batch_size), np.float32)
    g, x = np.empty(span, np.float32), np.zeros(span, np.float32)
    a, q = np.empty(width, np.float32), np.empty(width, np.float32)
    size, index = 0, order[:0]
    for s in range(steps + 1):  # pass s takes step s - 1 and predicts for step s
        previous = size
        if s < steps:
            index = order if once else order[s * batch_size : (s + 1) * batch_size]
            size = len(index)
            p[:] = np.float32(0)
        for k in range(blocks):
            low, high = k * width, (k + 1) * width
            now, then = batch[k * block : (k + 1) * block], coming[k * block : (k + 1) * block]
            if s == 0 or (s < steps and not once):
                _gather(then, inputs, index, low, width)
            for tile in range(0, slots, TILE):
                live = 0
                for i in range(tile, tile + TILE):
                    live += rows[i] >= 0 and died[rows[i]] == 0
                if live == 0:
                    continue
                if s > 0:
                    _gradient(g, now, r[tile : tile + TILE], previous, width)
                for i in range(TILE):
                    row = rows[tile + i]
                    xi = x[i * width : (i + 1) * width]
                    if row < 0 or died[row] > 0:
                        xi[:] = np.float32(0)  # a slot left empty must not pass on its predecessor's NaN
                        continue
                    y, y2 = latents[0, row, low:high], latents[2, row, low:high]
                    if s > 0:
                        m, m2 = latents[1, row, low:high], latents[3, row, low:high]
                        gi = g[i * width : (i + 1) * width]
                        _step(y, m, y2, m2, gi, table[row], factors[s - 1], a, q)
                    if s < steps:
                        _weights(xi, y, y2, table[row], a)
                if s < steps:
                    _predict(p[tile : tile + TILE], then, x, size, width)
        if s == steps:
            break
        for i in range(slots):
            row = rows[i]
            if row < 0 or died[row] > 0:
                p[i] = np.float32(0)
                continue
            loss = _loss(p[i, :size], targets, index, biases[0, row], logistic)
            losses[row] += loss
            if not np.isfinite(loss):
                died[row] = s + 1
                p[i] = np.float32(0)
            elif intercept:
                slope = p[i, :size].sum()
                rate = np.float32(table[row, LR] * factors[s])
                biases[1, row] = np.float32(table[row, MOMENTUM]) * biases[1, row] + slope
                biases[0, row] -= rate * biases[1, row]
        r, p = p, r
        batch, coming = coming, batch
