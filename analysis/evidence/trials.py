"""A method's search trials as one table: what was drawn or set, on which scale, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.caveats import searched
from analysis.tables import SweepRecord, natural, section

Kind = Literal["linear", "log", "choice"]
OUTCOME = ("trial", "status", "reason", "score", "seconds")
SYMBOLS = {
    "lr": "\u03b3",
    "weight_decay": "\u03bb",
    "epsilon": "\u03b5",
    "decay_budget": "D",
    "effective_step": "\u03b7",
}
"""The ReWA paper's and the README's letters for ReWA's quantities."""


@dataclass(frozen=True)
class Scale:
    """How the values of one tuned quantity lie.

    Attributes:
        name: Of the quantity.
        kind: ``choice`` for values without a range between them.
        low: Lower end of what was searched; NaN for choices.
        high: Upper end.
        choices: The values to choose from, in order.
        stated: Whether the search space says so; otherwise it is read off the values.
    """

    name: str
    kind: Kind
    low: float = math.nan
    high: float = math.nan
    choices: tuple[Any, ...] = ()
    stated: bool = False

    def position(self, values: pd.Series) -> pd.Series:
        """Values as places on a linear axis: log10 on a logarithmic scale, the number of a choice."""
        if self.kind == "choice":
            places = {_plain(choice): float(place) for place, choice in enumerate(self.choices)}
            return values.map(lambda value: places.get(_plain(value), math.nan)).astype(float)
        numbers = values.astype(float)
        return numbers.map(math.log10) if self.kind == "log" else numbers

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends as places on that axis."""
        if self.kind == "choice":
            return 0.0, float(len(self.choices) - 1)
        return (math.log10(self.low), math.log10(self.high)) if self.kind == "log" else (self.low, self.high)


def trials_of(record: SweepRecord, method: str) -> pd.DataFrame:
    """What became of every search trial of a method, whatever it was.

    Args:
        record: The sweep.
        method: Name of the method.

    Returns:
        One row per trial, in the order of their numbers, with the columns of `OUTCOME`, the config columns,
        and in ``score`` the objective: 0, its worst, for trials that diverged or failed, and NaN only for
        completed trials that have none (hand-made ones).
    """
    runs = searched(record.runs)
    own = runs[runs["method"] == method].sort_values("trial", key=natural, kind="stable")
    score = own["score"].astype(float).where(own["status"] == "completed", 0.0)
    columns = dict.fromkeys([*OUTCOME, *record.config_columns])
    return own.assign(score=score)[list(columns)].reset_index(drop=True)


def with_draws(record: SweepRecord, method: str) -> pd.DataFrame:
    """`trials_of` with what the search drew instead of the config; neither where that is not known."""
    own = record.draws[record.draws["method"] == method].drop(columns="method")
    trials = trials_of(record, method)[list(OUTCOME)]
    if own.empty:
        return trials
    drawn = own.dropna(axis="columns", how="all").drop_duplicates("trial")
    return trials.merge(drawn, on="trial", how="left")


def with_config(record: SweepRecord, method: str) -> pd.DataFrame:
    """`trials_of` with those config columns that the method has."""
    trials = trials_of(record, method)
    return trials[[*OUTCOME, *(name for name in record.config_columns if trials[name].notna().any())]]


def quantities(trials: pd.DataFrame) -> list[str]:
    """The tuned quantities of a table: the columns beside the outcome that have more than one value."""
    return [name for name in trials.columns if name not in OUTCOME and trials[name].map(_plain).nunique() > 1]


def tuned(record: SweepRecord, method: str) -> pd.DataFrame:
    """What to look at a method by: its draws, or its config where the draws are not on record."""
    drawn = with_draws(record, method)
    return drawn if quantities(drawn) else with_config(record, method)


def scale_of(record: SweepRecord, method: str, name: str, values: pd.Series) -> Scale:
    """The scale of a quantity: as the search space has it, else by the values.

    Args:
        record: The sweep.
        method: Name of the method.
        name: Of the quantity.
        values: Its values; missing ones are ignored.

    Returns:
        The scale. A range of the search space is widened to hold every value (known settings may lie
        outside). Without one, numbers are on a logarithmic scale if they are positive and span more than a
        factor of ten, and texts and truth values are choices.
    """
    present = values.dropna()
    space = section(section(record.meta, "space"), "methods")
    stated = section(section(section(space, method), "sample"), name)
    if stated.get("choice"):
        return Scale(name, "choice", choices=_choices([*stated["choice"], *present]), stated=True)
    if not all(_is_number(value) for value in present):
        return Scale(name, "choice", choices=_choices(sorted(present, key=str)))
    numbers = present.astype(float)
    numbers = numbers[numbers.abs() < math.inf]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (math.nan, math.nan)
    for key, kind in (("uniform", "linear"), ("log_uniform", "log"), ("int", "linear")):
        if bounds := _pair(stated.get(key)):
            low, high = float(np.fmin(bounds[0], low)), float(np.fmax(bounds[1], high))
            return Scale(name, "log" if kind == "log" and low > 0.0 else "linear", low, high, stated=True)
    return Scale(name, "log" if low > 0.0 and high > 10.0 * low else "linear", low, high)


def named(name: str, method: str) -> str:
    """A quantity's name, with the paper's letter where the method is ReWA: ``decay_budget (D)``."""
    letter = SYMBOLS.get(name) if method == "rewa" else None
    return f"{name} ({letter})" if letter else name


def _choices(values: Sequence[Any]) -> tuple[Any, ...]:
    """The distinct values in their order; numbers by size."""
    distinct: Mapping[Any, Any] = {_plain(value): value for value in reversed(values)}
    if all(_is_number(value) for value in distinct):
        return tuple(sorted(distinct))
    return tuple(reversed(distinct))


def _plain(value: Any) -> Any:
    """A value that equals itself in every table: 3, 3.0 and numpy's 3 are one; missing ones are None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    return float(value) if isinstance(value, int | float | np.number) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _pair(bounds: Any) -> tuple[float, float] | None:
    """The bounds of a distribution; None if it has none of this kind."""
    if isinstance(bounds, list | tuple) and len(bounds) == 2 and all(_is_number(end) for end in bounds):
        return float(bounds[0]), float(bounds[1])
    return None
