"""Closed forms that link the hyper-parameters of ReWA to what they do.

Sources: Theorem 3.3 for the exponent; the decay budget and the effective step follow from Eq. 3.
"""

from __future__ import annotations


def effective_p(K: float, M: float) -> float:
    """Return the exponent p of the implicit l_p penalty at epsilon = 0: (K + 1 - M) / K (Theorem 3.3)."""
    return (K + 1 - M) / K


def M_for_p(K: float, p: float) -> float:  # noqa: N802
    """Return the M that gives exponent p: the inverse of :func:`effective_p`."""
    return 1 + K * (1 - p)


def decay_budget(K: float, weight_decay: float, lr: float, momentum: float, schedule_sum: float) -> float:
    """Return D: a weight without gradient signal shrinks by exp(-D) over the whole training.

    From Eq. 3 with g = 0, y decays by the product of (1 - gamma_t * lambda / (1 - momentum)), and
    x = y^K by its K-th power, so D = K * lambda * sum(gamma_t) / (1 - momentum).

    Args:
        K: Power of the reparameterisation.
        weight_decay: lambda.
        lr: Base learning rate.
        momentum: Heavy-ball coefficient.
        schedule_sum: Sum of the learning-rate factors over all steps, so that
            sum(gamma_t) = lr * schedule_sum.
    """
    return K * weight_decay * lr * schedule_sum / (1 - momentum)


def weight_decay_for_budget(
    K: float, budget: float, lr: float, momentum: float, schedule_sum: float
) -> float:
    """Return the lambda that spends a decay budget: the inverse of :func:`decay_budget`."""
    return budget * (1 - momentum) / (K * lr * schedule_sum)


def effective_step(K: float, M: float, lr: float, momentum: float, weight_scale: float) -> float:
    """Return eta: how far a unit gradient moves a weight of size ``weight_scale``, with momentum.

    From Eq. 3, dx = K |y|^(K-1) dy = K * gamma * s^((M + K - 1) / K) * g at |x| = s.
    """
    return K * lr * float(weight_scale ** ((M + K - 1) / K)) / (1 - momentum)


def lr_for_step(K: float, M: float, step: float, momentum: float, weight_scale: float) -> float:
    """Return the lr that gives an effective step: the inverse of :func:`effective_step`."""
    return step * (1 - momentum) / (K * float(weight_scale ** ((M + K - 1) / K)))
