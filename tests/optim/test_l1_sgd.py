from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewa.optim import L1SGD


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}],
)
def test_it_is_sgd_on_the_penalised_loss(options: dict[str, Any]) -> None:
    """Autograd differentiates loss + l1 * sum |x|; at zero both take the subgradient 0."""
    torch.manual_seed(0)
    start = torch.randn(8, dtype=torch.float64)
    start[:2] = 0
    scale, target = torch.rand(8).double(), torch.randn(8).double()
    target[0] = 0
    l1 = 0.03

    def loss(x: Tensor) -> Tensor:
        return (scale * (x - target) ** 2).sum()

    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours_optimizer = L1SGD([ours], lr=0.1, l1=l1, **options)
    theirs_optimizer = torch.optim.SGD([theirs], lr=0.1, **options)
    for _ in range(30):
        ours_optimizer.zero_grad()
        loss(ours).backward()
        ours_optimizer.step()
        theirs_optimizer.zero_grad()
        (loss(theirs) + l1 * theirs.abs().sum()).backward()
        theirs_optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert ours[0] == 0


def test_one_step_by_hand() -> None:
    """x - 0.5 (g + 0.2 sign x), sign(0) = 0."""
    x = nn.Parameter(torch.tensor([1.0, -1.0, 0.0]))
    x.grad = torch.tensor([0.4, 0.4, 0.4])
    L1SGD([x], lr=0.5, l1=0.2).step()
    assert x.tolist() == pytest.approx([0.7, -1.1, -0.2])


def test_groups_have_their_own_penalty() -> None:
    a, b, c = (nn.Parameter(torch.ones(1)) for _ in range(3))
    optimizer = L1SGD([{"params": [a]}, {"params": [b], "l1": 0.0}], lr=1.0, l1=0.25)
    optimizer.add_param_group({"params": [c]})
    for p in (a, b, c):
        p.grad = torch.zeros(1)
    optimizer.step()
    assert [a.item(), b.item(), c.item()] == [0.75, 1.0, 0.75]


def test_parameters_without_gradient_stay() -> None:
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    a.grad = torch.zeros(1)
    L1SGD([a, b], lr=1.0, l1=0.25).step()
    assert (a.item(), b.item()) == (0.75, 1.0)


def test_gradients_are_left_as_they_were() -> None:
    x = nn.Parameter(torch.tensor([1.0, -1.0]))
    x.grad = torch.tensor([0.4, 0.4])
    L1SGD([x], lr=0.5, l1=0.2).step()
    assert x.grad.tolist() == pytest.approx([0.4, 0.4])


def test_closure_is_called_once_with_gradients_enabled() -> None:
    x = nn.Parameter(torch.tensor([2.0]))
    optimizer = L1SGD([x], lr=0.1, l1=0.5)
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = (x**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 4
    assert calls == [True]
    assert x.item() == pytest.approx(2 - 0.1 * (4 + 0.5))


@pytest.mark.parametrize("l1", [-1e-9, float("nan"), float("inf")])
def test_penalties_out_of_range_are_named(l1: float) -> None:
    p = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=f"^l1 = {l1} "):
        L1SGD([p], lr=0.1, l1=l1)
    with pytest.raises(ValueError, match=f"^l1 = {l1} "):
        L1SGD([{"params": [p], "l1": l1}], lr=0.1)
