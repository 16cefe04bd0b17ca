"""Hyper-parameters of the trials of a pack: one record per trial, and the table the compiled loops read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewa.errors import UserError
from rewa.kernels import REWA, SGD_L1, SPRED, new_table, settings_row
from rewa.optim.checks import below_one, learning_rate, non_negative, powers

PackedMethod = Literal["rewa", "sgd_l1", "spred"]

_CODES: dict[PackedMethod, int] = {"rewa": REWA, "sgd_l1": SGD_L1, "spred": SPRED}
_FOREIGN: dict[PackedMethod, tuple[str, ...]] = {
    "rewa": ("l1",),
    "sgd_l1": ("epsilon", "weight_decay"),
    "spred": ("epsilon", "l1"),
}


@dataclass(frozen=True)
class PackedTrial:
    """Settings of one training in a pack, in the units of the method's own optimizer.

    K = 1 and M = 0 make "rewa" plain SGD with weight decay (the methods ``magnitude`` and ``random``).

    Attributes:
        method: "rewa" (Eq. 3), "sgd_l1" (subgradient) or "spred" (two factors, balanced start).
        lr: Base learning rate, before the schedule's factor; > 0.
        momentum: Heavy-ball coefficient in [0, 1); default 0.
        K: ReWA's power, real, >= 1; default 1.
        M: ReWA's exponent of the adaptive rate, 0 <= M <= K - 1; default 0.
        epsilon: ReWA's stabiliser, >= 0; default 0.
        weight_decay: Decay of y ("rewa") or of both factors ("spred"), >= 0; default 0.
        l1: Coefficient of the penalty of "sgd_l1", >= 0; default 0.

    Raises:
        UserError: If a value is out of its range, or set for a method that does not have it.
    """

    method: PackedMethod
    lr: float
    momentum: float = 0.0
    K: float = 1.0
    M: float = 0.0
    epsilon: float = 0.0
    weight_decay: float = 0.0
    l1: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in _CODES:
            raise UserError(f"method {self.method!r} cannot be packed: choose rewa, sgd_l1 or spred")
        group = dict(vars(self))
        try:
            learning_rate(group)
            below_one(group, "momentum")
            non_negative(group, "epsilon", "weight_decay", "l1")
            powers(group)
        except ValueError as error:
            raise UserError(f"packed {self.method}: {error}") from error
        foreign = [name for name in _FOREIGN[self.method] if group[name] != 0]
        if self.method != "rewa" and self.K != 1:
            foreign.append("K")
        if foreign:
            raise UserError(f"packed {self.method} has no setting {', '.join(foreign)}")


def table_of(trials: Sequence[PackedTrial]) -> NDArray[np.float64]:
    """Return the trials' settings as the kernels read them, one row each."""
    rows = []
    for trial in trials:
        settings = {name: value for name, value in vars(trial).items() if name not in ("method", "lr")}
        rows.append(settings_row(_CODES[trial.method], trial.lr, **settings))
    return new_table(rows)


def block_width(d: int) -> int:
    """Return the number of columns that are handled together, a multiple of 16, about 512.

    Multiples of 128 are avoided: rows at such distances fall on the same cache sets and store-buffer slots,
    which more than halves the speed of the products.
    """
    blocks = math.ceil(d / 544)
    width = 16 * math.ceil(d / blocks / 16)
    return width + 16 if width % 128 == 0 else width
