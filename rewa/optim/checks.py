"""Range checks of optimizer settings: ValueError naming value and bound; NaN is out of every range."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

Group = dict[str, Any]

ROUNDING = 1e-9
"""Relative room for K - 1 computed in floating point: 2.3 - 1 is a little less than 1.3."""


def non_negative(group: Group, *names: str) -> None:
    """Refuse values that are negative or not finite."""
    for name in names:
        value = group[name]
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} = {value} is out of range: it must be finite and >= 0.")


def below_one(group: Group, *names: str) -> None:
    """Refuse values outside [0, 1)."""
    for name in names:
        value = group[name]
        if not 0 <= value < 1:
            raise ValueError(f"{name} = {value} is out of range: it must satisfy 0 <= {name} < 1.")


def learning_rate(group: Group) -> None:
    """Refuse a negative or non-finite lr, and a tensor that is not one number."""
    lr = group["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"lr = {lr} is out of range: a tensor must have one element.")
    non_negative(group, "lr")


def powers(group: Group) -> None:
    """Refuse K below 1 and M outside [0, K - 1]."""
    K, M = group["K"], group["M"]
    if not (K >= 1 and math.isfinite(K)):
        raise ValueError(f"K = {K} is out of range: it must be finite and >= 1.")
    if not 0 <= M <= (K - 1) * (1 + ROUNDING):
        raise ValueError(f"M = {M} is out of range: it must satisfy 0 <= M <= K - 1 = {K - 1}.")
