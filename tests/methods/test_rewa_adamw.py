"""Method rewa_adamw: its settings reach Algorithm 2's optimizer, and it has no momentum anywhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rewa.errors import UserError
from rewa.methods import GradientMethod, get_method
from rewa.sweep.space_file import load_space
from rewa.theory import decay_budget

LR, DECAY = 0.02, 0.3
SPACE = """\
name: x
workload: {name: digits, epochs: 1}
objective: {criterion: ratio, max_compression: 200, reference: 0.9}
trials: 2
methods:
  rewa_adamw:
    coordinates: {weight_scale: 0.05}
    sample: {decay_budget: {log_uniform: [3, 20]}}
    fixed: {lr: 0.01, K: 9, M: 0}
"""


def create(**values: Any) -> GradientMethod:
    method = get_method("rewa_adamw").from_values({"lr": LR, **values})
    assert isinstance(method, GradientMethod)
    return method


def by_hand(y: float, gradients: list[float], K: int, M: float, epsilon: float, decay: float) -> float:
    """Algorithm 2 in plain arithmetic, for one positive weight; returns x."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        scaled = y ** (K - 1) / (y ** (K - 1) + epsilon) * y**M * g
        m, v = 0.8 * m + 0.2 * scaled, 0.9 * v + 0.1 * scaled**2
        step = (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 1e-3)
        y = y * (1 - LR * decay) - LR * step
    return y**K


def test_steps_by_hand() -> None:
    """Weight under Algorithm 2; bias under the same with K = 1, M = 0, no decay, that is, Adam."""
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.fill_(0.5)
    settings = {"K": 3, "M": 1.5, "epsilon": 0.05, "weight_decay": DECAY, "beta1": 0.8, "beta2": 0.9}
    optimizer = create(**settings, eps=1e-3).prepare(layer)
    gradients = [0.7, -0.2, 1.3, 0.4]
    for gradient in gradients:
        for p in layer.parameters():
            p.grad = torch.full_like(p, gradient)
        optimizer.step()
    assert layer.weight.item() == pytest.approx(
        by_hand(0.5 ** (1 / 3), gradients, 3, 1.5, 0.05, DECAY), rel=1e-5
    )
    assert layer.bias.item() == pytest.approx(by_hand(0.5, gradients, 1, 0, 0.0, 0.0), rel=1e-5)


def test_without_gradient_a_weight_spends_the_decay_budget() -> None:
    """D = K lambda sum(lr) with no momentum factor: what the config's docstring says."""
    layer = nn.Linear(4, 4, bias=False)
    before = layer.weight.detach().clone()
    optimizer = create(K=5, weight_decay=DECAY).prepare(layer)
    steps = 50
    for _ in range(steps):
        layer.weight.grad = torch.zeros_like(layer.weight)
        optimizer.step()
    budget = decay_budget(5, DECAY, LR, 0.0, steps)
    shrunk = layer.weight.detach() / before
    torch.testing.assert_close(
        shrunk.log(), torch.full((4, 4), -budget), rtol=5e-3, atol=0
    )  # (1-a)^n, not e^-an


def test_M_above_K_minus_1_and_momentum_are_refused() -> None:
    with pytest.raises(UserError, match=r"'rewa_adamw': M = 2\.5 is larger than K - 1 = 2"):
        create(K=3, M=2.5)
    with pytest.raises(UserError, match=r"'rewa_adamw': unknown key 'momentum'"):
        create(momentum=0.9)


def test_search_coordinates_that_assume_momentum_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    with pytest.raises(
        UserError, match="coordinates need a method with momentum, which 'rewa_adamw' has not"
    ):
        load_space(file)
