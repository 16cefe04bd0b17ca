"""A linear estimation problem as plain arrays: what direct solvers solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LinearLoss = Literal["squared", "logistic"]


@dataclass(frozen=True)
class LinearProblem:
    """Training data of a linear model with intercept.

    Attributes:
        inputs: Shape (n, d), float64 in Fortran order (coordinate descent walks columns).
        targets: Shape (n,), float64; for "logistic" -1 or 1.
        loss: "squared" is mean((target - prediction)^2) / 2, "logistic" is
            mean(log(1 + exp(-target * prediction))).
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    loss: LinearLoss


@dataclass(frozen=True)
class LinearSolution:
    """A fitted linear model.

    Attributes:
        weights: Shape (d,).
        intercept: The constant term.
        chosen: What the solver chose by itself, such as a cross-validated penalty; by name.
    """

    weights: NDArray[np.float64]
    intercept: float
    chosen: dict[str, float]
