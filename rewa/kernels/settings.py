"""The table of settings that the compiled loops read: one row of float64 per setting, columns by name.

Plain Python: importing this needs neither numpy nor numba.
"""

from __future__ import annotations

X_FLOOR = 1e-30
"""|x| at or below this is written as exact zero.

It is far below any weight that matters and far above float32's subnormals (1.2e-38), whose products
slow a CPU down five to seven times. The latent y itself is not touched, so the iteration is unchanged.
"""

MODE, LR, MOMENTUM, DAMPENING, NESTEROV, MAXIMIZE, K, M, EPSILON, WEIGHT_DECAY = range(10)
L1, X_FLOOR_Y, M_FLOOR, FIRST, BETA1, BETA2, ADAM_EPS, CORRECTION1, CORRECTION2 = range(10, 19)
"""Columns. ``X_FLOOR_Y`` and ``M_FLOOR`` are the |y| at or below which y^K and |y|^M count as zero."""

COLUMNS = 19
"""Number of columns."""

REWA, PLAIN, SGD_L1, SPRED, ADAMW = range(5)
"""Values of the column ``MODE``; see :func:`settings_row`."""

CHUNK = 16384
"""Elements that one thread steps at a time. Part of the arithmetic, so that threads are not."""

TILE = 4
"""Trials of :mod:`rewa.kernels.linear` that share one read of the data in the products."""

MOST_WHOLE = 32
"""Integer exponents up to this are taken by multiplication."""


def settings_row(
    mode: int,
    lr: float,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    K: float = 1.0,
    M: float = 0.0,
    epsilon: float = 0.0,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    first: bool = False,
    beta1: float = 0.9,
    beta2: float = 0.999,
    adam_eps: float = 1e-8,
    correction1: float = 1.0,
    correction2: float = 1.0,
) -> tuple[float, ...]:
    """Return one row of the table; values are not checked here.

    Args:
        mode: ``REWA`` is Eq. 3 on latents y that stand for x = sign(y)|y|^K; ``PLAIN`` is SGD on x itself
            (K, M and epsilon are ignored); ``SGD_L1`` is ``PLAIN`` with l1 * sign(x) added to the gradient;
            ``SPRED`` is SGD on two factors, x = y * y2 (weight decay on both); ``ADAMW`` is Algorithm 2.
        lr: Learning rate.
        momentum: Heavy-ball coefficient.
        dampening: Share of the bracket kept out of the momentum.
        nesterov: Nesterov momentum.
        maximize: Ascend; weight decay still shrinks.
        K: Power of the reparameterisation.
        M: Exponent of the adaptive learning rate.
        epsilon: Stabiliser of Eq. 3; a positive one is never less than ``X_FLOOR``.
        weight_decay: Decay of y; decoupled for ``ADAMW``.
        l1: Coefficient of the penalty of ``SGD_L1``.
        first: No momentum yet: it becomes the bracket, undampened, whatever the memory held.
        beta1: Adam's decay rate of the first moment.
        beta2: The same of the second.
        adam_eps: Adam's own epsilon.
        correction1: 1 - beta1 ** step, to be set by the caller before each step.
        correction2: 1 - beta2 ** step, likewise.
    """
    if mode in (PLAIN, SGD_L1, SPRED):
        K, M, epsilon = 1.0, 0.0, 0.0
    epsilon = max(epsilon, X_FLOOR) if epsilon > 0 else 0.0
    m_floor = X_FLOOR ** (1 / M) if M > 0 else 0.0
    x_floor = X_FLOOR ** (1 / K) if K != 1 else 0.0
    # fmt: off
    return (mode, lr, momentum, dampening, nesterov, maximize, K, M, epsilon, weight_decay,
            l1, x_floor, m_floor, first, beta1, beta2, adam_eps, correction1, correction2)
    # fmt: on
