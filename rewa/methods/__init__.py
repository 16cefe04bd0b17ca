"""Sparsity-inducing methods: one file each, one line here.

See :class:`rewa.methods.base.Method`.
"""

from __future__ import annotations

from rewa.methods.base import GradientMethod, Method, MethodConfig, Solver
from rewa.registry import load

REGISTRY = {
    "rewa": "rewa.methods.rewa:ReWAMethod",
    "rewa_adamw": "rewa.methods.rewa_adamw:ReWAAdamWMethod",
    "spred": "rewa.methods.spred:Spred",
    "sgd_l1": "rewa.methods.sgd_l1:SGDL1",
    "magnitude": "rewa.methods.magnitude:Magnitude",
    "random": "rewa.methods.random:Random",
    "lasso": "rewa.methods.lasso:Lasso",
    "adaptive_lasso": "rewa.methods.adaptive_lasso:AdaptiveLasso",
    "l0_5": "rewa.methods.l0_5:L05",
    "l2_3": "rewa.methods.l2_3:L23",
    "mcp": "rewa.methods.mcp:MCP",
    "scad": "rewa.methods.scad:SCAD",
}


def get_method(name: str) -> type[Method]:
    """Return the method class of that name, or the user's own that ``package.module:Class`` names.

    Raises:
        UserError: If there is none.
    """
    return load("method", name, REGISTRY, Method)


__all__ = ["REGISTRY", "GradientMethod", "Method", "MethodConfig", "Solver", "get_method"]
