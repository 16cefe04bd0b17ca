"""Range checks of optimizer settings: ValueError naming value and bound; NaN is out of every range."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

Group = dict[str, Any]

ROUNDING = 1e-9
"""Relative room for K - 1 computed in floating point: 2.3 - 1 is a little less than 1.3."""

SMALLEST_M = 1e-30
"""Least M above 0: in float32 a smaller one is a subnormal or zero, and whether y = 0 can be left, which
M = 0 allows and M > 0 does not, would depend on the kernel."""


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
    """Refuse K below 1, M outside [0, K - 1], and an M that float32 cannot tell from 0."""
    K, M = group["K"], group["M"]
    if not (K >= 1 and math.isfinite(K)):
        raise ValueError(f"K = {K} is out of range: it must be finite and >= 1.")
    if not 0 <= M <= (K - 1) * (1 + ROUNDING):
        raise ValueError(f"M = {M} is out of range: it must satisfy 0 <= M <= K - 1 = {K - 1}.")
    if 0 < M < SMALLEST_M:
        raise ValueError(f"M = {M} is out of range: below {SMALLEST_M:g} it must be 0.")
