"""The adaptive lasso: an L1 penalty that spares the weights a first fit found large."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from rewa.linear import LinearProblem, LinearSolution
from rewa.methods.base import MethodConfig, Solver
from rewa.methods.path_solver import as_solution
from rewa.solvers import Penalty, fit_path


class AdaptiveLassoConfig(MethodConfig):
    """Settings of the adaptive lasso."""

    lambda_fraction: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="penalty as a fraction of the weighted lambda_max; a weight r times the largest "
        "enters at r^(1 + gamma), so 0.01 is what 0.1 is to the lasso",
    )
    gamma: float = Field(default=1, gt=0, description="power of the pilot's weights in the penalty")
    pilot_fraction: float = Field(
        default=0.1, gt=0, le=1, description="the pilot is the lasso at this fraction of its lambda_max"
    )


class AdaptiveLasso(Solver):
    """Minimise loss + lambda * sum |w| / |pilot|^gamma; source: Zou 2006, Eq. 4.

    The pilot is a lasso (Buehlmann and van de Geer 2011, section 2.8) because with more features than samples
    Zou's least squares do not exist. What the pilot leaves out stays out.
    """

    name = "adaptive_lasso"
    summary = "linear models only: L1 penalty weighted by a pilot lasso's weights"
    Config = AdaptiveLassoConfig
    penalty_setting = "lambda_fraction"

    def solve(self, problem: LinearProblem, seed: int) -> LinearSolution:
        """Return the solution; the seed decides nothing.

        Returns:
            ``chosen`` has "lambda" (on features scaled by |pilot|^gamma), "converged" (0 or 1, of both fits),
            "iterations" and "pilot_nonzeros".

        Raises:
            UserError: If the data cannot be fitted or skglm is missing.
        """
        config: AdaptiveLassoConfig = self.config
        pilot = as_solution(fit_path(problem, Penalty("lasso"), [config.pilot_fraction]))
        kept = np.flatnonzero(pilot.weights)
        # |w| / s with s = |pilot|^gamma is the plain penalty of w / s, whose feature is x * s.
        scale = np.abs(pilot.weights[kept]) ** config.gamma
        scaled = LinearProblem(
            np.asfortranarray(problem.inputs[:, kept] * scale), problem.targets, problem.loss
        )
        fit = as_solution(fit_path(scaled, Penalty("lasso"), [config.lambda_fraction]))
        weights = np.zeros_like(pilot.weights)
        weights[kept] = fit.weights * scale
        chosen = {
            "lambda": fit.chosen["lambda"],
            "converged": min(pilot.chosen["converged"], fit.chosen["converged"]),
            "iterations": pilot.chosen["iterations"] + fit.chosen["iterations"],
            "pilot_nonzeros": float(kept.size),
        }
        return LinearSolution(weights=weights, intercept=fit.intercept, chosen=chosen)
