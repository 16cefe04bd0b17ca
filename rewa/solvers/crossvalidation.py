"""The lasso's penalty by five-fold cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold, StratifiedKFold

from rewa.errors import UserError
from rewa.linear import LinearProblem
from rewa.solvers.centred import centre
from rewa.solvers.path import lambda_max, solve_strengths
from rewa.solvers.penalties import Array, Penalty

FOLDS = 5
PATIENCE = 10  # strengths without improvement that end a fold's logistic path
TOLERANCE = 1e-4  # of the folds' logistic fits, as in LassoCV
# The grids reach down to the first, and further only if the best is its last: small penalties are slow.
GRIDS = ((0.02, 40), (0.001, 100))


@dataclass(frozen=True)
class Choice:
    """The chosen penalty.

    Attributes:
        fraction: Of the full data's ``lambda_max``.
        folds_converged: Whether every fit of every fold met its tolerance.
    """

    fraction: float
    folds_converged: bool


def choose_fraction(problem: LinearProblem, seed: int) -> Choice:
    """Choose the lasso's penalty on the training data: the one of least mean held-out loss.

    The squared loss uses scikit-learn's LassoCV. The logistic loss uses scikit-learn's stratified folds with
    the solver here: scikit-learn's fast L1 logistic solver penalises the intercept, its other one is slow.

    Args:
        problem: What to fit.
        seed: Decides the folds.

    Raises:
        UserError: If there are too few samples for five folds.
    """
    squared = problem.loss == "squared"
    smallest = len(problem.targets) // 2 if squared else min(np.sum(problem.targets == c) for c in (-1, 1))
    if smallest < FOLDS:
        raise UserError(
            f"cross-validation needs {2 * FOLDS} samples, for the logistic loss {FOLDS} of each class; "
            "set lambda_fraction"
        )
    top = lambda_max(problem, Penalty("lasso"))
    if top == 0:
        return Choice(fraction=1.0, folds_converged=True)
    for smallest_fraction, count in GRIDS:
        fractions = np.geomspace(1, smallest_fraction, count)
        choose = _squared if squared else _logistic
        best, converged = choose(problem, top * fractions, seed)
        if best < count - 1:
            break
    return Choice(fraction=float(fractions[best]), folds_converged=converged)


def _squared(problem: LinearProblem, strengths: Array, seed: int) -> tuple[int, bool]:
    """Return LassoCV's choice among the strengths, and whether its fits converged."""
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = LassoCV(alphas=strengths, cv=folds, n_jobs=1).fit(problem.inputs, problem.targets)
    return int(np.argmin(fitted.mse_path_.mean(axis=1))), not caught


def _logistic(problem: LinearProblem, strengths: Array, seed: int) -> tuple[int, bool]:
    """Return the strength of least mean held-out log loss, and whether the fits converged."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    losses, converged = np.full((FOLDS, len(strengths)), np.inf), True
    for fold, (fit, held) in enumerate(folds.split(problem.inputs, problem.targets)):
        inputs, targets = problem.inputs[held], problem.targets[held]
        part = LinearProblem(np.asfortranarray(problem.inputs[fit]), problem.targets[fit], problem.loss)
        for i, point in enumerate(solve_strengths(centre(part), Penalty("lasso"), strengths, TOLERANCE)):
            converged = converged and point.converged
            losses[fold, i] = np.logaddexp(0, -targets * (inputs @ point.weights + point.intercept)).mean()
            if i - int(np.argmin(losses[fold])) >= PATIENCE:
                break  # what is left counts as infinitely bad; small penalties take longest
    return int(np.argmin(losses.mean(axis=0))), converged
