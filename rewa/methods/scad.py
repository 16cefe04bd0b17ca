"""The smoothly clipped absolute deviation penalty."""

from __future__ import annotations

from pydantic import Field

from rewa.methods.path_solver import PathConfig, PathSolver
from rewa.solvers import Penalty


class SCADConfig(PathConfig):
    """Settings of SCAD."""

    gamma: float = Field(default=3.7, gt=2, description="the penalty is flat from |w| = gamma * lambda on")


class SCAD(PathSolver):
    """Minimise loss + SCAD(w; lambda, gamma); source: Fan and Li 2001, Eq. 2.7, and their gamma = 3.7."""

    name = "scad"
    summary = "linear models only: smoothly clipped absolute deviation by coordinate descent (skglm)"
    Config = SCADConfig

    def penalty(self) -> Penalty:
        """Return SCAD with the configured gamma."""
        config: SCADConfig = self.config
        return Penalty("scad", config.gamma)
