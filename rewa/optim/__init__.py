"""Optimizers for sparse training; needs torch only."""

from rewa.kernels import X_FLOOR
from rewa.optim.checks import ROUNDING, SMALLEST_M
from rewa.optim.groups import param_groups, prunable_modules, prunable_weights
from rewa.optim.l1_sgd import L1SGD
from rewa.optim.power import signed_power, signed_root
from rewa.optim.rewa import ReWA
from rewa.optim.rewa_adamw import ReWAAdamW

__all__ = [
    "L1SGD",
    "ROUNDING",
    "SMALLEST_M",
    "X_FLOOR",
    "ReWA",
    "ReWAAdamW",
    "param_groups",
    "prunable_modules",
    "prunable_weights",
    "signed_power",
    "signed_root",
]
