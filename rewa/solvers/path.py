"""Solutions along a path of decreasing penalties, each started from the one before.

For penalties that are not convex the path is not only faster: started from zero at a small penalty, coordinate
descent lets in whatever feature comes first and ends in a poor local minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rewa.errors import UserError
from rewa.linear import LinearProblem
from rewa.solvers.centred import Centred, centre
from rewa.solvers.penalties import Array, Penalty, PenaltyName

# Largest change that a coordinate step may still make, relative to the largest step from zero.
TOLERANCE = 1e-7


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
    """Return the smallest strength at which coordinate descent, started from zero weights, stays there.

    The loss's gradient at zero weights and the best intercept decides. For the squared loss and lasso, mcp and
    scad it is max |X'(y - mean)| / n; see :meth:`Penalty.entry_strength`.
    """
    return _strongest(centre(problem), penalty)


def fit_path(problem: LinearProblem, penalty: Penalty, fractions: Sequence[float]) -> list[PathPoint]:
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
    return solve_strengths(centred, penalty, values * _strongest(centred, penalty))


def solution_path(
    problem: LinearProblem, penalty: PenaltyName, fractions: Sequence[float], *, gamma: float | None = None
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
    return np.stack([p.weights for p in fit_path(problem, Penalty.named(penalty, gamma), fractions)])


def solve_strengths(centred: Centred, penalty: Penalty, strengths: Array) -> list[PathPoint]:
    """Solve along decreasing strengths; from ``lambda_max`` up, the weights are zero."""
    curvature = penalty.step_curvature(centred.curvature)
    top = _strongest(centred, penalty)
    scale = float(np.abs(centred.gradient).max(initial=0.0) / max(curvature.max(initial=0.0), 1e-300))
    current = np.zeros(len(centred.means) + 1)
    current[-1] = centred.intercept
    points = []
    for strength in strengths:
        converged, iterations = True, 0
        if strength < top:
            current, converged, iterations = _minimise()(
                centred.inputs,
                centred.targets,
                centred.loss,
                penalty,
                float(strength),
                curvature,
                current,
                TOLERANCE * scale,
            )
            current = _without_leftovers(centred, penalty, float(strength), curvature, current)
        weights = current[:-1].copy()
        intercept = centred.original_intercept(weights, float(current[-1]))
        points.append(PathPoint(float(strength), weights, intercept, converged, iterations))
    return points


def _strongest(centred: Centred, penalty: Penalty) -> float:
    curvature = penalty.step_curvature(centred.curvature)
    return float(penalty.entry_strength(centred.gradient, curvature).max(initial=0.0))


def _without_leftovers(
    centred: Centred, penalty: Penalty, strength: float, curvature: Array, current: Array
) -> Array:
    """Zero the weights that one more coordinate step would zero.

    The acceleration mixes recent iterates, so a weight that has just left may come back as less than the
    tolerance; it would count as selected.
    """
    kept = np.flatnonzero(current[:-1])
    columns = np.asfortranarray(centred.inputs[:, kept])
    scores = columns @ current[kept] + current[-1]
    if centred.loss == "squared":
        slopes = scores - centred.targets
    else:
        slopes = -centred.targets * np.exp(-np.logaddexp(0, centred.targets * scores))
    gradient = columns.T @ slopes / len(slopes)
    reach = np.abs(curvature[kept] * current[kept] - gradient)
    cleaned = current.copy()
    cleaned[kept[reach <= penalty.zero_band(strength, curvature[kept])]] = 0
    return cleaned


def _minimise() -> Callable[..., tuple[Array, bool, int]]:
    """Import skglm only here: it takes seconds, and listing methods should not."""
    try:
        from rewa.solvers.kernels import minimise
    except ImportError as error:
        raise UserError(
            f"the direct sparse solvers need the package skglm: pip install skglm ({error})"
        ) from None
    return minimise
