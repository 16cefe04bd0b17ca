"""A linear problem with centred features: what the coordinate descent works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rewa.errors import UserError
from rewa.linear import LinearLoss, LinearProblem
from rewa.solvers.penalties import Array

# A centred feature this small against its own size is the rounding of a constant one.
CONSTANT = 1e-12


@dataclass(frozen=True)
class Centred:
    """A problem whose features have mean zero, and its state at zero weights.

    The intercept is free, so moving the features' means into it changes nothing but how fast it is found.

    Attributes:
        inputs: Shape (n, d), Fortran order, each column of mean zero; constant features are exactly zero.
        targets: Shape (n,); for the squared loss of mean zero too.
        loss: Which loss.
        means: Shape (d,), what was subtracted from the features.
        offset: What was subtracted from the targets.
        intercept: The best intercept at zero weights, in the centred problem.
        gradient: Shape (d,), of the loss at zero weights and that intercept.
        curvature: Shape (d,), bounds on the loss's second derivatives: mean(x^2), a quarter for logistic.
    """

    inputs: Array
    targets: Array
    loss: LinearLoss
    means: Array
    offset: float
    intercept: float
    gradient: Array
    curvature: Array

    def gradient_at(self, solution: Array) -> Array:
        """Return the loss's gradient, shape (d,), at weights and intercept of shape (d + 1,)."""
        support = np.flatnonzero(solution[:-1])
        scores = self.inputs[:, support] @ solution[support] + solution[-1]
        if self.loss == "squared":
            slopes = scores - self.targets
        else:
            slopes = -self.targets * np.exp(-np.logaddexp(0, self.targets * scores))
        return np.asarray(self.inputs.T @ slopes / len(slopes))

    def original_intercept(self, weights: Array, intercept: float) -> float:
        """Return the intercept that belongs to the features before centring."""
        return float(self.offset + intercept - self.means @ weights)


def centre(problem: LinearProblem) -> Centred:
    """Centre a problem, in a copy.

    Raises:
        UserError: If the data are not finite, or a logistic problem lacks one of the two classes.
    """
    n = len(problem.targets)
    means = problem.inputs.mean(axis=0)
    inputs = np.asfortranarray(problem.inputs - means, dtype=np.float64)
    squares: Array = np.einsum("ij,ij->j", inputs, inputs) / n
    if not (np.isfinite(squares).all() and np.isfinite(problem.targets).all()):
        raise UserError("the linear problem has inputs or targets that are not finite")
    constant = squares <= CONSTANT**2 * means**2
    inputs[:, constant] = 0
    squares[constant] = 0
    if problem.loss == "squared":
        offset = float(problem.targets.mean())
        targets, intercept = problem.targets - offset, 0.0
        slopes, curvature = -targets, squares
    else:
        offset, targets = 0.0, problem.targets.astype(np.float64)
        share = float(np.mean(targets > 0))
        if not 0 < share < 1:
            raise UserError("a logistic problem needs both classes, -1 and 1, in its targets")
        intercept = float(np.log(share / (1 - share)))
        slopes, curvature = np.asarray(share - (targets > 0), dtype=np.float64), squares / 4
    gradient = inputs.T @ slopes / n
    return Centred(inputs, targets, problem.loss, means, offset, intercept, gradient, curvature)
