"""The regimes of ``benchmarks.regimes``: their data, and the exact population risk of a linear model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rewa.data.synthetic import Design, bayes_log_loss, covariance, draw_design, draw_targets
from rewa.linear import LinearLoss

Array = NDArray[np.float64]
NODES = np.linspace(-12.0, 12.0, 4001)
"""Nodes of the trapezoidal rule for normal expectations, all but exact for integrands this smooth."""
DENSITY = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()


@dataclass(frozen=True)
class Regime:
    """One kind of sparse recovery problem; the truth's support is the first k features, all positive.

    Attributes:
        name: In tables and runs.
        title: In figures.
        k: Non-zero entries of the truth.
        amplitude: Size of the largest.
        smallest: Size of the smallest, those between are geometric; None: all have the amplitude.
        design: As in :mod:`rewa.data.synthetic`; so are ``correlation``, ``loss`` and ``noise``.
        d: Features.
        n: Training samples.
        n_val: Validation samples.
        rate: Factor on the gradient methods' learning rates: less where the features' covariance has a large
            eigenvalue, 8 for log loss, whose curvature is an eighth of the squared error's.
    """

    name: str
    title: str
    k: int = 10
    amplitude: float = 1.0
    smallest: float | None = None
    design: Design = "independent"
    correlation: float = 0.0
    loss: LinearLoss = "squared"
    noise: float = 1.0
    d: int = 1000
    n: int = 300
    n_val: int = 1000
    rate: float = 1.0

    @cached_property
    def truth(self) -> Array:
        """The weights of the best linear model, shape (d,)."""
        found = np.zeros(self.d)
        found[: self.k] = np.geomspace(self.amplitude, self.smallest or self.amplitude, self.k)
        return found

    @cached_property
    def sigma(self) -> Array:
        """The features' covariance, shape (d, d)."""
        return covariance(self.d, self.design, self.correlation)

    @property
    def level(self) -> float:
        """Size of the largest of d gradients that is noise alone: sqrt(2 log d / n) times a score's noise.

        Of mean((target - prediction)^2) / 2, or of the mean log loss, whose slopes deviate by at most 1/2.
        """
        deviation = self.noise if self.loss == "squared" else 0.5
        return float(deviation * np.sqrt(2 * np.log(self.d) / self.n))

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Return the training and the validation split: those of ``sparse_recovery`` with this data_seed."""
        return self._split(self.n, seed, 1), self._split(self.n_val, seed, 2)

    def _split(self, size: int, seed: int, stream: int) -> Split:
        generator = np.random.default_rng([seed, stream])
        inputs = draw_design(size, self.d, self.design, self.correlation, generator)
        scores = inputs[:, : self.k].astype(np.float64) @ self.truth[: self.k]
        targets = draw_targets(scores, self.noise, self.loss, generator)
        return Split(inputs, targets.astype(np.float32), self.loss)

    def excess(self, weights: Array, biases: Array) -> Array:
        """Return the exact population risk of linear models above that of the truth.

        The risk is the mean squared error (without a half) or the mean log loss.

        Args:
            weights: Shape (T, d).
            biases: Shape (T,).

        Returns:
            Shape (T,).
        """
        if self.loss == "squared":
            return self._quadratic(weights - self.truth) + biases**2
        # The two scores are jointly normal. With s = x.w + b, t = x.v / noise: risk = E softplus(s) - E s
        # expit(t), and by Stein's lemma E (x.w) expit(t) = cov(x.w, t) E expit'(t).
        scaled = self.truth / self.noise
        deviations = np.sqrt(self._quadratic(weights))
        scores = biases[:, None] + deviations[:, None] * NODES
        softplus = np.logaddexp(0, scores) @ DENSITY
        spread = float(np.sqrt(scaled @ self.sigma @ scaled))
        steepness = float((expit(spread * NODES) * expit(-spread * NODES)) @ DENSITY)
        risk = softplus - biases / 2 - (weights @ (self.sigma @ scaled)) * steepness
        return np.asarray(risk - bayes_log_loss(spread))

    def _quadratic(self, weights: Array) -> Array:
        return np.asarray(np.einsum("ij,ij->i", weights @ self.sigma, weights))


@dataclass(frozen=True)
class Split:
    """Rows of one draw.

    Attributes:
        inputs: Shape (n, d), float32.
        targets: Shape (n,), float32; logistic: 0 or 1.
        loss: Which loss :meth:`losses` takes.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    loss: LinearLoss

    def losses(self, weights: Array, biases: Array) -> Array:
        """Return the mean squared error or log loss of T models, shape (T,)."""
        scores = self.inputs @ weights.T.astype(np.float32) + biases
        targets = self.targets[:, None].astype(np.float64)
        if self.loss == "squared":
            return np.asarray(((scores - targets) ** 2).mean(axis=0))
        return np.asarray((np.logaddexp(0, scores) - targets * scores).mean(axis=0))


REGIMES = (
    Regime("strong", "strong\nk = 10\nsize 1"),
    Regime("weak", "weak\nk = 10\nsize 0.25", amplitude=0.25),
    Regime("mixed", "mixed\nk = 20\n2 to 0.1", k=20, amplitude=2.0, smallest=0.1),
    Regime("toeplitz", "neighbours\nk = 10\nr = 0.9", design="toeplitz", correlation=0.9, rate=0.5),
    Regime(
        "equicorrelated",
        "all correlated\nk = 10\nr = 0.5",
        design="equicorrelated",
        correlation=0.5,
        rate=0.3,
    ),
    Regime("many", "many\nk = 60\nsize 1", k=60),
    Regime("logistic", "classes\nk = 10\nsize 1", loss="logistic", rate=8.0),
)


def regimes(scale: str) -> list[Regime]:
    """Return the regimes at a scale; "smoke" is a toy size."""
    if scale == "full":
        return list(REGIMES)
    return [replace(r, k=min(r.k, 8), d=60, n=50, n_val=60) for r in REGIMES]
