from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

from rewa.data.synthetic import (
    Design,
    bayes_log_loss,
    covariance,
    draw_design,
    draw_targets,
    sparse_truth,
)

N = 40_000
FIVE_SIGMA = 5 / N**0.5


@pytest.mark.parametrize(
    ("design", "correlation"), [("independent", 0.0), ("toeplitz", 0.7), ("equicorrelated", 0.4)]
)
def test_designs_have_the_covariance_they_promise(design: Design, correlation: float) -> None:
    """The empirical covariance of 40,000 rows of standard normal features, entry by entry."""
    rows = draw_design(N, 12, design, correlation, np.random.default_rng(1)).astype(float)
    wanted = np.eye(12)
    for i in range(12):
        for j in range(12):
            if i != j and design == "toeplitz":
                wanted[i, j] = correlation ** abs(i - j)
            elif i != j:
                wanted[i, j] = correlation
    np.testing.assert_allclose(covariance(12, design, correlation), wanted, atol=1e-12)
    # an entry's variance is (1 + rho^2) / n, at most 2 / n
    np.testing.assert_allclose(rows.T @ rows / N, wanted, atol=2**0.5 * FIVE_SIGMA)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=FIVE_SIGMA)


def test_the_truth_has_k_entries_of_one_size_at_the_front() -> None:
    assert sparse_truth(5, 1, 1.0, "positive", seed=3).tolist() == [1, 0, 0, 0, 0]
    signed = sparse_truth(200, 100, 2.0, "random", seed=3)
    assert set(np.abs(signed[:100])) == {2.0}
    assert not signed[100:].any()
    assert 20 < (signed > 0).sum() < 80
    assert np.array_equal(sparse_truth(200, 7, 2.0, "random", seed=3)[:7], signed[:7])
    assert not np.array_equal(sparse_truth(200, 100, 2.0, "random", seed=4), signed)


def test_squared_targets_carry_normal_noise() -> None:
    scores = np.linspace(-3, 3, N)
    residual = draw_targets(scores, 0.5, "squared", np.random.default_rng(0)) - scores
    assert residual.mean() == pytest.approx(0, abs=0.5 * FIVE_SIGMA)
    assert residual.var() == pytest.approx(0.25, rel=2**0.5 * FIVE_SIGMA)
    assert (draw_targets(scores, 0.0, "squared", np.random.default_rng(0)) == scores).all()


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_logistic_targets_follow_their_probabilities(noise: float) -> None:
    for score in (-1.0, 0.0, 0.7):
        targets = draw_targets(np.full(N, score), noise, "logistic", np.random.default_rng(5))
        assert set(targets) == {0.0, 1.0}
        assert targets.mean() == pytest.approx(expit(score / noise), abs=0.5 * FIVE_SIGMA)


@pytest.mark.parametrize("deviation", [1e-6, 0.3, 1.0, 3.0, 30.0])
def test_the_ideal_log_loss_against_adaptive_quadrature(deviation: float) -> None:
    def integrand(s: float) -> float:
        p = expit(s)
        entropy = -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)
        return float(entropy * np.exp(-0.5 * (s / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi)))

    width = min(40.0, 12 * deviation)
    expected, _ = quad(integrand, -width, width, limit=400, points=[0.0])
    assert bayes_log_loss(deviation) == pytest.approx(expected, abs=1e-5)
