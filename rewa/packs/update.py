"""The optimizer steps of all rows of a pack in one compiled call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from rewa.descent import Descent
from rewa.kernels import LR, PLAIN, REWA, SGD_L1, SPRED, ArrayStep, UpdatePlan, new_table, settings_row
from rewa.packs.rules import Mode, Rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MODES: dict[Mode, int] = {"plain": PLAIN, "rewa": REWA, "sgd_l1": SGD_L1, "spred": SPRED}


class RowsUpdate:
    """Collects the weights of all rows with their rules, then steps them again and again."""

    def __init__(self) -> None:
        self._arrays: list[ArrayStep] = []
        self._settings: list[tuple[float, ...]] = []
        self._base: list[float] = []
        self._row: list[int] = []
        self._known: dict[tuple[int, int, Mode], int] = {}

    def add(self, row: int, descent: Descent, rule: Rule, weight: Tensor, grad: Tensor) -> None:
        """Add one weight of one row.

        Args:
            row: Position among the rows.
            descent: Whose optimizer holds latents, factors and momenta.
            rule: How the weight is stepped.
            weight: What the model computes with; written where it is not what is stepped.
            grad: Where its gradient will be, always.
        """
        optimizer = descent.optimizer
        latent = rule.latent(optimizer)
        second = rule.latent(optimizer, 1) if rule.mode == "spred" else None
        step = ArrayStep(
            row=self._settings_of(row, descent, rule),
            latent=latent,
            grad=grad,
            weight=None if latent.data_ptr() == weight.data_ptr() else weight,
            momentum=rule.momentum(optimizer),
            second_latent=second,
            second_momentum=None if second is None else rule.momentum(optimizer, 1),
        )
        self._arrays.append(step)

    def build(self) -> None:
        """Prepare for :meth:`run`; nothing is added after."""
        import numpy as np

        self._plan = UpdatePlan(self._arrays)
        self._table = new_table(self._settings)
        self._bases, self._rows = np.array(self._base), np.array(self._row)

    def run(self, factors: NDArray[np.float64]) -> None:
        """Take one step.

        Args:
            factors: The schedule's factor on each row's learning rates, shape (rows,).
        """
        self._table[:, LR] = self._bases * factors[self._rows]
        self._plan.run(self._table)

    def _settings_of(self, row: int, descent: Descent, rule: Rule) -> int:
        """Return the line of the settings table for a rule of a row."""
        key = (row, rule.group, rule.mode)
        if key not in self._known:
            self._known[key] = len(self._settings)
            names = ("momentum", "K", "M", "epsilon", "weight_decay", "l1")
            values: Any = {name: float(rule.settings[name]) for name in names if name in rule.settings}
            self._settings.append(settings_row(_MODES[rule.mode], 0.0, **values))
            self._base.append(descent.rates[rule.group])
            self._row.append(row)
        return self._known[key]
