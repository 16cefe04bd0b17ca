"""Theorem 3.3 and Proposition 3.4: where ReWA comes to rest, f'(x) + R'(x) = 0 or x = 0.

f(x) = h/2 sum (x_i - a_i)^2, so f' is known; R' is a finite difference of `implicit_regularizer`.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor, nn

from rewa import ReWA
from rewa.theory import M_for_p, effective_p, implicit_regularizer

CONFIGURATION_A = [(3, 1.5, 0.0), (3, 2, 0.0), (5, 2, 0.0), (9, 2, 0.0), (4, 2.5, 0.0), (2.25, 1.25, 0.0)]
CONFIGURATION_B = [(3, 0, 0.05), (3, 0, 1e-3), (3, 1, 0.02), (5, 1.5, 0.01), (2.5, 0.5, 0.1)]
OTHERS = [(3, 1, 0.0), (3, 0, 0.0), (1, 0, 0.0), (1, 0, 0.5), (3, 2, 0.05), (5, 2, 0.01), (5, 3, 0.01)]
ALL = CONFIGURATION_A + CONFIGURATION_B + OTHERS


def penalty(x: float, K: float, M: float, epsilon: float, decay: float) -> float:
    return implicit_regularizer(torch.tensor([x], dtype=torch.float64), K, M, epsilon, decay).item()


def slope_by_difference(x: Tensor, K: float, M: float, epsilon: float, decay: float) -> Tensor:
    h = 1e-5 * x.abs()
    high, low = (implicit_regularizer(x + s * h, K, M, epsilon, decay) for s in (1, -1))
    return (high - low) / (2 * h)


def slope_by_eq_3(x: Tensor, K: float, M: float, epsilon: float, decay: float) -> Tensor:
    """-g where Eq. 3's bracket is zero: |y|^(K-1) / (|y|^(K-1) + eps) |y|^M g + lambda y = 0."""
    y = x.abs() ** (1 / K)
    return x.sign() * decay * y * (y ** (K - 1) + epsilon) / y ** (K - 1 + M)


def settle(target: Tensor, h: float, K: float, M: float, epsilon: float, decay: float) -> Tensor:
    """Train from the loss's minimum until ReWA comes to rest."""
    x = nn.Parameter(target.clone())
    optimizer = ReWA([x], lr=0.5 / (K * h), K=K, M=M, epsilon=epsilon, weight_decay=decay)
    for _ in range(200):
        for _ in range(25):
            x.grad = h * (x.detach() - target)
            optimizer.step()
        before = x.detach().clone()
        optimizer.step()
        if (x.detach() - before).abs().max() < 1e-15:
            break
    return x.detach()


@pytest.mark.parametrize(("K", "M", "epsilon"), ALL)
def test_closed_form_against_eq_3(K: float, M: float, epsilon: float) -> None:
    x = torch.logspace(-4, 0.5, 40, dtype=torch.float64)
    x = torch.cat([-x, x])
    expected = slope_by_eq_3(x, K, M, epsilon, 0.3)
    torch.testing.assert_close(slope_by_difference(x, K, M, epsilon, 0.3), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize(("K", "M", "epsilon"), ALL)
def test_autograd_gives_the_slope(K: float, M: float, epsilon: float) -> None:
    x = torch.tensor([-2.0, -1e-3, 1e-6, 0.7], dtype=torch.float64, requires_grad=True)
    implicit_regularizer(x, K, M, epsilon, 0.3).sum().backward()
    torch.testing.assert_close(x.grad, slope_by_eq_3(x.detach(), K, M, epsilon, 0.3))


@pytest.mark.parametrize(("K", "M", "epsilon"), ALL)
def test_closed_form_is_the_integral_of_its_slope(K: float, M: float, epsilon: float) -> None:
    """Over a long way too, where a finite difference could hide a wrong branch."""
    area, _ = quad(
        lambda x: slope_by_eq_3(torch.tensor(x, dtype=torch.float64), K, M, epsilon, 0.3).item(), 0.01, 2.0
    )
    rise = penalty(2.0, K, M, epsilon, 0.3) - penalty(0.01, K, M, epsilon, 0.3)
    assert rise == pytest.approx(area, rel=1e-7)


@pytest.mark.parametrize(("K", "M", "epsilon"), ALL)
def test_rest_is_stationary(K: float, M: float, epsilon: float) -> None:
    """Both kinds of coordinate: those at zero, and those where f' + R' = 0."""
    h, decay = 2.0, 0.15
    target = torch.linspace(0.003, 1.4, 30, dtype=torch.float64)
    target = target * torch.tensor([1.0, -1.0]).repeat(15)
    x = settle(target, h, K, M, epsilon, decay)
    alive = x.abs() > 1e-6
    assert alive.sum() >= 10
    assert (x[alive].sign() == target[alive].sign()).all()
    residual = h * (x - target)[alive] + slope_by_difference(x[alive], K, M, epsilon, decay)
    assert residual.abs().max() < 1e-6
    sparse = effective_p(K, M, epsilon) <= 1
    assert bool((~alive).any()) is sparse  # Proposition 3.4: p <= 1 makes zeros, p > 1 does not


@pytest.mark.parametrize(("K", "M", "epsilon"), CONFIGURATION_A + CONFIGURATION_B)
def test_rest_is_a_minimum(K: float, M: float, epsilon: float) -> None:
    """f + R rises on both sides of the coordinates that survive."""
    h, decay = 2.0, 0.15
    target = torch.linspace(0.9, 1.5, 5, dtype=torch.float64)
    x = settle(target, h, K, M, epsilon, decay)

    def objective(x: Tensor) -> Tensor:
        return h / 2 * (x - target) ** 2 + implicit_regularizer(x, K, M, epsilon, decay)

    assert (x > 0.1).all()
    for step in (-1e-3, 1e-3):
        assert (objective(x + step) > objective(x)).all()


@pytest.mark.parametrize(("K", "M"), [(K, M) for K, M, epsilon in CONFIGURATION_A if epsilon == 0])
def test_configuration_a_is_below_one(K: float, M: float) -> None:
    assert effective_p(K, M) < 1
    assert effective_p(K, M) >= 2 / K - 1e-12


@pytest.mark.parametrize(("K", "M", "epsilon"), ALL)
def test_effective_p_is_the_slopes_exponent_near_zero(K: float, M: float, epsilon: float) -> None:
    """d log R' / d log x = p - 1 as x -> 0, in the logarithmic and the negative case too."""
    x = torch.tensor([1e-26, 1e-24], dtype=torch.float64)
    low, high = slope_by_eq_3(x, K, M, epsilon, 0.3).log().tolist()
    assert 1 + (high - low) / math.log(100) == pytest.approx(effective_p(K, M, epsilon), abs=1e-4)


def test_effective_p_with_epsilon_is_the_smaller_exponent() -> None:
    for K, M, epsilon in CONFIGURATION_B:
        assert effective_p(K, M, epsilon) == min((2 - M) / K, (K + 1 - M) / K)
    assert effective_p(5, 2, 0.1) == 0
    assert effective_p(5, 3, 0.1) == pytest.approx(-0.2)
    assert effective_p(2, 0, 0.1) == 1  # Proposition 3.4's Configuration B needs K > 2 - M


def test_values_by_hand() -> None:
    """K = 3, M = 1, eps = 1/2, lambda = 2: R(8) = 2 (8 + 3/2 * 2) = 22; M = 2: 2 (3/2 * 4 + log(8)/2)."""
    assert penalty(8, 3, 1, 0.5, 2) == pytest.approx(22)
    assert penalty(-8, 3, 2, 0.5, 2) == pytest.approx(12 + math.log(8))
    assert penalty(-8, 3, 2, 0.0, 2) == pytest.approx(12)
    assert penalty(3, 1, 0, 0.0, 2) == pytest.approx(9)  # K = 1: weight decay itself


@pytest.mark.parametrize(("M", "at_zero"), [(0, 0.0), (1.5, 0.0), (2, -math.inf), (3, -math.inf)])
def test_value_at_zero(M: float, at_zero: float) -> None:
    assert penalty(0.0, 5, M, 0.1, 0.3) == at_zero
    assert penalty(0.0, 5, M, 0.0, 0.3) == 0
    assert penalty(0.0, 5, M, 0.1, 0.0) == 0


def test_the_logarithm_is_the_limit_from_both_sides() -> None:
    """R(x) - R(1), since the terms differ by a constant that grows as M -> 2; so does M's rounding."""
    exact = penalty(0.2, 5, 2, 0.1, 1) - penalty(1, 5, 2, 0.1, 1)
    for M in (2 - 1e-5, 2 + 1e-5):
        assert penalty(0.2, 5, M, 0.1, 1) - penalty(1, 5, M, 0.1, 1) == pytest.approx(exact, abs=1e-5)
    rounded = M_for_p(9, 1 - 1 / 9)
    assert rounded != 2
    assert penalty(0.2, 9, rounded, 0.1, 1) == pytest.approx(penalty(0.2, 9, 2, 0.1, 1))


def test_negative_p_zero_wins_whatever_the_loss() -> None:
    """M > 2 with epsilon > 0: a weight near zero goes there, though the loss pulls it up hard."""
    K, M, epsilon = 5, 3, 0.1
    x = nn.Parameter(torch.tensor([1e-5], dtype=torch.float64))
    optimizer = ReWA([x], lr=0.1, K=K, M=M, epsilon=epsilon, weight_decay=1e-3)
    for _ in range(3000):
        x.grad = 10 * (x.detach() - 1)
        optimizer.step()
    assert 0 < x.item() < 0.5e-5


@settings(deadline=None)
@given(p=st.floats(0.4, 1.2), lr=st.floats(1e-6, 1e-5), x=st.floats(0.05, 2), g=st.floats(-5, 5))
def test_at_equal_p_and_gamma_k_small_steps_are_the_same(p: float, lr: float, x: float, g: float) -> None:
    """Beside Remark 3.5: at epsilon = 0, dx = -gamma K (|x|^(2-p) g + lambda x), whatever K and M are.

    So configurations that share p differ by the discreteness of their steps and by the factor K only.
    """
    moved = []
    for K in (9, 5, 2 / p if p <= 1 else 7):  # the last: non-adaptive
        parameter = nn.Parameter(torch.tensor([x], dtype=torch.float64))
        parameter.grad = torch.tensor([g], dtype=torch.float64)
        M = min(max(M_for_p(K, p), 0), K - 1)
        if effective_p(K, M) != pytest.approx(p):
            continue
        ReWA([parameter], lr=lr / K, K=K, M=M, weight_decay=0.1).step()
        moved.append((parameter.item() - x) / lr)
    expected = -(x ** (2 - p) * g + 0.1 * x)
    assert moved == pytest.approx([expected] * len(moved), rel=1e-3, abs=1e-3)
