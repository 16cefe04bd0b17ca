"""The compiled powers against mpmath and against torch's products."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

from rewa.kernels.powers import times_power
from rewa.optim.power import abs_power

REAL = [1e-3, 0.25, 0.5, 0.74, 1.25, 1.74, 2.25, 3.999, 8.5, 31.5, 33.0, 40.3, 100.0]
SPECIAL = [0.0, 1e-45, 1e-42, 1.1754942e-38, 1.1754944e-38, 0.70710677, 0.7071068, 0.99999994, 1.0]
SPECIAL += [1.0000001, 1.4142135, 1.4142137, 3.4028235e38]


def power(base: np.ndarray, exponent: float) -> np.ndarray:
    out = np.ones_like(base)
    times_power(out, base, exponent)
    return out


def bases(count: int) -> np.ndarray:
    """All sizes that float32 has, numbers next to 1, and the special ones."""
    rng = np.random.default_rng(0)
    sizes = np.exp2(rng.uniform(-149, 128, count))
    near = 1 + rng.uniform(-1, 1, count) * 2.0 ** rng.integers(-23, 0, count)
    return np.concatenate([SPECIAL, sizes, near]).astype(np.float32)


@pytest.mark.parametrize("exponent", REAL)
def test_real_powers_are_within_two_units_in_the_last_place(exponent: float) -> None:
    base = bases(1500)
    found = power(base, exponent)
    top, smallest = float(np.finfo(np.float32).max), 2.0**-149
    for a, p in zip(base.tolist(), found.tolist(), strict=True):
        exact = mpmath.mpf(a) ** mpmath.mpf(exponent)
        if exact > top:
            assert p == np.inf or p == top
            continue
        unit = max(mpmath.mpf(2) ** (mpmath.floor(mpmath.log(exact, 2)) - 23) if exact else 0, smallest)
        assert abs(mpmath.mpf(p) - exact) <= 2 * unit, (a, exponent, p)


@pytest.mark.parametrize("exponent", REAL)
def test_ends_of_the_range(exponent: float) -> None:
    found = power(np.array([0, np.inf, np.nan, 1], np.float32), exponent)
    np.testing.assert_array_equal(found, np.array([0, np.inf, np.nan, 1], np.float32))


@pytest.mark.parametrize("exponent", range(33))
def test_whole_powers_are_torchs_products_to_the_bit(exponent: int) -> None:
    """x written by either path is then the same number, and 0 ** 0 is 1."""
    base = bases(1000)
    np.testing.assert_array_equal(
        power(base, exponent), abs_power(torch.tensor(base), exponent).numpy(), strict=True
    )


def test_it_multiplies() -> None:
    out = np.array([2, -3, 0], np.float32)
    times_power(out, np.array([4, 4, 4], np.float32), 1.5)
    np.testing.assert_allclose(out, [16, -24, 0], rtol=3e-7)
