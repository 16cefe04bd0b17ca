"""Synthetic linear data: a sparse truth, a random design, and noisy targets."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz
from scipy.signal import lfilter
from scipy.special import expit, xlogy

from rewa.linear import LinearLoss

Design = Literal["independent", "toeplitz", "equicorrelated"]
Signs = Literal["positive", "random"]


def sparse_truth(d: int, k: int, amplitude: float, signs: Signs, seed: int) -> NDArray[np.float64]:
    """Return a vector whose first k entries are plus or minus the amplitude and the others zero.

    Args:
        d: Length.
        k: Non-zero entries, the first ones; k = 1 is the paper's e_1.
        amplitude: Size of the non-zero entries.
        signs: "positive", or drawn from the seed.
        seed: Of the signs; those of a smaller k are the first of a larger one.
    """
    truth = np.zeros(d)
    truth[:k] = amplitude
    if signs == "random":
        truth[:k] *= np.random.default_rng([seed, 0]).choice([-1.0, 1.0], size=d)[:k]
    return truth


def draw_design(
    n: int, d: int, design: Design, correlation: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw n rows of d standard normal features, each of variance 1.

    Args:
        n: Rows.
        d: Features.
        design: "independent"; "toeplitz": features i and j have the correlation to the power of their
            distance; "equicorrelated": any two have the correlation.
        correlation: In [0, 1); not used by "independent".
        generator: Source of the draws.
    """
    rows = generator.standard_normal((n, d), dtype=np.float32)
    fresh = np.float32(np.sqrt(1.0 - correlation**2))
    match design:
        case "independent":
            return rows
        case "toeplitz":  # a stationary first-order autoregression along each row
            rows[:, 1:] *= fresh
            filtered: NDArray[np.float32] = lfilter(
                np.ones(1, np.float32), np.array([1.0, -correlation], np.float32), rows, axis=1
            ).astype(np.float32)
            return filtered
        case "equicorrelated":
            rows *= np.float32(np.sqrt(1.0 - correlation))
            rows += np.float32(np.sqrt(correlation)) * generator.standard_normal((n, 1), dtype=np.float32)
            return rows


def covariance(size: int, design: Design, correlation: float) -> NDArray[np.float64]:
    """Return the covariance of the first ``size`` features of a design."""
    match design:
        case "independent":
            return np.eye(size)
        case "toeplitz":
            found: NDArray[np.float64] = toeplitz(correlation ** np.arange(size))
            return found
        case "equicorrelated":
            return (1.0 - correlation) * np.eye(size) + correlation


def draw_targets(
    scores: NDArray[np.float64], noise: float, loss: LinearLoss, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw targets from noiseless scores x.v.

    Args:
        scores: Shape (n,).
        noise: "squared": standard deviation of the normal noise. "logistic": scale of the logistic noise
            before the sign is taken, so that P(target = 1) = 1 / (1 + exp(-score / noise)).
        loss: Which of the two.
        generator: Source of the draws.

    Returns:
        Numbers, or classes 0 and 1.
    """
    if loss == "squared":
        return scores + noise * generator.standard_normal(len(scores))
    ones: NDArray[np.bool_] = generator.random(len(scores)) < expit(scores / noise)
    return ones.astype(np.float64)


def bayes_log_loss(deviation: float) -> float:
    """Return the expected log loss of the true probabilities expit(s), s ~ N(0, deviation^2).

    The trapezoidal rule, which is all but exact for smooth integrands that vanish at both ends; checked up to
    a deviation of 30.
    """
    nodes = np.linspace(-12.0, 12.0, 20_001)
    density = np.exp(-0.5 * nodes**2)
    p = expit(deviation * nodes)
    entropy = -(xlogy(p, p) + xlogy(1.0 - p, 1.0 - p))
    return float(entropy @ density / density.sum())
