"""One sparse fit: few features at a time in compiled loops, all of them checked by one matrix product.

skglm has working sets of its own, but its inner loop leaves early whenever the intercept alone is unsettled,
and each return costs a compiled pass over every feature: a logistic fit of 10,000 took a hundred of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rewa.errors import UserError
from rewa.solvers.centred import Centred
from rewa.solvers.penalties import Array, Penalty

ROUNDS = 100
SMALLEST = 10


def minimise(
    centred: Centred, penalty: Penalty, strength: float, start: Array, tolerance: float
) -> tuple[Array, bool, int]:
    """Minimise loss + strength * penalty from a start.

    Args:
        centred: The problem.
        penalty: Which penalty.
        strength: Its lambda, > 0.
        start: Shape (d + 1,), weights and intercept; it is not changed.
        tolerance: Largest change, in weights, that a coordinate step may still make at the end.

    Returns:
        Weights and intercept of shape (d + 1,), whether the tolerance was met, and the working sets used.

    Raises:
        UserError: If skglm is missing.
    """
    curvature = penalty.step_curvature(centred.curvature)
    band = penalty.zero_band(strength, curvature)
    current = start.copy()
    for done in range(ROUNDS):
        gradient = centred.gradient_at(current)
        if done:
            # The acceleration mixes recent iterates: a weight that has just left may come back as less than
            # the tolerance, and would count as selected. What one more step would zero is zero.
            current[:-1][np.abs(curvature * current[:-1] - gradient) <= band] = 0
        inside = np.flatnonzero(current[:-1])
        excess = np.abs(gradient) - band
        excess[inside] = 0
        entering = np.flatnonzero(excess > tolerance * curvature)
        if done and not entering.size:
            return current, True, done
        # The strongest first: for penalties that are not convex, who comes first can keep the others out.
        entering = entering[np.argsort(-excess[entering], kind="stable")]
        features = np.concatenate([inside, entering[: max(SMALLEST, 2 * inside.size)]])
        if not features.size:
            return current, True, done
        where = np.append(features, len(current) - 1)
        current[where], converged = _compiled()(
            np.asfortranarray(centred.inputs[:, features]),
            centred.targets,
            centred.loss,
            penalty,
            strength,
            curvature[features],
            current[where],
            tolerance,
        )
        if not converged:
            return current, False, done + 1
    return current, False, ROUNDS


def _compiled() -> Callable[..., tuple[Array, bool]]:
    """Import skglm only here: it takes seconds, and listing methods should not."""
    try:
        from rewa.solvers.kernels import minimise_all
    except ImportError as error:
        raise UserError(
            f"the direct sparse solvers need the package skglm: pip install skglm ({error})"
        ) from None
    return minimise_all
