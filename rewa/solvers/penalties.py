"""The penalties of the direct solvers, and at which strength each lets a first feature in.

The objective is :class:`rewa.linear.LinearProblem`'s loss plus, summed over the weights:

* ``lasso``: lambda |w|. Lambda is in units of loss / weight.
* ``l2_3``: lambda |w|^(2/3). Lambda is in units of loss / weight^(2/3).
* ``l0_5``: lambda |w|^(1/2). Lambda is in units of loss / weight^(1/2).
* ``mcp``: lambda |w| - w^2 / (2 gamma) up to |w| = gamma lambda, flat from there on (Zhang 2010, Eq. 2.1).
  Lambda, in units of loss / weight, is the slope at zero.
* ``scad``: lambda |w| up to |w| = lambda, then bending, flat from |w| = gamma lambda on (Fan and Li 2001, Eq.
  2.7). Lambda, in units of loss / weight, is the slope at zero.

MCP and SCAD depend on lambda in their shape too. Lambda is called strength in code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rewa.errors import UserError
from rewa.registry import did_you_mean

PenaltyName = Literal["lasso", "l2_3", "l0_5", "mcp", "scad"]
Array = NDArray[np.float64]


class GammaRange(NamedTuple):
    """A shape parameter's default and its exclusive lower bound."""

    default: float
    above: float


GAMMA = {"mcp": GammaRange(3.0, 1.0), "scad": GammaRange(3.7, 2.0)}

# MCP's and SCAD's steps are well posed only where the loss curves up more than the penalty curves down.
CURVATURE_MARGIN = 1.5


@dataclass(frozen=True)
class Penalty:
    """A penalty by name.

    Attributes:
        name: One of ``PenaltyName``.
        gamma: MCP's (> 1, None: 3) or SCAD's (> 2, None: 3.7); smaller is more concave. Unused by the others.

    Raises:
        UserError: If the name is unknown or gamma out of range.
    """

    name: PenaltyName
    gamma: float | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(PenaltyName):
            raise UserError(f"unknown penalty {self.name!r}{did_you_mean(self.name, get_args(PenaltyName))}")
        if self.name in GAMMA and not self.concavity > GAMMA[self.name].above:
            raise UserError(f"{self.name}'s gamma = {self.gamma} must be above {GAMMA[self.name].above:g}")

    @property
    def concavity(self) -> float:
        """MCP's or SCAD's gamma; infinite for the other penalties."""
        if self.name not in GAMMA:
            return float("inf")
        return GAMMA[self.name].default if self.gamma is None else self.gamma

    def step_curvature(self, curvature: Array) -> Array:
        """Return the curvatures to step with: at least the loss's, at least what the penalty needs.

        A larger one still majorises the loss, so every step descends and the fixed points are the same
        stationary points. With the loss's own, MCP's step is not a proximal step where curvature <= 1 / gamma
        (unit features under the logistic loss have 1/4, the usual gamma is 3), and may go up.

        Args:
            curvature: Per feature, a bound on the loss's second derivative, >= 0.
        """
        downward = 1 / (self.concavity - 1 if self.name == "scad" else self.concavity)
        return np.maximum(curvature, CURVATURE_MARGIN * downward)

    def entry_strength(self, gradient: Array, curvature: Array) -> Array:
        """Return the strength per feature from which on coordinate descent leaves a zero weight alone.

        A step from zero minimises ``gradient * w + curvature * w^2 / 2 + strength * penalty(w)``. Its
        minimiser leaves zero at a gradient of ``strength`` (lasso, mcp, scad), or where the second minimum
        becomes the lower one: with u = strength / curvature, at a ``gradient / curvature`` of 3/2 u^(2/3)
        (l0_5; Xu et al. 2012, L1/2 regularization) or 2 (2u/3)^(3/4) (l2_3; Cao, Sun and Xu 2013). This
        solves for the strength.

        Args:
            gradient: Of the loss at zero weights, per feature.
            curvature: Bound on the loss's second derivative, per feature, >= 0.
        """
        size = np.abs(gradient)
        positive = np.where(curvature > 0, curvature, 1.0)  # a constant feature has gradient 0
        if self.name == "l0_5":
            return np.asarray(positive * (2 / 3 * size / positive) ** 1.5)
        if self.name == "l2_3":
            return np.asarray(1.5 * positive * (size / positive / 2) ** (4 / 3))
        return size

    def zero_band(self, strength: float, curvature: Array) -> Array:
        """Return the largest ``|curvature * w - gradient|`` that a coordinate step sends to zero.

        The inverse of :meth:`entry_strength`.
        """
        positive = np.where(curvature > 0, curvature, 1.0)
        if self.name == "l0_5":
            return np.asarray(1.5 * positive * (strength / positive) ** (2 / 3))
        if self.name == "l2_3":
            return np.asarray(2 * positive * (2 / 3 * strength / positive) ** 0.75)
        return np.full_like(curvature, strength)
