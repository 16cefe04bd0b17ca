"""The L2/3 quasi-norm penalty."""

from __future__ import annotations

from rewa.methods.path_solver import PathSolver
from rewa.solvers import Penalty


class L23(PathSolver):
    """Minimise loss + lambda * sum |w|^(2/3); source: Cao, Sun and Xu 2013, L2/3 regularization."""

    name = "l2_3"
    summary = "linear models only: L2/3 quasi-norm penalty by coordinate descent (skglm)"

    def penalty(self) -> Penalty:
        """Return the L2/3 penalty."""
        return Penalty("l2_3")
