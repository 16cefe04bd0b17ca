"""What runs inside skglm's compiled coordinate descent (Bertrand et al. 2022, arXiv:2204.07826).

Importing this imports skglm and numba, which takes seconds; compiling takes more, per process and penalty.
The classes are compiled by numba, from their attributes in ``get_spec``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numba import float64
from skglm.datafits import Logistic, Quadratic
from skglm.penalties import L0_5, L1, L2_3, SCAD, MCPenalty
from skglm.solvers import AndersonCD

from rewa.linear import LinearLoss
from rewa.solvers.penalties import Array, Penalty

RETURNS = 200  # to the check of the intercept
EPOCHS = 500  # between two of them
CURVATURE = ("curvature", float64[:])


class SquaredLoss(Quadratic):  # type: ignore[misc]
    """skglm's squared loss, with the curvatures given instead of computed again on every call."""

    def __init__(self, curvature: Array) -> None:
        self.curvature = curvature

    def get_spec(self) -> tuple[tuple[str, Any], ...]:
        """Return the compiled class's attributes."""
        return ("Xty", float64[:]), CURVATURE

    def params_to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"curvature": self.curvature}

    def get_lipschitz(self, X: Array, y: Array) -> Array:
        """Return the curvature of each coordinate."""
        return self.curvature


class LogisticLoss(Logistic):  # type: ignore[misc]
    """skglm's logistic loss, with the curvatures given instead of computed again on every call."""

    def __init__(self, curvature: Array) -> None:
        self.curvature = curvature

    def get_spec(self) -> tuple[tuple[str, Any], ...]:
        """Return the compiled class's attributes."""
        return (CURVATURE,)

    def params_to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"curvature": self.curvature}

    def get_lipschitz(self, X: Array, y: Array) -> Array:
        """Return the curvature of each coordinate."""
        return self.curvature


class TwoThirds(L2_3):  # type: ignore[misc]
    """skglm's L2/3 penalty with an accurate proximal operator.

    The closed form cancels: weights far above the threshold are off by 3e-6 of their size. With
    t = |w|^(1/3), the stationary point is the largest root of t^4 - |value| t + 2u/3, convex in t, on which
    Newton's method from |value|^(1/3) descends monotonically.
    """

    def prox_1d(self, value: float, stepsize: float, j: int) -> float:
        """Return the minimiser of (w - value)^2 / 2 + u |w|^(2/3), u = alpha * stepsize."""
        u = self.alpha * stepsize
        size = np.abs(value)
        if size <= 2.0 * (2.0 * u / 3.0) ** 0.75:
            return 0.0
        root = size ** (1.0 / 3.0)
        for _ in range(50):
            step = (root**4 - size * root + 2.0 * u / 3.0) / (4.0 * root**3 - size)
            root -= step
            if step <= 1e-15 * root:
                break
        return np.sign(value) * root**3  # type: ignore[no-any-return]


def minimise_all(
    inputs: Array,
    targets: Array,
    loss: LinearLoss,
    penalty: Penalty,
    strength: float,
    curvature: Array,
    start: Array,
    tolerance: float,
) -> tuple[Array, bool]:
    """Minimise loss + strength * penalty over all given features.

    Args:
        inputs: Shape (n, d), Fortran order.
        targets: Shape (n,).
        loss: Which loss.
        penalty: Which penalty.
        strength: Its lambda, > 0.
        curvature: Shape (d,), the coordinates' curvatures to step with.
        start: Shape (d + 1,), weights and intercept.
        tolerance: Largest change, in weights, that a coordinate step may still make at the end.

    Returns:
        Weights and intercept of shape (d + 1,), and whether the tolerance was met.
    """
    solver = AndersonCD(
        max_iter=RETURNS,
        max_epochs=EPOCHS,
        p0=inputs.shape[1],
        tol=tolerance,
        # The subgradients of L0.5 and L2/3 at zero are unbounded: only a proximal step tells who enters.
        ws_strategy="fixpoint",
    )
    datafit = SquaredLoss(curvature) if loss == "squared" else LogisticLoss(curvature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's on memory layouts; convergence is returned
        solution, _, violation = solver.solve(
            inputs,
            targets,
            datafit,
            _compiled(penalty, strength),
            start.copy(),
            inputs @ start[:-1] + start[-1],
        )
    return np.asarray(solution), bool(violation <= tolerance)


def _compiled(penalty: Penalty, strength: float) -> Any:
    """Return skglm's penalty object."""
    match penalty.name:
        case "lasso":
            return L1(strength)
        case "l2_3":
            return TwoThirds(strength)
        case "l0_5":
            return L0_5(strength)
        case "mcp":
            return MCPenalty(strength, penalty.concavity)
        case "scad":
            return SCAD(strength, penalty.concavity)
