"""The lasso, its penalty given or cross-validated."""

from __future__ import annotations

from pydantic import Field

from rewa.linear import LinearProblem, LinearSolution
from rewa.methods.base import MethodConfig, Solver
from rewa.methods.path_solver import as_solution
from rewa.solvers import Penalty, fit_path


class LassoConfig(MethodConfig):
    """Settings of the lasso."""

    lambda_fraction: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="penalty as a fraction of lambda_max, from which on all weights are zero; "
        "None: 5-fold cross-validation on the training data",
    )


class Lasso(Solver):
    """Minimise loss + lambda * sum |w|; source: Tibshirani 1996."""

    name = "lasso"
    summary = "linear models only: L1 penalty, cross-validated unless given (the convex reference)"
    Config = LassoConfig
    penalty_setting = "lambda_fraction"

    def solve(self, problem: LinearProblem, seed: int) -> LinearSolution:
        """Return the lasso's solution; the seed decides the folds.

        Returns:
            ``chosen`` has "lambda", "converged" (0 or 1), "iterations" (working sets), and, where it was
            cross-validated, "lambda_fraction" and "folds_converged" (0 or 1).

        Raises:
            UserError: If the data cannot be fitted, are too few for five folds, or skglm is missing.
        """
        config: LassoConfig = self.config
        if config.lambda_fraction is not None:
            return as_solution(fit_path(problem, Penalty("lasso"), [config.lambda_fraction]))
        from rewa.solvers.crossvalidation import choose_fraction  # scikit-learn: a second to import

        choice = choose_fraction(problem, seed)
        solution = as_solution(fit_path(problem, Penalty("lasso"), [choice.fraction]))
        solution.chosen.update(lambda_fraction=choice.fraction, folds_converged=float(choice.folds_converged))
        return solution
