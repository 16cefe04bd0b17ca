"""The penalties of the direct solvers, and at which strength each lets a first feature in.

Everywhere, the objective is ``loss + strength * penalty(weights)`` with :class:`rewa.linear.LinearProblem`'s loss:

=========  ==================================================================  ==============================
name       strength * penalty, summed over the weights                         unit of the strength
=========  ==================================================================  ==============================
lasso      lambda |w|                                                          loss / weight
l2_3       lambda |w|^(2/3)                                                    loss / weight^(2/3)
l0_5       lambda |w|^(1/2)                                                    loss / weight^(1/2)
mcp        lambda |w| - w^2 / (2 gamma) up to |w| = gamma lambda, then flat    loss / weight (the slope at 0)
scad       lambda |w| up to |w| = lambda, then quadratic, flat from            loss / weight (the slope at 0)
           |w| = gamma lambda on
=========  ==================================================================  ==============================

MCP and SCAD depend on the strength in their shape too (Zhang 2010, Eq. 2.1; Fan and Li 2001, Eq. 2.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PenaltyName = Literal["lasso", "l2_3", "l0_5", "mcp", "scad"]
Array = NDArray[np.float64]

DEFAULT_GAMMA = {"mcp": 3.0, "scad": 3.7}

# MCP's and SCAD's coordinate steps are well posed only where the loss curves more than the penalty curves down.
CURVATURE_MARGIN = 1.5


@dataclass(frozen=True)
class Penalty:
    """A penalty by name.

    Attributes:
        name: One of ``PenaltyName``.
        gamma: MCP's (> 1) or SCAD's (> 2) concavity, smaller is more concave; unused by the others.
    """

    name: PenaltyName
    gamma: float = float("nan")

    @classmethod
    def named(cls, name: PenaltyName, gamma: float | None = None) -> Penalty:
        """Return the penalty with the usual gamma (MCP 3, SCAD 3.7) unless told."""
        return cls(name, DEFAULT_GAMMA.get(name, float("nan")) if gamma is None else gamma)

    def step_curvature(self, curvature: Array) -> Array:
        """Return the curvatures to step with: at least the loss's, at least what the penalty needs.

        A larger one still majorises the loss, so every step descends and the fixed points are the same
        stationary points. With the loss's own, MCP's step is not a proximal step where curvature <= 1 / gamma
        (unit features under the logistic loss have 1/4, the usual gamma is 3), and may go up.

        Args:
            curvature: Per feature, a bound on the loss's second derivative, >= 0.
        """
        floor = {"mcp": 1 / self.gamma, "scad": 1 / (self.gamma - 1)}.get(self.name, 0.0)
        return np.maximum(curvature, CURVATURE_MARGIN * floor)

    def entry_strength(self, gradient: Array, curvature: Array) -> Array:
        """Return the strength per feature from which on coordinate descent leaves a zero weight at zero.

        A step from zero minimises ``gradient * w + curvature * w^2 / 2 + strength * penalty(w)``. Its minimiser
        leaves zero at a gradient of ``strength`` (lasso, mcp, scad), or where the second minimum becomes the
        lower one: with u = strength / curvature, at ``gradient / curvature`` of 3/2 u^(2/3) (l0_5; Xu et al. 2012,
        L1/2 regularization) or 2 (2u/3)^(3/4) (l2_3; Cao, Sun and Xu 2013). This solves for the strength.

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
