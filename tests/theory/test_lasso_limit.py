"""M = 1, epsilon = 0 is l_1 (Theorem 3.3): ReWA finds scikit-learn's LASSO solution.

scikit-learn minimises ||b - A x||^2 / (2 n) + alpha ||x||_1, so f has the same 1 / (2 n) and alpha = lambda.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor, nn

from rewa import ReWA
from rewa.theory import stagnation_radius

SAMPLES, DIMENSIONS = 80, 12


def regression(seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(SAMPLES, DIMENSIONS))
    A[:, 1] += 0.5 * A[:, 0]  # correlated columns: not just soft-thresholding
    truth = np.zeros(DIMENSIONS)
    truth[:4] = (1.5, -0.8, 0.6, -2.0)
    b = A @ truth + 0.3 * rng.normal(size=SAMPLES)
    return torch.from_numpy(A), torch.from_numpy(b)


def rewa_solution(A: Tensor, b: Tensor, start: Tensor, K: float, decay: float, steps: int) -> Tensor:
    x = nn.Parameter(start.clone())
    optimizer = ReWA([x], lr=0.5 / K, K=K, M=1, weight_decay=decay)
    gram, moment = A.T @ A / len(b), A.T @ b / len(b)
    for _ in range(steps):
        x.grad = gram @ x.detach() - moment
        optimizer.step()
    return x.detach()


@pytest.mark.parametrize(("K", "alpha", "seed"), [(2, 0.3, 1), (3, 0.1, 0), (3, 0.3, 0), (5, 0.1, 1)])
def test_lasso_solution(K: float, alpha: float, seed: int) -> None:
    """Started at least squares, whose signs are those of the solution or belong to zeros."""
    A, b = regression(seed)
    lasso = Lasso(alpha=alpha, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(A.numpy(), b.numpy())
    expected = torch.from_numpy(lasso.coef_)
    assert 2 <= int((expected != 0).sum()) < DIMENSIONS
    x = rewa_solution(A, b, torch.linalg.lstsq(A, b).solution, K, alpha, steps=4000)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-6)
    assert ((x.abs() < 1e-6) == (expected == 0)).all()


def test_wrong_signs_end_at_zero_not_at_lasso() -> None:
    """At M = 1 a sign flips only if gamma G > 1 (Theorem 3.10); below, the start decides the orthant."""
    A, b = regression(0)
    right = torch.linalg.lstsq(A, b).solution
    wrong = right.clone()
    wrong[3] = -wrong[3]
    x = rewa_solution(A, b, wrong, 3, 0.05, steps=4000)
    assert stagnation_radius(3, 1, 0.0, 0.5 / 3, 5.0) == float("inf")
    assert abs(x[3].item()) < 1e-6
    assert rewa_solution(A, b, right, 3, 0.05, steps=4000)[3].item() < -1.5
