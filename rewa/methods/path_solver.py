"""What the direct solvers with a non-convex penalty share: a path of penalties down to the asked one."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from pydantic import Field

from rewa.linear import LinearProblem, LinearSolution
from rewa.methods.base import MethodConfig, Solver
from rewa.solvers import PathPoint, Penalty, fit_path


class PathConfig(MethodConfig):
    """Settings of a solver that follows a path."""

    lambda_fraction: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="penalty as a fraction of lambda_max, from which on all weights are zero",
    )
    path: int = Field(
        default=10, ge=1, le=1000, description="geometric steps from lambda_max down to the penalty"
    )


class PathSolver(Solver):
    """Minimise loss + lambda * penalty by coordinate descent along a path; the seed decides nothing.

    The lambda's unit is in :mod:`rewa.solvers.penalties`.
    """

    Config = PathConfig
    penalty_setting = "lambda_fraction"

    @abstractmethod
    def penalty(self) -> Penalty:
        """Return the penalty."""

    def solve(self, problem: LinearProblem, seed: int) -> LinearSolution:
        """Return the solution at the end of the path.

        Returns:
            ``chosen`` has "lambda", "converged" (0 or 1, at the end) and "iterations" (working sets over the
            whole path).

        Raises:
            UserError: If the data cannot be fitted or skglm is missing.
        """
        config: PathConfig = self.config
        steps = np.geomspace(1, config.lambda_fraction, config.path + 1)[1:]
        fractions = np.unique(steps)[::-1]  # near 1 some steps are the same number
        return as_solution(fit_path(problem, self.penalty(), fractions))


def as_solution(points: list[PathPoint]) -> LinearSolution:
    """Return the last point of a path as a solution."""
    last = points[-1]
    chosen = {
        "lambda": last.strength,
        "converged": float(last.converged),
        "iterations": float(sum(point.iterations for point in points)),
    }
    return LinearSolution(weights=last.weights, intercept=last.intercept, chosen=chosen)
