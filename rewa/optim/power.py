"""The sign-preserving power x = sign(y)|y|^K and its inverse.

Odd integer K makes it the plain power of the paper; the sign-preserving form serves even and real K too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from rewa.kernels import X_FLOOR


def abs_power(magnitude: Tensor, exponent: float) -> Tensor:
    """Return ``magnitude ** exponent`` for non-negative input, by multiplication for integer exponents.

    Args:
        magnitude: Non-negative tensor of any shape.
        exponent: Real number >= 0; ``0 ** 0`` is 1.

    Returns:
        A new tensor of the same shape (or ``magnitude`` itself for exponent 1).
    """
    if exponent == 1:
        return magnitude
    if exponent == 0:
        return torch.ones_like(magnitude)
    whole = int(exponent)
    if whole != exponent or whole > 32:
        return magnitude.pow(exponent)
    result: Tensor | None = None
    square = magnitude
    while True:
        if whole & 1:
            result = square if result is None else result * square
        whole >>= 1
        if not whole:
            assert result is not None
            return result
        square = square * square


def signed_power(y: Tensor, K: float) -> Tensor:
    """Return x = sign(y)|y|^K element-wise (Algorithm 1's reparameterisation).

    Args:
        y: Real floating tensor of any shape.
        K: Exponent, real and >= 1.
    """
    if K == 1:
        return y.clone()
    return y * abs_power(y.abs(), K - 1)


def signed_root(x: Tensor, K: float) -> Tensor:
    """Return y = sign(x)|x|^(1/K), the inverse of :func:`signed_power`."""
    if K == 1:
        return x.clone()
    return x.abs().pow_(1.0 / K).copysign_(x)


def latent_to_parameter(y: Tensor, K: float) -> Tensor:
    """Return the parameter that a latent stands for: y^K, exact zero where |x| <= ``X_FLOOR``."""
    if K == 1:
        return y
    return signed_power(hardshrink(y, X_FLOOR ** (1.0 / K)), K)
