"""Linear models side by side: every optimizer step of a share of the trials, in one call. Imports numba.

Rows (trials) are handled in tiles of ``TILE`` and columns in blocks of ``width``, so that everything a tile
needs for one block stays in the first-level cache: the gradient is made, the step taken, x = y^K written and
the next batch's predictions begun before the block is left. Memory is passed over once per step. A trial's
arithmetic never depends on its neighbours, so its result is the same to the bit in every pack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewa.kernels.blocks import step_block, write_weights
from rewa.kernels.compiled import compiled
from rewa.kernels.settings import LR, MOMENTUM, TILE

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@compiled("contract", "reassoc", "nsz")
def _gradient(g: F32, x: F32, r: F32, size: int, width: int) -> None:
    """g[t, :] = sum over b of r[t, b] x[b, :], for TILE rows t: five samples at a time, in registers.

    ``size`` is a multiple of five.
    """
    g0, g1, g2, g3 = g[:width], g[width : 2 * width], g[2 * width : 3 * width], g[3 * width : 4 * width]
    for j in range(len(g)):
        g[j] = np.float32(0)
    for b in range(0, size, 5):
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


@compiled("contract", "reassoc", "nsz")
def _predict(p: F32, x: F32, w: F32, size: int, width: int) -> None:
    """p[t, b] += w[t, :] . x[b, :], for TILE rows t: twenty sums at a time, in registers.

    ``size`` is a multiple of five.
    """
    w0, w1, w2, w3 = w[:width], w[width : 2 * width], w[2 * width : 3 * width], w[3 * width : 4 * width]
    o = np.float32(0)
    for b in range(0, size, 5):
        x0, x1 = x[b * width : (b + 1) * width], x[(b + 1) * width : (b + 2) * width]
        x2, x3 = x[(b + 2) * width : (b + 3) * width], x[(b + 3) * width : (b + 4) * width]
        x4 = x[(b + 4) * width : (b + 5) * width]
        p0, p1, p2, p3, p4 = o, o, o, o, o
        q0, q1, q2, q3, q4 = o, o, o, o, o
        s0, s1, s2, s3, s4 = o, o, o, o, o
        t0, t1, t2, t3, t4 = o, o, o, o, o
        for j in range(width):
            a0, a1, a2, a3, a4 = x0[j], x1[j], x2[j], x3[j], x4[j]
            v0, v1, v2, v3 = w0[j], w1[j], w2[j], w3[j]
            p0, p1, p2 = p0 + a0 * v0, p1 + a1 * v0, p2 + a2 * v0
            p3, p4 = p3 + a3 * v0, p4 + a4 * v0
            q0, q1, q2 = q0 + a0 * v1, q1 + a1 * v1, q2 + a2 * v1
            q3, q4 = q3 + a3 * v1, q4 + a4 * v1
            s0, s1, s2 = s0 + a0 * v2, s1 + a1 * v2, s2 + a2 * v2
            s3, s4 = s3 + a3 * v2, s4 + a4 * v2
            t0, t1, t2 = t0 + a0 * v3, t1 + a1 * v3, t2 + a2 * v3
            t3, t4 = t3 + a3 * v3, t4 + a4 * v3
        sums = ((p0, p1, p2, p3, p4), (q0, q1, q2, q3, q4), (s0, s1, s2, s3, s4), (t0, t1, t2, t3, t4))
        for i in range(TILE):
            for c in range(5):
                p[i, b + c] += sums[i][c]


@compiled("contract")
def loss_of(r: F32, targets: F32, index: I64, bias: float, logistic: bool) -> float:
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


@compiled()
def write_rows(weights: F32, rows: I64, table: F64, latents: F32, width: int) -> None:
    """Write the weights of some rows, shape (their number, d), from the latents (:func:`run_steps`)."""
    d = weights.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        for low in range(0, d, width):
            high = min(low + width, d)
            y, y2 = latents[0, row, low:high], latents[2, row, low:high]
            write_weights(weights[i, low:high], y, y2, table[row])


@compiled()
def _fives(count: int) -> int:
    """Return the next multiple of five, the samples that the products take together."""
    return count + (-count) % 5


@compiled("contract")
def _gather(batch: F32, inputs: F32, index: I64, size: int, width: int) -> None:
    """Copy a batch, block after block of columns; samples up to ``size`` and columns past the end are zero.

    Sample by sample, so that prefetching sees long runs; block by block is eight times slower.
    """
    d, o = inputs.shape[1], np.float32(0)
    for b in range(size):
        for low in range(0, d, width):
            start = low * size + b * width
            copy, count = batch[start : start + width], 0
            if b < len(index):
                count = min(width, d - low)
                source = inputs[index[b], low : low + count]
                for j in range(count):
                    copy[j] = source[j]
            for j in range(count, width):
                copy[j] = o


@compiled("contract")
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
        batch_size: Samples per step; the last step may have fewer.
        factors: The schedule's factor on each trial's learning rate, one per step.
        table: The trials' settings.
        rows: The trials of this call, a multiple of TILE; -1 fills up.
        latents: State of :class:`rewa.packed.pack.Pack`, updated for ``rows``; so are the next three.
        biases: See there.
        losses: See there.
        died: See there.
        logistic: The loss is the logistic one, with targets 0 and 1; else the squared error.
        intercept: The bias is trained.
        width: Columns per block.
    """
    steps, slots, padded = len(factors), len(rows), latents.shape[2]
    once = len(order) <= batch_size
    most = _fives(min(batch_size, len(order)))
    batch = np.empty(most * padded, np.float32)
    coming = batch if once else np.empty_like(batch)
    r, p = np.empty((slots, most), np.float32), np.empty((slots, most), np.float32)
    g, x = np.empty(TILE * width, np.float32), np.zeros(TILE * width, np.float32)
    a, q = np.empty(width, np.float32), np.empty(width, np.float32)
    settings = table.copy()
    size, index = 0, order[:0]
    for s in range(steps + 1):  # pass s takes step s - 1 and predicts for step s
        previous = size
        if s > 0:
            settings[:, LR] = table[:, LR] * factors[s - 1]
        if s < steps:
            index = order if once else order[s * batch_size : (s + 1) * batch_size]
            size = _fives(len(index))
            p[:] = np.float32(0)
            if s == 0 or not once:
                _gather(coming, inputs, index, size, width)
        for low in range(0, padded, width):
            high = low + width
            now, then = batch[low * previous : high * previous], coming[low * size : high * size]
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
                        step_block(xi, y, m, gi, y2, m2, a, q, settings[row])
                    else:
                        write_weights(xi, y, y2, table[row])
                if s < steps:
                    _predict(p[tile : tile + TILE], then, x, size, width)
        if s == steps:
            break
        for i in range(slots):
            row = rows[i]
            if row < 0 or died[row] > 0:
                p[i] = np.float32(0)
                continue
            loss = loss_of(p[i, : len(index)], targets, index, biases[0, row], logistic)
            losses[row] += loss
            if not np.isfinite(loss):
                died[row] = s + 1
                p[i] = np.float32(0)
            elif intercept:
                slope = p[i, : len(index)].sum()
                rate = np.float32(table[row, LR] * factors[s])
                biases[1, row] = np.float32(table[row, MOMENTUM]) * biases[1, row] + slope
                biases[0, row] -= rate * biases[1, row]
        r, p = p, r
        batch, coming = coming, batch
