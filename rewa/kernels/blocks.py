"""One optimizer step on one block of memory, as few passes over it as registers allow.

All arrays of a call have one length, are one-dimensional float32 and do not overlap. ``h`` is a row of the
settings table; what the loops need of it is read before them, so that it stays in registers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rewa.kernels.compiled import compiled
from rewa.kernels.powers import is_whole
from rewa.kernels.scalars import bits_of, log2, real_power, root_power, roots_of, whole_power
from rewa.kernels.settings import (
    ADAM_EPS,
    ADAMW,
    BETA1,
    BETA2,
    CHUNK,
    CORRECTION1,
    CORRECTION2,
    DAMPENING,
    EPSILON,
    FIRST,
    L1,
    LR,
    M_FLOOR,
    MAXIMIZE,
    MODE,
    MOMENTUM,
    NESTEROV,
    SGD_L1,
    SPRED,
    WEIGHT_DECAY,
    X_FLOOR_Y,
    K,
    M,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
f32 = np.float32


@compiled("contract", inline=True)
def _descended(
    y: f32, m: f32, bracket: f32, lr: f32, mu: f32, share: f32, first: bool, nesterov: bool
) -> tuple[f32, f32]:
    """Return y and its momentum after ``torch.optim.SGD``'s step; mu = 0 needs no momentum."""
    buffer = bracket if first else mu * m + share * bracket
    step = bracket + mu * buffer if nesterov else buffer
    return y - lr * step, buffer


def _rewa_loop(
    real_m: bool, real_k: bool, ratio: bool = False, quarters: bool = False
) -> Callable[[F32, F32, F32, F32, F64], None]:
    """Return Eq. 3's step for real M or M < 4, real K or K <= 16, with epsilon (K <= 16 only) or without.

    ``quarters`` is for exponents that are multiples of 1/4, by square roots.
    """

    @compiled("contract")
    def rewa_loop(x: F32, y: F32, m: F32, g: F32, h: F64) -> None:
        lr, mu, decay, share = f32(h[LR]), f32(h[MOMENTUM]), f32(h[WEIGHT_DECAY]), f32(1 - h[DAMPENING])
        first, nesterov = (h[FIRST] != 0) | (h[MOMENTUM] == 0), h[NESTEROV] != 0
        sign, o = f32(-1 if h[MAXIMIZE] != 0 else 1), f32(0)
        m_exponent, m_floor, k_exponent, x_floor = h[M], f32(h[M_FLOOR]), h[K], f32(h[X_FLOOR_Y])
        epsilon = f32(h[EPSILON])
        m0, m1, _, _, _, _ = bits_of(m_exponent)
        k0, k1, k2, k3, _, _ = bits_of(k_exponent - 1)
        m_half, m_quarter = roots_of(m_exponent)
        k_half, k_quarter = roots_of(k_exponent)
        for j in range(len(y)):
            yj, s = y[j], sign * g[j]
            a = abs(yj)
            base = o if a <= m_floor else a
            if real_m:
                s *= real_power(base, log2(np.float64(a)), m_exponent)
            else:
                s *= whole_power(base, m0, m1, False, False, False, False)
                if quarters:
                    s *= root_power(base, m_half, m_quarter)
            if ratio:
                p = whole_power(a, k0, k1, k2, k3, False, False)
                s *= p / (p + epsilon)
            yj, m[j] = _descended(yj, m[j], s + decay * yj, lr, mu, share, first, nesterov)
            y[j] = yj
            a = abs(yj)
            if real_k:
                p = real_power(a, log2(np.float64(a)), k_exponent)
                x[j] = o if a <= x_floor else (p if yj > o else -p)
            else:
                p = whole_power(a, k0, k1, k2, k3, False, False)
                if quarters:
                    p *= root_power(a, k_half, k_quarter)
                x[j] = (o if a <= x_floor else yj) * p

    return rewa_loop


_small_small, _small_small_ratio = _rewa_loop(False, False), _rewa_loop(False, False, ratio=True)
_real_small, _real_real = _rewa_loop(True, False), _rewa_loop(True, True)
_quarters = _rewa_loop(False, False, quarters=True)


@compiled("contract")
def write_weights(x: F32, y: F32, y2: F32, h: F64) -> None:
    """Write y * y2 for ``SPRED``, else sign(y)|y|^K with zero below the floor."""
    if h[MODE] == SPRED:
        for j in range(len(x)):
            x[j] = y[j] * y2[j]
        return
    o, x_floor, exponent = f32(0), f32(h[X_FLOOR_Y]), h[K]
    if is_whole(exponent - 1):
        k0, k1, k2, k3, k4, k5 = bits_of(exponent - 1)
        for j in range(len(x)):
            a = abs(y[j])
            x[j] = (o if a <= x_floor else y[j]) * whole_power(a, k0, k1, k2, k3, k4, k5)
    else:
        for j in range(len(x)):
            a = abs(y[j])
            p = real_power(a, log2(np.float64(a)), exponent)
            x[j] = o if a <= x_floor else (p if y[j] > o else -p)


@compiled("contract")
def _scale(s: F32, g: F32, y: F32, h: F64) -> None:
    """S = |y|^(K-1) / (|y|^(K-1) + epsilon) * |y|^M * g, negated to ascend: Eq. 3's factor."""
    o, m_floor, epsilon = f32(0), f32(h[M_FLOOR]), f32(h[EPSILON])
    sign = f32(-1 if h[MAXIMIZE] != 0 else 1)
    m_exponent, ratio_exponent = h[M], h[K] - 1
    if is_whole(m_exponent):
        m0, m1, m2, m3, m4, m5 = bits_of(m_exponent)
        for j in range(len(s)):
            a = abs(y[j])
            s[j] = sign * g[j] * whole_power(o if a <= m_floor else a, m0, m1, m2, m3, m4, m5)
    else:
        for j in range(len(s)):
            a = abs(y[j])
            power = real_power(o if a <= m_floor else a, log2(np.float64(a)), m_exponent)
            s[j] = sign * g[j] * power
    if epsilon == 0:
        return
    if is_whole(ratio_exponent):
        k0, k1, k2, k3, k4, k5 = bits_of(ratio_exponent)
        for j in range(len(s)):
            p = whole_power(abs(y[j]), k0, k1, k2, k3, k4, k5)
            s[j] *= p / (p + epsilon)
    else:
        for j in range(len(s)):
            a = abs(y[j])
            p = real_power(a, log2(np.float64(a)), ratio_exponent)
            s[j] *= p / (p + epsilon)


@compiled("contract")
def _adamw(y: F32, m: F32, v: F32, s: F32, h: F64) -> None:
    """Take ``torch.optim.AdamW``'s step along the scaled gradients s."""
    beta1, beta2, one = f32(h[BETA1]), f32(h[BETA2]), f32(1)
    rest1, rest2 = f32(1 - h[BETA1]), f32(1 - h[BETA2])
    shrink, size = f32(1 - h[LR] * h[WEIGHT_DECAY]), f32(h[LR] / h[CORRECTION1])
    root, eps = one / np.sqrt(f32(h[CORRECTION2])), f32(h[ADAM_EPS])
    for j in range(len(y)):
        mj = beta1 * m[j] + rest1 * s[j]
        vj = beta2 * v[j] + rest2 * (s[j] * s[j])
        m[j], v[j] = mj, vj
        y[j] = shrink * y[j] - size * mj / (np.sqrt(vj) * root + eps)


@compiled("contract")
def _descend(y: F32, m: F32, s: F32, h: F64) -> None:
    """Take ``torch.optim.SGD``'s step along the gradients s."""
    lr, mu, decay, share = f32(h[LR]), f32(h[MOMENTUM]), f32(h[WEIGHT_DECAY]), f32(1 - h[DAMPENING])
    first, nesterov = (h[FIRST] != 0) | (h[MOMENTUM] == 0), h[NESTEROV] != 0
    for j in range(len(y)):
        y[j], m[j] = _descended(y[j], m[j], s[j] + decay * y[j], lr, mu, share, first, nesterov)


@compiled("contract")
def _penalised(s: F32, g: F32, y: F32, h: F64) -> None:
    """S = g + l1 * sign(y), with sign(0) = 0; the gradient negated to ascend."""
    l1, o, sign = f32(h[L1]), f32(0), f32(-1 if h[MAXIMIZE] != 0 else 1)
    for j in range(len(s)):
        s[j] = sign * (g[j] + (l1 if y[j] > o else (-l1 if y[j] < o else o)))


@compiled("contract")
def _factors(s: F32, s2: F32, g: F32, y: F32, y2: F32, h: F64) -> None:
    """The gradients of both factors of x = y * y2."""
    sign = f32(-1 if h[MAXIMIZE] != 0 else 1)
    for j in range(len(g)):
        s[j], s2[j] = sign * g[j] * y2[j], sign * g[j] * y[j]


STAGED, SMALL_SMALL, SMALL_SMALL_RATIO, REAL_SMALL, REAL_REAL, QUARTERS = range(6)
"""Ways to take Eq. 3's step: several loops, or one for the named kinds of M and K."""


@compiled()
def _loop_for(h: F64) -> int:
    """Return the way for a row of settings."""
    if h[MODE] in (SPRED, ADAMW, SGD_L1):
        return STAGED
    small_k = is_whole(h[K] - 1) and h[K] <= 16
    if is_whole(h[M]) and h[M] <= 3 and small_k:
        return SMALL_SMALL_RATIO if h[EPSILON] > 0 else SMALL_SMALL
    if h[EPSILON] == 0 and h[M] < 4 and h[K] <= 16 and is_whole(4 * h[M]) and 4 * h[K] == int(4 * h[K]):
        return QUARTERS
    if h[EPSILON] > 0 or is_whole(h[M]):
        return STAGED
    if small_k:
        return REAL_SMALL
    return STAGED if is_whole(h[K] - 1) else REAL_REAL


@compiled()
def block_size(h: F64) -> int:
    """Return how many elements to step at a time: where several loops pass over them, few, for the cache."""
    return 1024 if _loop_for(h) == STAGED else CHUNK


@compiled()
def step_block(x: F32, y: F32, m: F32, g: F32, y2: F32, m2: F32, s: F32, s2: F32, h: F64) -> None:
    """Take one step and write the weights.

    Args:
        x: Weights to write.
        y: Latents, updated.
        m: Momentum or Adam's first moment, updated; scratch where there is none.
        g: Gradients with respect to x; not changed.
        y2: Second factor, updated (``SPRED``; else not touched).
        m2: Its momentum, or Adam's second moment.
        s: Scratch.
        s2: Scratch.
        h: Row of the settings table.
    """
    mode = h[MODE]
    if mode == SPRED:
        _factors(s, s2, g, y, y2, h)
        _descend(y, m, s, h)
        _descend(y2, m2, s2, h)
        write_weights(x, y, y2, h)
    elif mode == ADAMW:
        _scale(s, g, y, h)
        _adamw(y, m, m2, s, h)
        write_weights(x, y, y2, h)
    elif mode == SGD_L1:
        _penalised(s, g, y, h)
        _descend(y, m, s, h)
        write_weights(x, y, y2, h)
    if mode in (SPRED, ADAMW, SGD_L1):
        return
    loop = _loop_for(h)
    if loop == SMALL_SMALL:
        _small_small(x, y, m, g, h)
    elif loop == SMALL_SMALL_RATIO:
        _small_small_ratio(x, y, m, g, h)
    elif loop == REAL_SMALL:
        _real_small(x, y, m, g, h)
    elif loop == QUARTERS:
        _quarters(x, y, m, g, h)
    elif loop == REAL_REAL:
        _real_real(x, y, m, g, h)
    else:  # rarer: not worth compiling a loop that does it at once
        _scale(s, g, y, h)
        _descend(y, m, s, h)
        write_weights(x, y, y2, h)
