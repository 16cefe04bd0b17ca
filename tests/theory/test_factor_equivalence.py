"""Lemma 3.1: [Cp], K factors with L2 decay, and [Bp], the l_p penalty with p = 2/K, share minimisers.

(lambda/2) sum ||y_k||^2 = (lambda K / 2) ||x||_p^p at a minimum, so [Bp]'s coefficient is lambda K / 2.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from rewa.theory import implicit_regularizer

TARGETS = torch.tensor([-2.0, -0.9, -0.2, 0.05, 0.7, 1.3], dtype=torch.float64)
DECAY = 0.1


def minimise_bp(K: int) -> tuple[np.ndarray, np.ndarray]:
    """Brute force in one dimension per target: a grid, then a finer one around its best point."""
    best, values = [], []
    for a in TARGETS.tolist():
        low, high = -3.0, 3.0
        for _ in range(5):
            grid = np.append(np.linspace(low, high, 4001), 0.0)
            value = 0.5 * (grid - a) ** 2 + DECAY * K / 2 * np.abs(grid) ** (2 / K)
            x = grid[value.argmin()]
            low, high = x - (high - low) / 1000, x + (high - low) / 1000
        best.append(x)
        values.append(value.min())
    return np.array(best), np.array(values)


def descend_cp(K: int, factors: Tensor) -> Tensor:
    """Plain gradient descent on the factors, of shape (K, starts, targets)."""
    y = factors.clone()
    for _ in range(4000):
        products = torch.stack([torch.cat([y[:k], y[k + 1 :]]).prod(0) for k in range(K)])
        residual = y.prod(0) - TARGETS
        y = y - 0.05 * (residual * products + DECAY * y)
    return y


def starts(K: int) -> Tensor:
    """Unequal factors of several sizes, with every sign of the product."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for size, sign in itertools.product((0.1, 0.6, 1.1), (1.0, -1.0)):
        noise = 0.1 * torch.rand(K, len(TARGETS), generator=generator, dtype=torch.float64)
        row = size + noise
        row[0] *= sign
        rows.append(row)
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_minimisers_are_shared(K: int) -> None:
    y = descend_cp(K, starts(K))
    x = y.prod(0)
    value = 0.5 * (x - TARGETS) ** 2 + DECAY / 2 * (y**2).sum(0)
    best = value.argmin(0)
    columns = torch.arange(len(TARGETS))
    expected_x, expected_value = minimise_bp(K)
    np.testing.assert_allclose(value[best, columns], expected_value, rtol=0, atol=1e-9)
    np.testing.assert_allclose(x[best, columns], expected_x, rtol=0, atol=1e-4)
    assert (expected_x == 0).any()
    assert (expected_x != 0).any()


@pytest.mark.parametrize("K", [2, 3, 5])
def test_factors_are_equal_at_every_minimum(K: int) -> None:
    """Local minima too, each with sum y_k^2 = K |x|^(2/K), which is [Bp]'s penalty."""
    y = descend_cp(K, starts(K))
    magnitudes = y.abs()
    assert (magnitudes.amax(0) - magnitudes.amin(0)).max() < 1e-9
    x = y.prod(0)
    torch.testing.assert_close((y**2).sum(0), K * x.abs() ** (2 / K), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_equal_factors_are_the_cheapest(K: int) -> None:
    """Among random factors of one product none has a smaller sum of squares."""
    y = torch.randn(K, 10_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    least = K * y.prod(0).abs() ** (2 / K)
    assert ((y**2).sum(0) >= least * (1 - 1e-12)).all()
    assert ((y**2).sum(0) / least).min() < 1.01


@pytest.mark.parametrize("K", [2, 3, 5, 9])
def test_non_adaptive_rewa_has_the_same_penalty(K: int) -> None:
    """M = K - 1, epsilon = 0: R is [Bp]'s penalty, coefficient included."""
    x = torch.linspace(-2, 2, 21, dtype=torch.float64)
    expected = DECAY * K / 2 * x.abs() ** (2 / K)
    torch.testing.assert_close(implicit_regularizer(x, K, K - 1, 0.0, DECAY), expected)
