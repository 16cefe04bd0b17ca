"""The same step as one Triton kernel over many arrays. Imports triton.

It has run in Triton's interpreter, against the CPU kernel; on a GPU it has not been run yet.
"""

from __future__ import annotations

from typing import Any

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]

from rewa.kernels import settings

COLUMNS = tl.constexpr(settings.COLUMNS)
LR, MOMENTUM, DAMPENING = (tl.constexpr(c) for c in (settings.LR, settings.MOMENTUM, settings.DAMPENING))
NESTEROV, MAXIMIZE, FIRST = (tl.constexpr(c) for c in (settings.NESTEROV, settings.MAXIMIZE, settings.FIRST))
K, M, EPSILON = (tl.constexpr(c) for c in (settings.K, settings.M, settings.EPSILON))
DECAY, L1 = tl.constexpr(settings.WEIGHT_DECAY), tl.constexpr(settings.L1)
X_FLOOR_Y, M_FLOOR = tl.constexpr(settings.X_FLOOR_Y), tl.constexpr(settings.M_FLOOR)
BETA1, BETA2, ADAM_EPS = (tl.constexpr(c) for c in (settings.BETA1, settings.BETA2, settings.ADAM_EPS))
CORRECTION1, CORRECTION2 = tl.constexpr(settings.CORRECTION1), tl.constexpr(settings.CORRECTION2)
SGD_L1, SPRED, ADAMW = (tl.constexpr(c) for c in (settings.SGD_L1, settings.SPRED, settings.ADAMW))


@triton.jit  # type: ignore[untyped-decorator]
def _power(a: Any, exponent: Any, REAL: tl.constexpr) -> Any:
    """Return a ** exponent, a >= 0: the whole part up to 63 by squaring, what is left by exp2 and log2."""
    whole = tl.minimum(tl.floor(exponent), 63.0)
    bits = whole.to(tl.int32)
    out = tl.full(a.shape, 1.0, tl.float32)
    square = a
    for i in tl.static_range(6):
        out = tl.where(((bits >> i) & 1) != 0, out * square, out)
        square = square * square
    if REAL:
        rest = exponent - whole
        inside = (a > 0) & (a < float("inf"))
        power = tl.exp2(rest * tl.log2(tl.where(inside, a, 1.0)))
        out *= tl.where(inside, power, tl.where(rest > 0, a, 1.0))
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _descended(y: Any, m: Any, gradient: Any, h: Any) -> Any:
    """Return y and its momentum after ``torch.optim.SGD``'s step."""
    mu = tl.load(h + MOMENTUM)
    bracket = gradient + tl.load(h + DECAY) * y
    fresh = (tl.load(h + FIRST) != 0) | (mu == 0)
    buffer = tl.where(fresh, bracket, mu * m + (1 - tl.load(h + DAMPENING)) * bracket)
    step = tl.where(tl.load(h + NESTEROV) != 0, bracket + mu * buffer, buffer)
    return y - tl.load(h + LR) * step, buffer


@triton.jit  # type: ignore[untyped-decorator]
def step_chunks(
    addresses: Any,
    rows: Any,
    chunks: Any,
    table: Any,
    MODE: tl.constexpr,
    WEIGHT: tl.constexpr,
    FIRST_MOMENT: tl.constexpr,
    REAL_M: tl.constexpr,
    REAL_K: tl.constexpr,
    RATIO: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Step one chunk of at most ``BLOCK`` elements per program.

    Args:
        addresses: Shape (arrays, 6), int64, as in :func:`rewa.kernels.chunks.step_chunks`.
        rows: Shape (arrays,), int64.
        chunks: Shape (chunks, 3), int64: array, first element, end.
        table: Settings in float32.
        MODE: Of all these arrays; so are the flags below.
        WEIGHT: x is to be written.
        FIRST_MOMENT: There is a momentum.
        REAL_M: M is not whole.
        REAL_K: K is not whole.
        RATIO: epsilon > 0.
        BLOCK: Elements per program.
    """
    chunk = chunks + 3 * tl.program_id(0)
    array, start, stop = tl.load(chunk), tl.load(chunk + 1), tl.load(chunk + 2)
    at, h = addresses + 6 * array, table + COLUMNS * tl.load(rows + array)
    offsets = start + tl.arange(0, BLOCK)
    inside = offsets < stop
    y_at = tl.load(at + 1).to(tl.pointer_type(tl.float32)) + offsets
    g_at = tl.load(at + 3).to(tl.pointer_type(tl.float32)) + offsets
    y = tl.load(y_at, mask=inside, other=0.0)
    g = tl.load(g_at, mask=inside, other=0.0)
    g = tl.where(tl.load(h + MAXIMIZE) != 0, -g, g)
    m = tl.full(y.shape, 0.0, tl.float32)
    if FIRST_MOMENT:
        m_at = tl.load(at + 2).to(tl.pointer_type(tl.float32)) + offsets
        m = tl.load(m_at, mask=inside, other=0.0)
    if MODE == SPRED:
        y2_at = tl.load(at + 4).to(tl.pointer_type(tl.float32)) + offsets
        y2 = tl.load(y2_at, mask=inside, other=0.0)
        m2 = tl.full(y.shape, 0.0, tl.float32)
        if FIRST_MOMENT:
            m2_at = tl.load(at + 5).to(tl.pointer_type(tl.float32)) + offsets
            m2 = tl.load(m2_at, mask=inside, other=0.0)
        gradient, gradient2 = g * y2, g * y
        y, m = _descended(y, m, gradient, h)
        y2, m2 = _descended(y2, m2, gradient2, h)
        tl.store(y2_at, y2, mask=inside)
        if FIRST_MOMENT:
            tl.store(m2_at, m2, mask=inside)
        x = y * y2
    else:
        if MODE == SGD_L1:
            sign = tl.where(y > 0, 1.0, tl.where(y < 0, -1.0, 0.0))
            penalty = tl.load(h + L1) * sign
            g += tl.where(tl.load(h + MAXIMIZE) != 0, -penalty, penalty)
        else:
            a = tl.abs(y)
            g *= _power(tl.where(a <= tl.load(h + M_FLOOR), 0.0, a), tl.load(h + M), REAL_M)
            if RATIO:
                p = _power(a, tl.load(h + K) - 1, REAL_K)
                g *= p / (p + tl.load(h + EPSILON))
        if MODE == ADAMW:
            v_at = tl.load(at + 5).to(tl.pointer_type(tl.float32)) + offsets
            v = tl.load(v_at, mask=inside, other=0.0)
            beta1, beta2 = tl.load(h + BETA1), tl.load(h + BETA2)
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g * g)
            tl.store(v_at, v, mask=inside)
            lr = tl.load(h + LR)
            root = tl.sqrt(v) / tl.sqrt(tl.load(h + CORRECTION2)) + tl.load(h + ADAM_EPS)
            y = (1 - lr * tl.load(h + DECAY)) * y - lr / tl.load(h + CORRECTION1) * m / root
        else:
            y, m = _descended(y, m, g, h)
        a = tl.abs(y)
        x = tl.where(a <= tl.load(h + X_FLOOR_Y), 0.0, y) * _power(a, tl.load(h + K) - 1, REAL_K)
    tl.store(y_at, y, mask=inside)
    if FIRST_MOMENT:
        tl.store(m_at, m, mask=inside)
    if WEIGHT:
        x_at = tl.load(at).to(tl.pointer_type(tl.float32)) + offsets
        tl.store(x_at, x, mask=inside)
