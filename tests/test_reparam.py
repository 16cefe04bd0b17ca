from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from rewa import ReWA
from rewa.reparam import HadamardParametrization, PowerParametrization, factorise, materialise


def layer(weights: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weights.shape[1], weights.shape[0]).to(weights.dtype)
    with torch.no_grad():
        linear.weight.copy_(weights)
    return linear


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@given(w=st.floats(-10, 10, allow_subnormal=False))
def test_balanced_factors_multiply_to_the_weight(depth: int, w: float) -> None:
    weight = torch.tensor([[w]], dtype=torch.float64)
    factors = HadamardParametrization(depth).right_inverse(weight)
    assert len(factors) == depth
    assert [f.abs().item() for f in factors] == pytest.approx([abs(w) ** (1 / depth)] * depth)
    assert HadamardParametrization(depth)(*factors).item() == pytest.approx(w, rel=1e-12)


@pytest.mark.parametrize("depth", [2, 3])
def test_gradient_of_a_factor_is_the_chain_rules(depth: int) -> None:
    """d loss / d factor_i = (d loss / d w) * product of the other factors."""
    torch.manual_seed(0)
    linear = layer(torch.randn(3, 4, dtype=torch.float64))
    factors = factorise([linear], depth, "original")
    outer = torch.randn(3, 4, dtype=torch.float64)
    (outer * linear.weight).sum().backward()
    for i, factor in enumerate(factors):
        others = [f.detach() for j, f in enumerate(factors) if j != i]
        expected = outer * torch.stack(others).prod(dim=0)
        torch.testing.assert_close(factor.grad, expected)


def test_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    linear = layer(torch.randn(2, 2, dtype=torch.float64))
    factors = factorise([linear], 2, "balanced")
    inputs = torch.randn(5, 2, dtype=torch.float64)
    linear(inputs).pow(3).sum().backward()
    h = 1e-6
    for factor in factors:
        for i in range(4):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    factor.view(-1)[i] += sign * h
                    ends.append(linear(inputs).pow(3).sum().item())
                    factor.view(-1)[i] -= sign * h
            assert factor.grad is not None
            slope = (ends[0] - ends[1]) / (2 * h)
            assert factor.grad.view(-1)[i].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_original_factors_are_independent_draws_of_the_same_numbers() -> None:
    torch.manual_seed(0)
    weight = torch.randn(40, 50)
    first, second, third = HadamardParametrization(3, "original").right_inverse(weight)
    assert torch.equal(first, weight)
    for factor in (second, third):
        assert factor.shape == weight.shape
        assert torch.equal(factor.flatten().sort().values, weight.flatten().sort().values)
    stacked = torch.stack([f.flatten() for f in (first, second, third)])
    correlation = torch.corrcoef(stacked) - torch.eye(3)
    assert correlation.abs().max() < 0.12  # 2,000 draws: 5 deviations


def test_materialise_leaves_a_plain_layer() -> None:
    torch.manual_seed(0)
    linear = layer(torch.randn(3, 4))
    inputs = torch.randn(2, 4)
    factors = factorise([linear], 2, "balanced")
    with torch.no_grad():
        factors[0].mul_(2)
    effective, output = linear.weight.detach().clone(), linear(inputs).detach()
    materialise([linear])
    assert type(linear) is nn.Linear
    assert isinstance(linear.weight, nn.Parameter)
    assert [name for name, _ in linear.named_parameters()] == ["bias", "weight"]
    assert torch.equal(linear.weight, effective)
    assert torch.equal(linear(inputs), output)


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="depth = 0"):
        HadamardParametrization(0)
    with pytest.raises(ValueError, match=r"'balancd'.*balanced.*original"):
        HadamardParametrization(2, "balancd")  # type: ignore[arg-type]


@pytest.mark.parametrize("K", [1, 2, 3, 2.25, 9])
def test_power_keeps_the_weight_and_its_gradient_is_the_chain_rules(K: float) -> None:
    """d/dy sign(y)|y|^K = K|y|^(K-1), on both sides of zero."""
    linear = nn.Linear(3, 2, bias=False).double()
    before = linear.weight.detach().clone()
    register_parametrization(linear, "weight", PowerParametrization(K))
    torch.testing.assert_close(linear.weight.detach(), before)
    y = linear.parametrizations.weight.original
    upstream = torch.randn(2, 3, dtype=torch.float64)
    (linear.weight * upstream).sum().backward()
    torch.testing.assert_close(y.grad, K * y.detach().abs() ** (K - 1) * upstream)
    materialise([linear])
    torch.testing.assert_close(linear.weight.detach(), before)
    assert [name for name, _ in linear.named_parameters()] == ["weight"]


def test_gradient_descent_on_the_power_is_rewa_without_adaptation() -> None:
    """M = K - 1, epsilon = 0 scales g by |y|^(K-1): K times less than the chain rule."""
    K, lr = 3, 0.01
    one, two = nn.Linear(3, 2, bias=False).double(), nn.Linear(3, 2, bias=False).double()
    two.load_state_dict(one.state_dict())
    register_parametrization(one, "weight", PowerParametrization(K))
    plain = torch.optim.SGD(one.parameters(), lr=lr)
    adapted = ReWA(two.parameters(), lr=K * lr, K=K, M=K - 1)
    x = torch.randn(5, 3, dtype=torch.float64)
    for _ in range(10):
        for model, optimizer in ((one, plain), (two, adapted)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(one.weight.detach(), two.weight.detach())


@pytest.mark.parametrize("K", [0.5, float("nan"), float("inf")])
def test_power_refuses_a_wrong_exponent(K: float) -> None:
    with pytest.raises(ValueError, match=f"K = {K} is out of range"):
        PowerParametrization(K)
