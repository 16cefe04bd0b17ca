"""Closed forms that link the hyper-parameters of ReWA to what they do.

Theorem, definition and equation numbers are those of the ReWA paper. Throughout, gamma is ``lr``, lambda
is ``weight_decay`` and x = sign(y)|y|^K is the parameter. The inverses that a search evaluates on values
nobody has checked yet (``M_for_p``, ``weight_decay_for_budget``, ``lr_for_step``) compute without checking:
the config that they fill is checked. All other functions refuse values out of their range, NaN included.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Clipping = Literal["constant", "linear"]

_ROUNDING = 1e-9
"""Relative room for M = K - 1 and M = 2 computed in floating point."""


def effective_p(K: float, M: float, epsilon: float = 0.0) -> float:
    """Return the exponent p that governs the implicit regulariser R at small |x| (Theorem 3.3).

    R'(x) grows like |x|^(p-1) as x goes to 0, whatever the sign of p:

    - epsilon = 0: p = (K+1-M)/K, at least 2/K; below 1, so sparse, for M > 1 (Configuration A).
    - epsilon > 0: p = (2-M)/K, the smaller exponent of R's two terms. Below 1 for every M if K > 2, an l_p
      penalty for M < 2 (Configuration B).
    - epsilon > 0 and M = 2: p = 0, where R has a logarithm, the limit of (|x|^p - 1)/p.
    - epsilon > 0 and M > 2: p < 0, where R behaves like -|x|^p and falls to -inf at 0, as the logarithm
      does. That is no l_p penalty: zero is a minimum whatever the loss, and only weights that never come
      near it survive.

    Args:
        K: Power of the reparameterisation, >= 1.
        M: Exponent of the adaptive learning rate, 0 <= M <= K - 1.
        epsilon: Stabiliser of Eq. 3, >= 0.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """
    _check_powers(K, M)
    _check_non_negative(epsilon=epsilon)
    return (K + 1 - M) / K if epsilon == 0 else (2 - M) / K


def M_for_p(K: float, p: float) -> float:  # noqa: N802
    """Return the M that gives exponent p at epsilon = 0: the inverse of :func:`effective_p`."""
    return 1 + K * (1 - p)


def implicit_regularizer(x: Tensor, K: float, M: float, epsilon: float, weight_decay: float) -> Tensor:
    """Return the regulariser R(x) that ReWA minimises beside the loss, element by element (Theorem 3.3).

    Where Eq. 3 stands still, y = 0 or f'(x) + R'(x) = 0 with

        R(x) = lambda * ( K/(K+1-M) |x|^((K+1-M)/K)  +  epsilon K/(2-M) |x|^((2-M)/K) );

    for M = 2 the second term is epsilon log|x|. For M >= 2 with epsilon > 0, R(0) is -inf. Autograd gives
    R' for x != 0.

    Args:
        x: Floating-point tensor of any shape; a NaN in it stays one.
        K: Power of the reparameterisation, >= 1.
        M: Exponent of the adaptive learning rate, 0 <= M <= K - 1.
        epsilon: Stabiliser of Eq. 3, >= 0.
        weight_decay: lambda, >= 0.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ValueError: If a value is out of its range or NaN, or x is not of a floating dtype.
    """
    _check_powers(K, M)
    _check_non_negative(epsilon=epsilon, weight_decay=weight_decay)
    _check_floating(x)
    magnitude = x.abs()
    p = (K + 1 - M) / K
    value = magnitude.pow(p).mul(weight_decay / p)
    if epsilon * weight_decay == 0:
        return value
    if math.isclose(M, 2, rel_tol=_ROUNDING):
        return value + epsilon * weight_decay * magnitude.log()
    q = (2 - M) / K
    return value + epsilon * weight_decay / q * magnitude.pow(q)


def stagnation_radius(K: float, M: float, epsilon: float, lr: float, gradient_bound: float) -> float:
    """Return the r below which a gradient step cannot change the sign of y (Theorem 3.10).

    It is the largest r such that for all 0 < |y| < r and all gradients with |g| <= G a step of Eq. 3
    without decay and momentum is shorter than |y|:

    - epsilon = 0: (gamma G)^(-1/(M-1)) for M > 1. For M < 1 it is 0: steps near zero are longer than |y|.
      For M = 1 the step is proportional to |y|: 0 if gamma G > 1, otherwise inf.
    - epsilon > 0: the smallest root of gamma G r^(M+K-2) = r^(K-1) + epsilon, by bisection. Without a root
      it is inf, or 0 where M + K < 2 (or M + K = 2 and gamma G > epsilon) lets every small y cross. For
      M < 1 there can be a second root, above which no y crosses either.

    The radius is one of y; in terms of x it is r^K.

    Args:
        K: Power of the reparameterisation, >= 1.
        M: Exponent of the adaptive learning rate, 0 <= M <= K - 1.
        epsilon: Stabiliser of Eq. 3, >= 0.
        lr: gamma, >= 0.
        gradient_bound: G, the largest |df/dx| of a coordinate, >= 0.

    Returns:
        The radius, from 0 to inf, both included.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """
    _check_powers(K, M)
    _check_non_negative(epsilon=epsilon, lr=lr, gradient_bound=gradient_bound)
    if lr == 0 or gradient_bound == 0:
        return math.inf
    push = math.log(lr) + math.log(gradient_bound)
    if epsilon == 0:
        return _radius_without_epsilon(M - 1, push)
    return _radius_with_epsilon(M - 1, M + K - 2, math.log(epsilon), push)


def nonadaptive_stagnation_radius(K: float, lr: float, gradient_bound: float) -> float:
    """Return the stagnation radius of the non-adaptive iteration, Eq. 2 (Theorem 3.10).

    (gamma G)^(-1/(K-2)) for K > 2; for K = 2 it is 0 if gamma G > 1, otherwise inf; for K < 2 it is 0.
    Eq. 2 is Eq. 3 with M = K - 1 and epsilon = 0. By Proposition 3.11 an adaptive radius with M > 1 and
    epsilon = 0 is no larger if gamma G > 1, one with epsilon > 0 if also
    epsilon <= (gamma G)^(-M/(K-2)) - (gamma G)^(-(K-1)/(K-2)); if gamma G < 1 all of them exceed 1.

    Args:
        K: Power of the reparameterisation, >= 1.
        lr: gamma, >= 0.
        gradient_bound: G, the largest |df/dx| of a coordinate, >= 0.

    Returns:
        The radius, from 0 to inf, both included.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """
    return stagnation_radius(K, K - 1, 0.0, lr, gradient_bound)


def clipped_lp(x: Tensor, p: float, threshold: float, kind: Clipping) -> Tensor:
    """Return |x|^p with its steep part near zero clipped, element by element (Definition 3.6).

    For |x| >= threshold t it is |x|^p. Below,

    - ``"constant"``: t^p. Gradient bound G = p t^(p-1), approximation error E = t^p.
    - ``"linear"``: the tangent at t, t^p + p t^(p-1) (|x| - t). The same G, and E = (1-p) t^p.

    Both errors are at x = 0. G falls and E rises with t while E G^(p/(1-p)) stays what it is, so that G <= 1
    implies E > 1/e, or E > (1-p)/e for the line: Theorem 3.7's trade-off. The slope at x = 0 is given
    as 0, so the result also serves as a penalty in training.

    Args:
        x: Floating-point tensor of any shape; a NaN in it stays one.
        p: Exponent, 0 < p < 1.
        threshold: The t below which |x|^p is replaced, > 0.
        kind: ``"constant"`` or ``"linear"``.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ValueError: If a value is out of its range or NaN, or x is not of a floating dtype.
    """
    if not 0 < p < 1:
        raise ValueError(f"p = {p} is out of range: it must satisfy 0 < p < 1.")
    if not (threshold > 0 and math.isfinite(threshold)):
        raise ValueError(f"threshold = {threshold} is out of range: it must be finite and > 0.")
    if kind not in ("constant", "linear"):
        raise ValueError(f"kind = {kind!r} is unknown: choose 'constant' or 'linear'.")
    _check_floating(x)
    magnitude = x.abs()
    outside = magnitude.clamp(min=threshold)
    power: Tensor = outside.pow(p)
    if kind == "linear":
        power = power + p * threshold ** (p - 1) * (magnitude - outside)
    return power


def decay_budget(K: float, weight_decay: float, lr: float, momentum: float, schedule_sum: float) -> float:
    """Return D: a weight without gradient signal shrinks by exp(-D) over the whole training.

    From Eq. 3 with g = 0, y decays by the product of (1 - gamma_t * lambda / (1 - momentum)), and
    x = y^K by its K-th power, so D = K * lambda * sum(gamma_t) / (1 - momentum).

    Args:
        K: Power of the reparameterisation, >= 1.
        weight_decay: lambda, >= 0.
        lr: Base learning rate, >= 0.
        momentum: Heavy-ball coefficient in [0, 1).
        schedule_sum: Sum of the learning-rate factors over all steps, so that
            sum(gamma_t) = lr * schedule_sum; >= 0.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """
    _check_powers(K, 0.0)
    _check_non_negative(weight_decay=weight_decay, lr=lr, schedule_sum=schedule_sum)
    _check_momentum(momentum)
    return K * weight_decay * lr * schedule_sum / (1 - momentum)


def weight_decay_for_budget(
    K: float, budget: float, lr: float, momentum: float, schedule_sum: float
) -> float:
    """Return the lambda that spends a decay budget: the inverse of :func:`decay_budget`."""
    return budget * (1 - momentum) / (K * lr * schedule_sum)


def effective_step(K: float, M: float, lr: float, momentum: float, weight_scale: float) -> float:
    """Return eta: how far a unit gradient moves a weight of size ``weight_scale``, with momentum.

    From Eq. 3 at epsilon = 0, dx = K |y|^(K-1) dy = K * gamma * s^((M + K - 1) / K) * g at |x| = s.

    Args:
        K: Power of the reparameterisation, >= 1.
        M: Exponent of the adaptive learning rate, 0 <= M <= K - 1.
        lr: Base learning rate, >= 0.
        momentum: Heavy-ball coefficient in [0, 1).
        weight_scale: The size s of the weight, >= 0.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """
    _check_powers(K, M)
    _check_non_negative(lr=lr, weight_scale=weight_scale)
    _check_momentum(momentum)
    return K * lr * float(weight_scale ** ((M + K - 1) / K)) / (1 - momentum)


def lr_for_step(K: float, M: float, step: float, momentum: float, weight_scale: float) -> float:
    """Return the lr that gives an effective step: the inverse of :func:`effective_step`."""
    return step * (1 - momentum) / (K * float(weight_scale ** ((M + K - 1) / K)))


def growth_threshold(K: float, M: float, weight_decay: float, gradient: float) -> float:
    """Return the size above which a weight outgrows its decay, and below which it is lost.

    From Eq. 3 at epsilon = 0: a gradient of size g towards growth moves y by gamma |y|^M g, the decay moves
    it back by gamma lambda |y|, so |y| grows if |y|^(M-1) > lambda / g. In x = y^K that is
    (lambda / g)^(K / (M-1)) for M > 1, which an initial weight must exceed, on the right side of zero, for
    its signal to be found at all. For M <= 1 small weights grow if anything does: 0 if lambda < g or M < 1.
    (Not in the paper; beside Theorem 3.10, which says when a weight on the wrong side can cross.)

    Args:
        K: Power of the reparameterisation, >= 1.
        M: Exponent of the adaptive learning rate, 0 <= M <= K - 1.
        weight_decay: lambda, >= 0.
        gradient: Size of the loss's gradient with respect to x near zero, > 0.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """
    _check_powers(K, M)
    _check_non_negative(weight_decay=weight_decay, gradient=gradient)
    if gradient == 0:
        raise ValueError("gradient = 0 is out of range: it must be positive.")
    ratio = weight_decay / gradient
    if M > 1:
        return 0.0 if ratio == 0 else _exp(math.log(ratio) * K / (M - 1))
    return 0.0 if M < 1 or ratio < 1 else math.inf


def _radius_without_epsilon(a: float, push: float) -> float:
    """Return the r where r^(-a) = exp(push), a = M - 1."""
    if a > 0:
        return _exp(-push / a)
    return math.inf if a == 0 and push <= 0 else 0.0


def _radius_with_epsilon(a: float, b: float, log_epsilon: float, push: float) -> float:
    """Return the first r where r^(-a) + epsilon r^(-b) falls to exp(push), a = M - 1 < b = M + K - 2.

    The left side is what gamma G must exceed for y = r to cross. It is searched in t = log r, where
    nothing overflows, in an interval at whose left end it is too large and at whose right end too small.
    """
    if b < 0:
        return 0.0
    if b == 0:
        return 0.0 if push > log_epsilon else math.inf

    def needed(t: float) -> float:
        u, v = -a * t, log_epsilon - b * t
        return max(u, v) + math.log1p(math.exp(-abs(u - v)))

    low = (log_epsilon - push) / b  # the second term alone suffices
    if a > 0:
        high = max((math.log(2) - push) / a, (math.log(2) + log_epsilon - push) / b)  # each at most half
    elif a == 0:
        if push <= 0:
            return math.inf
        log_rest = push + math.log1p(-math.exp(-push))  # log(gamma G - 1)
        return _exp((log_epsilon - log_rest) / b)
    else:
        high = (log_epsilon + math.log(b) - math.log(-a)) / (b - a)  # where the left side is smallest
        if needed(high) >= push:
            return math.inf
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return _exp(middle)
        low, high = (middle, high) if needed(middle) > push else (low, middle)


def _exp(t: float) -> float:
    """Return e^t, inf where a float cannot hold it."""
    try:
        return math.exp(t)
    except OverflowError:
        return math.inf


def _check_powers(K: float, M: float) -> None:
    """Refuse K below 1 and M outside [0, K - 1]."""
    if not (K >= 1 and math.isfinite(K)):
        raise ValueError(f"K = {K} is out of range: it must be finite and >= 1.")
    if not 0 <= M <= (K - 1) * (1 + _ROUNDING):
        raise ValueError(f"M = {M} is out of range: it must satisfy 0 <= M <= K - 1 = {K - 1}.")


def _check_non_negative(**values: float) -> None:
    """Refuse values that are negative or not finite."""
    for name, value in values.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} = {value} is out of range: it must be finite and >= 0.")


def _check_momentum(momentum: float) -> None:
    """Refuse a momentum outside [0, 1)."""
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum = {momentum} is out of range: it must satisfy 0 <= momentum < 1.")


def _check_floating(x: Tensor) -> None:
    """Refuse tensors whose dtype cannot hold the result."""
    if not torch.is_floating_point(x):
        raise ValueError(f"x has dtype {x.dtype}: it must be a floating-point tensor.")
