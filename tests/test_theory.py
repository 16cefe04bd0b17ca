"""The closed forms against the iteration they describe, simulated."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from rewa import ReWA
from rewa.schedules import schedule_sum, warmup_cosine
from rewa.sweep.coordinates import Coordinates
from rewa.theory import (
    M_for_p,
    decay_budget,
    effective_p,
    effective_step,
    lr_for_step,
    weight_decay_for_budget,
)

powers = st.floats(1.5, 15)
momenta = st.floats(0, 0.99)
positive = st.floats(1e-5, 10)
scales = st.floats(1e-3, 1)


@pytest.mark.parametrize("K", [2, 3, 5, 9, 2.25])
def test_known_exponents(K: float) -> None:
    """M = 1 is l_1; the non-adaptive limit M = K - 1 is depth-K factorisation, p = 2 / K."""
    assert effective_p(K, 1) == 1
    assert effective_p(K, K - 1) == pytest.approx(2 / K)
    assert effective_p(K, 0) == pytest.approx(1 + 1 / K)


@given(K=st.integers(1, 20), data=st.data())
def test_exponent_is_theorem_3_3s(K: int, data: st.DataObject) -> None:
    M = data.draw(st.integers(0, K - 1))
    exact = 1 - Fraction(M - 1, K)
    assert effective_p(K, M) == pytest.approx(float(exact), abs=1e-15)
    assert effective_p(K, M, epsilon=0.1) == pytest.approx(float(Fraction(2 - M, K)), abs=1e-15)


@pytest.mark.parametrize(("K", "M"), [(3, 1.5), (5, 1), (9, 2), (2, 1)])
def test_exponent_by_a_stationary_point(K: float, M: float) -> None:
    """Minimise c x + lambda/p' x^p': the decay balances the gradient c where x^(p-1) = -c / lambda.

    Theorem 3.3: the penalty's slope is lambda x^(p-1), p = (K + 1 - M) / K. The iteration is started
    at that x with gradient c: it must not move, and move once c changes.
    """
    decay, x0 = 0.3, 0.2
    gradient = -decay * x0 ** (effective_p(K, M) - 1)
    for factor, moves in ((1.0, False), (1.1, True)):
        x = nn.Parameter(torch.tensor([x0], dtype=torch.float64))
        optimizer = ReWA([x], lr=0.1, K=K, M=M, weight_decay=decay)
        x.grad = torch.tensor([factor * gradient], dtype=torch.float64)
        optimizer.step()
        assert (abs(x.item() - x0) > 1e-4) is moves


@given(K=powers, share=st.floats(0, 1))
def test_exponent_round_trip(K: float, share: float) -> None:
    M = share * (K - 1)
    assert M_for_p(K, effective_p(K, M)) == pytest.approx(M, abs=1e-12)


@given(K=powers, budget=positive, lr=positive, momentum=momenta, total=st.floats(1, 1e5))
def test_decay_budget_round_trip(K: float, budget: float, lr: float, momentum: float, total: float) -> None:
    decay = weight_decay_for_budget(K, budget, lr, momentum, total)
    assert decay_budget(K, decay, lr, momentum, total) == pytest.approx(budget, rel=1e-12)


@given(K=powers, share=st.floats(0, 1), step=positive, momentum=momenta, scale=scales)
def test_effective_step_round_trip(
    K: float, share: float, step: float, momentum: float, scale: float
) -> None:
    M = share * (K - 1)
    lr = lr_for_step(K, M, step, momentum, scale)
    assert effective_step(K, M, lr, momentum, scale) == pytest.approx(step, rel=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("K", "M"), [(3, 1), (9, 2), (2.5, 0.5)])
def test_decay_budget_is_what_a_training_spends(K: float, M: float, momentum: float) -> None:
    """Eq. 3 with g = 0 under warm-up and cosine: x shrinks by exp(-D)."""
    total, warmup, lr, decay = 3000, 0.05, 0.1, 2e-3 * (1 - momentum)
    x = nn.Parameter(torch.tensor([0.7], dtype=torch.float64))
    optimizer = ReWA([x], lr=lr, K=K, M=M, weight_decay=decay, momentum=momentum)
    scheduler = LambdaLR(optimizer, lambda step: warmup_cosine(step, total, warmup))
    x.grad = torch.zeros_like(x)
    for _ in range(total):
        optimizer.step()
        scheduler.step()
    budget = decay_budget(
        K, decay, lr, momentum, schedule_sum(lambda step: warmup_cosine(step, total, warmup), total)
    )
    assert budget > 0.5
    assert math.log(0.7 / x.item()) == pytest.approx(budget, rel=0.01)


@pytest.mark.parametrize("scale", [0.05, 0.5])
@pytest.mark.parametrize(("K", "M"), [(3, 1), (9, 2), (2.5, 0.5), (5, 4), (1, 0)])
def test_effective_step_is_the_slope_of_one_step(K: float, M: float, scale: float) -> None:
    """dx / dg of one step without momentum, by a difference small enough to be a derivative."""
    lr, h = 0.3, 1e-6
    moved = []
    for g in (h, -h):
        x = nn.Parameter(torch.tensor([scale], dtype=torch.float64))
        x.grad = torch.full_like(x, g)
        ReWA([x], lr=lr, K=K, M=M).step()
        moved.append(x.item())
    slope = (moved[1] - moved[0]) / (2 * h)
    assert effective_step(K, M, lr, 0.0, scale) == pytest.approx(slope, rel=1e-6)


def test_effective_step_under_momentum_is_the_settled_one() -> None:
    """A constant gradient's steps grow to 1 / (1 - momentum) times the first."""
    K, M, lr, scale, momentum, h = 5, 1.5, 0.3, 0.05, 0.8, 1e-9
    x = nn.Parameter(torch.tensor([scale], dtype=torch.float64))
    optimizer = ReWA([x], lr=lr, K=K, M=M, momentum=momentum)
    x.grad = torch.full_like(x, h)
    for _ in range(100):
        before = x.item()
        optimizer.step()
    slope = (before - x.item()) / h
    assert effective_step(K, M, lr, momentum, scale) == pytest.approx(slope, rel=1e-4)


@given(
    K=st.sampled_from([3, 5, 7, 9]),
    p=st.floats(0.7, 1),
    step=st.floats(0.05, 0.5),
    budget=st.floats(2, 20),
    momentum=st.floats(0, 0.95),
)
def test_coordinates_round_trip(K: int, p: float, step: float, budget: float, momentum: float) -> None:
    """The config is measured with the closed forms; each coordinate comes back."""
    values = {"K": K, "p": p, "effective_step": step, "decay_budget": budget, "momentum": momentum}
    given_values = dict(values)
    config = Coordinates(weight_scale=0.05).to_config(values, schedule_sum=900.0)
    assert values == given_values
    assert set(config) == {"K", "M", "lr", "weight_decay", "momentum"}
    lr, M = config["lr"], config["M"]
    assert effective_p(K, M) == pytest.approx(p)
    assert effective_step(K, M, lr, momentum, 0.05) == pytest.approx(step)
    assert decay_budget(K, config["weight_decay"], lr, momentum, 900.0) == pytest.approx(budget)


def test_coordinates_by_hand() -> None:
    """K = 4, p = 0.75: M = 2; s = 1/16, eta = 0.5, momentum 0.5: lr = 0.25 / (4 s^(5/4)) = 2."""
    values = {"K": 4, "p": 0.75, "effective_step": 0.5, "decay_budget": 16, "momentum": 0.5}
    config = Coordinates(weight_scale=0.0625).to_config(values, schedule_sum=100)
    assert config == {"K": 4, "M": 2.0, "lr": 2.0, "weight_decay": 0.01, "momentum": 0.5}


def test_absent_coordinates_leave_their_targets_alone() -> None:
    values = {"K": 9, "M": 2, "lr": 0.06, "weight_decay": 1e-3, "momentum": 0.9, "epsilon": 0}
    assert Coordinates(weight_scale=0.05).to_config(values, 10) == values
    changed = Coordinates(weight_scale=0.05).to_config({**values, "p": 1.0}, 10)
    assert changed == {**values, "M": 1}
