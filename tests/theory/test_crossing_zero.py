"""Example 3.2, Theorem 3.10 and Proposition 3.11: when a weight of the wrong sign can cross zero."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from rewa import ReWA
from rewa.theory import M_for_p, nonadaptive_stagnation_radius, stagnation_radius

LR, BOUND = 0.5, 8.0  # gamma G = 4
FINITE = [
    (3, 1.5, 0.0),
    (3, 2, 0.0),
    (9, 2, 0.0),
    (2.5, 1.25, 0.0),
    (5, 4, 0.0),
    (3, 0, 0.1),
    (3, 0.5, 0.01),
    (3, 1, 0.1),
    (3, 1.5, 0.1),
    (5, 2, 0.05),
    (5, 3, 1.0),
]


def step(y: float, gradient: float, K: float, M: float, epsilon: float, lr: float = LR) -> float:
    """The latent after one step of ReWA, without decay."""
    x = nn.Parameter(torch.tensor([math.copysign(abs(y) ** K, y)], dtype=torch.float64))
    x.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer = ReWA([x], lr=lr, K=K, M=M, epsilon=epsilon)
    optimizer.step()
    latent: torch.Tensor = optimizer.state[x]["latent"]
    return latent.item()


def trajectory(K: int, M: float, lr: float, steps: int) -> list[float]:
    """y of f(x) = (x - 1)^2 / 2 started at y = -1."""
    x = nn.Parameter(torch.tensor([-1.0], dtype=torch.float64))
    optimizer = ReWA([x], lr=lr, K=K, M=M)
    path = [-1.0]
    for _ in range(steps):
        x.grad = x.detach() - 1
        optimizer.step()
        path.append(optimizer.state[x]["latent"].item())
    return path


@pytest.mark.parametrize(("K", "share"), [(3, 0.1), (3, 0.9), (5, 0.5), (7, 0.9)])
def test_example_3_2_adaptive_converges(K: int, share: float) -> None:
    """Geometrically: 1 - y shrinks by 1 - gamma (1 + y + ... + y^(K-1)), and that sum is in [1/2, K]."""
    lr = share / K
    path = trajectory(K, 0, lr, 500)
    for t, y in enumerate(path):
        assert 0 <= 1 - y <= 2 * (1 - lr / 2) ** t + 1e-12
    assert path[-1] > 0.9999
    assert any(y > 0 for y in path[: math.ceil(1 / lr) + 1])


@pytest.mark.parametrize(("K", "lr"), [(3, 0.02), (3, 0.45), (5, 0.1), (7, 0.45)])
def test_example_3_2_non_adaptive_never_crosses(K: int, lr: float) -> None:
    """For gamma < 1/2, since |f'| <= 2 and |y| <= 1; the ends slow down without ever arriving."""
    path = trajectory(K, K - 1, lr, 1000)
    assert all(y < 0 for y in path)
    assert all(later > earlier for earlier, later in pairwise(path))
    assert path[-1] > -0.5


@pytest.mark.parametrize(("K", "M", "epsilon"), FINITE)
def test_just_inside_no_sign_changes_just_outside_one_does(K: float, M: float, epsilon: float) -> None:
    """Theorem 3.10, on ReWA itself."""
    radius = stagnation_radius(K, M, epsilon, LR, BOUND)
    assert 0 < radius < math.inf
    for sign in (1, -1):
        for share in (0.05, 0.3, 0.7, 0.95, 0.999):
            for gradient in np.linspace(-BOUND, BOUND, 9):
                assert step(sign * share * radius, float(gradient), K, M, epsilon) * sign > 0
        assert step(sign * 1.001 * radius, sign * BOUND, K, M, epsilon) * sign < 0


@pytest.mark.parametrize(("K", "M", "epsilon"), FINITE)
def test_radius_solves_its_equation(K: float, M: float, epsilon: float) -> None:
    r = stagnation_radius(K, M, epsilon, LR, BOUND)
    assert LR * BOUND * r ** (M + K - 2) == pytest.approx(r ** (K - 1) + epsilon, rel=1e-12)


@settings(deadline=None)
@given(
    K=st.floats(1, 12),
    share=st.floats(0, 1),
    epsilon=st.one_of(st.just(0.0), st.floats(1e-6, 10)),
    push=st.floats(0.01, 100),
)
def test_radius_against_a_scan(K: float, share: float, epsilon: float, push: float) -> None:
    """The first y of a dense grid in log y at which the longest step is longer than y."""
    M = share * (K - 1)
    for exponent in (M - 1, M + K - 2):  # at these M and K the answer jumps, further out than any grid
        assume(abs(exponent) > 1e-3)
    radius = stagnation_radius(K, M, epsilon, 0.1, push / 0.1)

    def crosses(log_y: np.ndarray) -> np.ndarray:
        power = (K - 1) * log_y
        ratio = 0.0 if epsilon == 0 else power - np.logaddexp(power, math.log(epsilon))
        return np.asarray(math.log(push) + M * log_y + ratio > log_y + 1e-9)

    touching = epsilon > 0 and M < 1  # the two roots may be too close for a step between them
    if radius == 0:
        at_zero = M if epsilon == 0 else M + K - 1  # the longest step is like this power of y
        if at_zero < 1:
            assert crosses(np.linspace(-1e6, -1e5, 10)).all()
        else:  # the radius is below the smallest float
            assert crosses(np.linspace(-2e4, -744, 100_000)).any() or touching
    elif radius == math.inf:
        assert not crosses(np.linspace(-700, 700, 10_001)).any()
    else:
        inside = math.log(radius) - np.logspace(-4, 3, 10_000)
        assert not crosses(inside).any()
        assert crosses(math.log(radius) + np.logspace(-4, 0, 10_000)).any() or touching


@pytest.mark.parametrize("push", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(
    ("K", "M", "epsilon", "below", "above"),
    [
        (3, 0, 0.0, 0.0, 0.0),  # M < 1: near zero every step crosses
        (3, 1, 0.0, math.inf, 0.0),  # M = 1: all or nothing
        (2, 0, 2.0, math.inf, 0.0),  # M + K = 2: gamma G against epsilon
        (1.5, 0, 0.1, 0.0, 0.0),  # M + K < 2
        (3, 0, 5.0, math.inf, math.inf),  # too stable to cross anywhere: the minimum is 2 sqrt(5)
        (3, 1, 0.1, math.inf, math.sqrt(0.1 / 3)),  # (epsilon / (gamma G - 1))^(1/(K-1))
    ],
)
def test_limits(K: float, M: float, epsilon: float, below: float, above: float, push: float) -> None:
    expected = above if push > 1 else below
    assert stagnation_radius(K, M, epsilon, push, 1.0) == pytest.approx(expected)
    if 0 < expected < math.inf:
        return
    for y in (1e-4, 0.03, 0.9):
        crossed = step(y, 1.0, K, M, epsilon, lr=push) < 0
        if expected == math.inf:
            assert not crossed
        elif y < 0.1:
            assert crossed


def test_no_gradient_crosses_nothing() -> None:
    for lr, bound in ((0, 1), (1, 0)):
        assert stagnation_radius(3, 1.5, 0.1, lr, bound) == math.inf
        assert nonadaptive_stagnation_radius(3, lr, bound) == math.inf


@settings(deadline=None)
@given(
    K=st.floats(1, 50),
    share=st.floats(0, 1),
    epsilon=st.one_of(st.just(0.0), st.floats(5e-324, 1e300)),
    lr=st.floats(5e-324, 1e300),
    bound=st.floats(5e-324, 1e300),
)
def test_extremes_stay_numbers(K: float, share: float, epsilon: float, lr: float, bound: float) -> None:
    assert 0 <= stagnation_radius(K, share * (K - 1), epsilon, lr, bound) <= math.inf


@pytest.mark.parametrize("K", [2, 3, 5, 9])
def test_non_adaptive_radius(K: int) -> None:
    """Eq. 2's step gamma y^(K-1) G against y, tried on plain numbers."""
    r = nonadaptive_stagnation_radius(K, LR, BOUND)
    if K == 2:
        assert r == 0
        return
    for y in (0.99 * r, 1.01 * r):
        assert (y - LR * y ** (K - 1) * BOUND < 0) is (y > r)


@settings(deadline=None)
@given(K=st.floats(2.1, 15), share=st.floats(0, 1), push=st.floats(1.01, 100))
def test_proposition_3_11_order(K: float, share: float, push: float) -> None:
    """gamma G > 1: the adaptive radius is the smaller, and for epsilon up to the bound too."""
    M = 1 + share * (K - 2)
    without = nonadaptive_stagnation_radius(K, push, 1.0)
    assert without < 1
    assert stagnation_radius(K, M, 0.0, push, 1.0) <= without * (1 + 1e-9)
    bound = push ** (-M / (K - 2)) - push ** (-(K - 1) / (K - 2))
    if bound > 1e-200:
        assert stagnation_radius(K, M, 0.99 * bound, push, 1.0) <= without * (1 + 1e-9)
        assert stagnation_radius(K, M, 1.01 * bound, push, 1.0) >= without * (1 - 1e-9)


@settings(deadline=None)
@given(K=st.floats(2.1, 15), share=st.floats(1e-3, 1), push=st.floats(0.01, 0.99), epsilon=st.floats(1e-6, 5))
def test_proposition_3_11_weak_push(K: float, share: float, push: float, epsilon: float) -> None:
    """gamma G < 1 and M > 1: every radius exceeds 1, nothing in the unit ball crosses."""
    M = 1 + share * (K - 2)
    assert nonadaptive_stagnation_radius(K, push, 1.0) > 1
    assert stagnation_radius(K, M, 0.0, push, 1.0) > 1
    assert stagnation_radius(K, M, epsilon, push, 1.0) > 1


def test_proposition_3_11_weak_push_needs_m_above_one() -> None:
    """For M < 1 crossing is possible inside the unit ball though gamma G < 1: on ReWA itself."""
    assert stagnation_radius(3, 0, 0.0, 0.5, 1.0) == 0
    assert 0 < stagnation_radius(3, 0, 0.01, 0.5, 1.0) < 0.1
    assert step(0.1, 1.0, 3, 0, 0.01, lr=0.5) < 0
    assert step(0.1, 1.0, 3, 0, 0.0, lr=0.5) < 0


@settings(deadline=None)
@given(p=st.floats(0.3, 0.95), push=st.floats(0.1, 10))
def test_at_equal_p_the_radius_in_x_is_the_same(p: float, push: float) -> None:
    """Beside Remark 3.5: at epsilon = 0, r^K = (gamma G)^(-1/(1-p)), adaptive or not.

    The order of Proposition 3.11 compares M at one K, so different p.
    """
    expected = push ** (-1 / (1 - p))
    K = 2 / p
    assert nonadaptive_stagnation_radius(K, push, 1.0) ** K == pytest.approx(expected, rel=1e-6)
    for larger in (1.5 * K, 3 * K):
        r = stagnation_radius(larger, M_for_p(larger, p), 0.0, push, 1.0)
        assert r**larger == pytest.approx(expected, rel=1e-6)


def test_at_equal_p_a_larger_k_lands_further_beyond() -> None:
    """What the adaptive configuration does gain: x is multiplied by (1 - gamma G |x|^(1-p))^K."""
    p, x, push = 0.8, 0.5, 4.0
    for K in (2 / p, 5, 9):
        landed = step(x ** (1 / K), push, K, M_for_p(K, p), 0.0, lr=1.0)
        assert abs(landed) ** K == pytest.approx(x * (push * x ** (1 - p) - 1) ** K, rel=1e-9)
        assert landed < 0
