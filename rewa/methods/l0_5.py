"""The L0.5 quasi-norm penalty."""

from __future__ import annotations

from rewa.methods.path_solver import PathSolver
from rewa.solvers import Penalty


class L05(PathSolver):
    """Minimise loss + lambda * sum |w|^(1/2); source: Xu et al. 2012, L1/2 regularization."""

    name = "l0_5"
    summary = "linear models only: L0.5 quasi-norm penalty by coordinate descent (skglm)"

    def penalty(self) -> Penalty:
        """Return the L0.5 penalty."""
        return Penalty("l0_5")
