"""Sparse linear models by coordinate descent along a path of penalties.

Penalties and where they let features in: :mod:`rewa.solvers.penalties`. Paths: :mod:`rewa.solvers.path`. What
runs in skglm's compiled loops: :mod:`rewa.solvers.kernels`, imported only when something is solved.
"""

from __future__ import annotations

from rewa.solvers.path import PathPoint, fit_path, lambda_max, solution_path
from rewa.solvers.penalties import Penalty, PenaltyName

__all__ = ["PathPoint", "Penalty", "PenaltyName", "fit_path", "lambda_max", "solution_path"]
