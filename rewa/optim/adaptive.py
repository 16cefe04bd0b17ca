"""The coordinate-wise adaptive factor of Eq. 3: |y|^(K-1) / (|y|^(K-1) + epsilon) * |y|^M."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from rewa.kernels import X_FLOOR
from rewa.optim.power import abs_power


def scale_gradients(
    grads: list[Tensor], latents: list[Tensor], K: float, M: float, epsilon: float, *, foreach: bool
) -> list[Tensor]:
    """Multiply gradients by the adaptive factor.

    At y = 0 the ratio is 1 for epsilon = 0 and 0 otherwise. |y|^M at or below ``X_FLOOR`` counts as zero,
    which keeps subnormals out.

    Args:
        grads: Gradients with respect to x, in the latents' precision; not changed.
        latents: y, of the same shapes.
        K: Power of the reparameterisation, >= 1.
        M: Exponent, 0 <= M <= K - 1.
        epsilon: Stabiliser, >= 0.
        foreach: Use the multi-tensor kernels.

    Returns:
        New tensors, or the given ones where the factor is 1.
    """
    scale = _scale_foreach if foreach else _scale_each
    return scale(grads, latents, K, M, epsilon)


def _scale_each(
    grads: list[Tensor], latents: list[Tensor], K: float, M: float, epsilon: float
) -> list[Tensor]:
    """One tensor at a time."""
    scaled = []
    for grad, y in zip(grads, latents, strict=True):
        result = grad
        if M > 0:
            result = result * abs_power(hardshrink(y, X_FLOOR ** (1.0 / M)).abs(), M)
        if epsilon > 0:
            power = abs_power(y.abs(), K - 1)
            result = result * (power / (power + max(epsilon, X_FLOOR)))
        scaled.append(result)
    return scaled


def _scale_foreach(
    grads: list[Tensor], latents: list[Tensor], K: float, M: float, epsilon: float
) -> list[Tensor]:
    """All tensors at once."""
    scaled = grads
    if M > 0:
        shrunk = [hardshrink(y, X_FLOOR ** (1.0 / M)) for y in latents]
        scaled = list(torch._foreach_mul(_foreach_abs_power(shrunk, M), scaled))
    if epsilon > 0:
        ratio = _foreach_abs_power(latents, K - 1)
        torch._foreach_div_(ratio, torch._foreach_add(ratio, max(epsilon, X_FLOOR)))
        scaled = list(torch._foreach_mul(ratio, scaled))
    return scaled


def _foreach_abs_power(tensors: list[Tensor], exponent: float) -> list[Tensor]:
    """Return |t| ** exponent for each tensor, by multiplication for integer exponents."""
    magnitudes = list(torch._foreach_abs(tensors))
    if exponent == int(exponent):
        return [abs_power(m, exponent) for m in magnitudes]
    return list(torch._foreach_pow(magnitudes, exponent))
