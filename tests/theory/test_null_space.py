"""Example 3.8 and Theorem 3.9: without weight decay the null space stays full, with it everything goes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rewa import ReWA
from rewa.theory import decay_budget

EIGENVALUES = torch.tensor([2.0, 1.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64)
NULL = EIGENVALUES == 0
START = torch.tensor([1.0, -1.2, 0.9, 1.0, -1.5, 0.8], dtype=torch.float64)
SETTINGS = [(3, 2, 0.0), (5, 4, 0.0), (3, 1, 0.0), (3, 0, 0.05), (5, 2, 0.01)]


def train(
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    K: float,
    M: float,
    epsilon: float,
    decay: float,
    steps: int,
    lr: float = 0.1,
) -> Tensor:
    x = nn.Parameter(start.clone())
    optimizer = ReWA([x], lr=lr, K=K, M=M, epsilon=epsilon, weight_decay=decay)
    for _ in range(steps):
        x.grad = gradient(x.detach())
        optimizer.step()
    return x.detach()


def quadratic(x: Tensor) -> Tensor:
    """The gradient of f(x) = x^T H x / 2 with H of rank 3 in 6 dimensions."""
    return EIGENVALUES * x


def coupled(x: Tensor) -> Tensor:
    """The gradient of f(x) = sum log cosh(A x), convex, least at 0; A sees three coordinates only."""
    A = torch.tensor([[1.0, 0.5, 0.0], [-0.3, 1.0, 0.4]], dtype=torch.float64)
    return torch.cat([A.T @ torch.tanh(A @ x[:3]), torch.zeros(3, dtype=torch.float64)])


@pytest.mark.parametrize("gradient", [quadratic, coupled])
@pytest.mark.parametrize(("K", "M", "epsilon"), SETTINGS)
def test_without_decay_null_coordinates_never_move(
    gradient: Callable[[Tensor], Tensor], K: float, M: float, epsilon: float
) -> None:
    """However long it runs: after one step and after many they are what they were."""
    for steps in (1, 1000):
        x = train(gradient, START, K, M, epsilon, 0.0, steps)
        torch.testing.assert_close(x[NULL], START[NULL], rtol=1e-14, atol=0)
        assert int((x != 0).sum()) >= int(NULL.sum())


@pytest.mark.parametrize("gradient", [quadratic, coupled])
@pytest.mark.parametrize(("K", "M", "epsilon"), SETTINGS)
def test_any_decay_empties_everything(
    gradient: Callable[[Tensor], Tensor], K: float, M: float, epsilon: float
) -> None:
    """Also a small one: at rest <x, f'(x)> <= 0, and a convex f that is least at 0 forbids it elsewhere."""
    for decay in (0.1, 0.04):
        x = train(gradient, START, K, M, epsilon, decay, steps=round(200 / decay / K))
        assert x.abs().max() < 1e-6


@pytest.mark.parametrize(("K", "M", "epsilon"), SETTINGS)
def test_null_coordinates_decay_by_the_budget(K: float, M: float, epsilon: float) -> None:
    """Exactly (1 - gamma lambda)^(K T), nearly exp(-D), whatever M and epsilon are."""
    lr, decay, steps = 0.1, 0.02, 500
    x = train(quadratic, START, K, M, epsilon, decay, steps, lr)
    shrunk = x[NULL] / START[NULL]
    exact = torch.full_like(shrunk, (1 - lr * decay) ** (K * steps))
    torch.testing.assert_close(shrunk, exact, rtol=1e-9, atol=0)
    assert -math.log(exact[0]) == pytest.approx(decay_budget(K, decay, lr, 0.0, steps), rel=2e-3)


@pytest.mark.parametrize(("decay", "ends_at_zero"), [(0.02, False), (1.0, True)])
def test_theorem_3_9_needs_its_curvature_condition(decay: float, ends_at_zero: bool) -> None:
    """A non-convex f whose global minimum is 0 keeps a weight at its other minimum under a small lambda.

    f(x) = x^2 (x - 1)^2 + x^2 / 20: lambda must outweigh the most negative curvature in y.
    """

    def gradient(x: Tensor) -> Tensor:
        return 2 * x * (x - 1) * (2 * x - 1) + x / 10

    x = train(gradient, torch.tensor([1.0], dtype=torch.float64), 3, 2, 0.0, decay, steps=2000, lr=0.05)
    assert (abs(x.item()) < 1e-6) is ends_at_zero
    assert ends_at_zero or x.item() > 0.8


def test_theorem_3_9_needs_general_position() -> None:
    """The claimed d - r non-zeros fail if the start lies in special position to the updates' subspace.

    f(x) = (x_1^2 + x_2^2) / 2 in d = 3 from (1, 1, 1): all updates are along (1, 1, 0), so r = 1 and the
    theorem says that two coordinates stay; in the limit only the third does. In general position, or where
    the subspace is spanned by coordinates (Example 3.8), the count holds.
    """
    mask = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    x = train(lambda x: mask * x, torch.ones(3, dtype=torch.float64), 3, 0, 0.0, 0.0, steps=2000)
    assert (x.abs() > 1e-3).tolist() == [False, False, True]
