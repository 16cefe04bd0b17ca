"""Solutions along a path of decreasing penalties, each started from the one before.

For penalties that are not convex the path is not only faster: started from zero at a small penalty,
coordinate descent lets in whatever feature comes first and ends in a poor local minimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rewa.errors import UserError
from rewa.linear import LinearProblem
from rewa.solvers.centred import Centred, centre
from rewa.solvers.penalties import Array, Penalty, PenaltyName
from rewa.solvers.working_set import minimise

TOLERANCE = 1e-7
TINY = 1e-300


@dataclass(frozen=True)
class PathPoint:
    """The solution at one penalty.

    Attributes:
        strength: The penalty's lambda; units in :mod:`rewa.solvers.penalties`.
        weights: Shape (d,).
        intercept: The constant term.
        converged: Whether every coordinate step is within the tolerance.
        iterations: Working sets solved at this point.
    """

    strength: float
    weights: Array
    intercept: float
    converged: bool
    iterations: int


def lambda_max(problem: LinearProblem, penalty: Penalty) -> float:
    """Return the smallest strength at which coordinate descent stays at zero weights.

    The loss's gradient at zero weights and the best intercept decides; for the squared loss and lasso, mcp
    and scad it is max |X'(y - mean)| / n. See :meth:`Penalty.entry_strength`.
    """
    return _strongest(centre(problem), penalty)


def fit_path(problem: LinearProblem, penalty: Penalty, fractions: Sequence[float] | Array) -> list[PathPoint]:
    """Solve along decreasing fractions of ``lambda_max``, each point started from the one before.

    Args:
        problem: What to fit; it is not changed.
        penalty: Which penalty.
        fractions: In (0, 1], strictly decreasing. At 1 the weights are zero.

    Returns:
        One point per fraction.

    Raises:
        UserError: If the fractions are not as they should be, the data cannot be fitted, or skglm is missing.
    """
    values = np.asarray(fractions, dtype=np.float64)
    if not (values.size and (values > 0).all() and (values <= 1).all() and (np.diff(values) < 0).all()):
        raise UserError("a path's fractions of lambda_max must be decreasing, in (0, 1]")
    centred = centre(problem)
    return list(solve_strengths(centred, penalty, values * _strongest(centred, penalty)))


def solution_path(
    problem: LinearProblem,
    penalty: PenaltyName,
    fractions: Sequence[float] | Array,
    *,
    gamma: float | None = None,
) -> Array:
    """Return the weights along decreasing fractions of ``lambda_max``; see :func:`fit_path`.

    Args:
        problem: What to fit.
        penalty: The penalty's name, such as "lasso" or "l0_5".
        fractions: In (0, 1], strictly decreasing.
        gamma: Of mcp (None: 3) and scad (None: 3.7).

    Returns:
        Shape (len(fractions), d); weights that left are exactly zero.

    Raises:
        UserError: As :func:`fit_path`.
    """
    return np.stack([p.weights for p in fit_path(problem, Penalty(penalty, gamma), fractions)])


def solve_strengths(
    centred: Centred, penalty: Penalty, strengths: Array, tolerance: float = TOLERANCE
) -> Iterator[PathPoint]:
    """Solve along decreasing strengths, one by one; from ``lambda_max`` up, the weights are zero.

    The tolerance is for a coordinate step, relative to the largest gradient over the largest curvature.
    """
    top = _strongest(centred, penalty)
    curvature = penalty.step_curvature(centred.curvature).max(initial=0)
    limit = float(tolerance * np.abs(centred.gradient).max(initial=0) / max(curvature, TINY))
    current = np.append(np.zeros_like(centred.means), centred.intercept)
    for strength in map(float, strengths):
        converged, iterations = True, 0
        if strength < top:
            current, converged, iterations = minimise(centred, penalty, strength, current, limit)
        weights = current[:-1].copy()
        intercept = centred.original_intercept(weights, float(current[-1]))
        yield PathPoint(strength, weights, intercept, converged, iterations)


def _strongest(centred: Centred, penalty: Penalty) -> float:
    curvature = penalty.step_curvature(centred.curvature)
    return float(penalty.entry_strength(centred.gradient, curvature).max(initial=0.0))
