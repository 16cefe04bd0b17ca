from __future__ import annotations

import pytest
import torch
from torch import nn

from rewa.methods import get_method
from rewa.reparam import factorise


def layer(weights: list[float]) -> nn.Linear:
    linear = nn.Linear(len(weights), 1, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([weights], dtype=torch.float64))
    return linear


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_steps_by_hand(momentum: float) -> None:
    """gamma = 0.1, lambda = 0.5, g = 1, from w = 4 and w = -4, balanced factors of size 2.

    w = 4:  du = v g + lambda u = 2 + 1 = 3 = dv;   u = v = 1.7, w = 2.89.
    w = -4: u = -2, v = 2: du = 2 - 1 = 1, dv = -2 + 1 = -1;  u = -2.1, v = 2.1, w = -4.41.
    """
    linear = layer([4.0, -4.0])
    method = get_method("spred").from_values({"lr": 0.1, "weight_decay": 0.5, "momentum": momentum})
    optimizer = method.prepare(linear)
    linear.weight.sum().backward()
    optimizer.step()
    assert linear.weight.flatten().tolist() == pytest.approx([2.89, -4.41])
    optimizer.zero_grad()
    linear.weight.sum().backward()
    optimizer.step()
    u = 1.7 - 0.1 * (momentum * 3 + 1.7 + 0.85)
    w = -((2.1 - 0.1 * (momentum * -1 - 2.1 + 1.05)) ** 2)
    assert linear.weight.flatten().tolist() == pytest.approx([u**2, w])


def test_decay_of_both_factors_is_an_l1_penalty() -> None:
    """Minimise (w - t)^2 / 2 with lambda/2 (u^2 + v^2), i.e. lambda |w|: soft thresholding of t."""
    target = torch.tensor([[2.0, -1.5, 0.2, -0.1]], dtype=torch.float64)
    linear = layer([1.0, -1.0, 1.0, -1.0])
    method = get_method("spred").from_values({"lr": 0.1, "weight_decay": 0.5, "momentum": 0.0})
    optimizer = method.prepare(linear)
    for _ in range(1000):
        optimizer.zero_grad()
        (0.5 * (linear.weight - target) ** 2).sum().backward()
        optimizer.step()
    assert linear.weight.flatten().tolist() == pytest.approx([1.5, -1.0, 0.0, 0.0], abs=1e-6)


def test_spred_starts_balanced_unless_told() -> None:
    linear = layer([4.0, -9.0, 0.0])
    get_method("spred").from_values({"lr": 0.1}).prepare(linear)
    factors = [p.flatten().tolist() for p in linear.parameters()]
    assert factors == [[2, -3, 0], [2, 3, 0]]
    other = layer([4.0, -9.0, 0.0])
    get_method("spred").from_values({"lr": 0.1, "init": "original"}).prepare(other)
    assert [sorted(p.flatten().tolist()) for p in other.parameters()] == [[-9, 0, 4]] * 2


def test_frozen_layers_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].requires_grad_(False)
    before = model[0].weight.detach().clone()
    method = get_method("spred").from_values({"lr": 0.1, "weight_decay": 0.5})
    optimizer = method.prepare(model)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    torch.testing.assert_close(method.dense_copy(model)[0].weight.detach(), before)


def test_factorise_returns_the_factors() -> None:
    linear = layer([4.0, -9.0])
    factors = factorise([linear], 2, "balanced")
    assert [id(f) for f in factors] == [id(p) for p in linear.parameters()]
