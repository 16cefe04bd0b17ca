"""Powers of whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewa.kernels.compiled import compiled
from rewa.kernels.scalars import bits_of, log2, real_power, whole_power
from rewa.kernels.settings import MOST_WHOLE


@compiled(inline=True)
def is_whole(exponent: float) -> bool:
    """Return whether an exponent is an integer that is taken by multiplication."""
    return exponent <= MOST_WHOLE and int(exponent) == exponent


@compiled("contract")
def times_power(out: NDArray[np.float32], base: NDArray[np.float32], exponent: float) -> None:
    """Multiply ``out`` by base ** exponent, base >= 0 and exponent >= 0; 0 ** 0 is 1.

    Args:
        out: One-dimensional.
        base: Of the same length.
        exponent: Integers up to 32 go by squaring, all others by :func:`real_power`.
    """
    if is_whole(exponent):
        b0, b1, b2, b3, b4, b5 = bits_of(exponent)
        for j in range(len(out)):
            out[j] *= whole_power(base[j], b0, b1, b2, b3, b4, b5)
    else:
        for j in range(len(out)):
            out[j] *= real_power(base[j], log2(np.float64(base[j])), exponent)
