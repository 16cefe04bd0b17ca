"""Which value of a knob gives which sparsity: what a search's trials reached, against what they were given.

A search that is not made for it answers this on the side: its trials differ in the penalty, and each has a
frontier that says how far it can be pruned without loss (`analysis.calibration.reached`). The curve through
them is monotone and nothing else, because the relation is no line: it saturates at both ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from analysis import text
from analysis.calibration.isotonic import Curve, Floats, centred_isotonic, intervals
from analysis.calibration.reached import FITTED, Knobs, reached_table
from analysis.summary import Summary
from rewa.errors import UserError

FEWEST = 8
"""Fewer trials than this are not fitted."""
CHANCE_OF_NOISE = 0.01
"""A rank correlation that noise would give more often than this is taken for noise."""
NEIGHBOURS = 5


@dataclass(frozen=True)
class Correlation:
    """How well one quantity orders the trials by what they reached: Spearman's rank correlation.

    Attributes:
        knob: Name of the quantity.
        rho: -1 to 1; NaN where it did not vary.
        p_value: How often noise alone would give as large a rho or a larger one.
        count: Number of trials.
    """

    knob: str
    rho: float
    p_value: float
    count: int

    @property
    def tells(self) -> bool:
        """Whether it tells something."""
        return self.count >= FEWEST and self.p_value <= CHANCE_OF_NOISE


@dataclass(frozen=True)
class Placed:
    """The value of the knob for one target.

    Attributes:
        target: Compression.
        value: The knob's; NaN where `reason` says why there is none.
        low: Lower end of the interval; the least value tried where the interval is open there.
        high: Upper end.
        open_low: Whether the trials leave the lower end open.
        open_high: The same of the upper end.
        unpruned: Median unpruned validation metric of the trials next to the value, `NEIGHBOURS` at most.
        reason: Why there is no value; empty where there is one.
    """

    target: float
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    open_low: bool = False
    open_high: bool = False
    unpruned: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """A knob against reached compression.

    Attributes:
        summary: The sweep.
        method: Whose trials.
        within: What `reached_table` was given.
        knobs: The penalty setting and its budget.
        by: Name of the knob.
        table: What `reached_table` returned.
        correlations: Of every quantity that varied, the one that tells most first.
        curve: In (knob, log10 compression), the knob as log10 where `log`; None without a relation.
        log: Whether the knob is positive everywhere, so that its logarithm was taken.
        scatter: Half of the trials lie within this factor of the curve, in compression; NaN without one.
        placed: One per target.
        reason: Why there is no curve; empty where there is one.
    """

    summary: Summary
    method: str
    within: float
    knobs: Knobs
    by: str
    table: pd.DataFrame
    correlations: tuple[Correlation, ...]
    curve: Curve | None
    log: bool
    scatter: float
    placed: tuple[Placed, ...]
    reason: str

    @property
    def fitted(self) -> pd.DataFrame:
        """The trials that the curve was made of."""
        return self.table[(self.table["state"] == FITTED) & self.table[self.by].notna()]

    @property
    def own(self) -> Correlation:
        """The knob's own correlation."""
        return next(found for found in self.correlations if found.knob == self.by)


def calibrate(
    summary: Summary,
    method: str,
    targets: Sequence[float],
    *,
    by: str | None = None,
    within: float = 1.0,
) -> Calibration:
    """Fit reached compression by a knob, and read the knob off at the targets.

    Args:
        summary: The sweep.
        method: One of its methods.
        targets: Compressions.
        by: Name of a quantity that was drawn, of a setting, or of the budget; default: the budget where it is
            known, else the penalty setting.
        within: The loss that still counts as none; see `reached_table`.

    Raises:
        UserError: If the sweep has no such method, none of its trials trained, or the knob did not vary.
    """
    if method not in summary.methods:
        raise UserError(
            f"--method {method}: the sweep {summary.record.name!r} has {text.join(summary.methods)}"
        )
    table, knobs = reached_table(summary, method, within)
    if not (table["state"] == FITTED).any():
        raise UserError(
            f"no search trial of {method} in {summary.record.name!r} completed above chance, so there is "
            "nothing to calibrate"
        )
    found = _correlations(table, summary.record.config_columns)
    varied = [one.knob for one in found]
    name = by or (knobs.default if knobs.default in varied else None)
    if name is None:
        known = f"; give --by, one of {text.join(varied)}" if varied else ""
        raise UserError(f"{method} has no penalty setting that varied in this sweep{known}")
    if name not in varied:
        have = f"these did: {text.join(varied)}" if varied else "nothing did, for too few trials completed"
        raise UserError(f"--by {name}: did not vary among the trials of {method}; {have}")
    fitted = table[(table["state"] == FITTED) & table[name].notna()]
    own = next(one for one in found if one.knob == name)
    empty = Calibration(
        summary, method, within, knobs, name, table, found, None, False, math.nan, (), _refusal(own, fitted)
    )
    if empty.reason:
        return empty
    return _fitted(empty, fitted, targets, own.rho > 0)


def _refusal(own: Correlation, fitted: pd.DataFrame) -> str:
    """Why there is no relation to fit; empty where there is one."""
    if len(fitted) < FEWEST:
        return f"only {len(fitted)} trials can be fitted, and fewer than {FEWEST} say too little"
    reached = fitted["reached"].unique()
    if len(reached) == 1:
        all_reached = text.ratio(float(reached[0]))
        return f"all {len(fitted)} trials that can be fitted reached {all_reached}, whatever its value"
    if not own.tells:
        return (
            f"the relation is too weak: rank correlation {own.rho:.2f} over {own.count} trials, which noise "
            f"alone would give in {text.percent(own.p_value, 0)} of the cases"
        )
    return ""


def _correlations(table: pd.DataFrame, config_columns: Sequence[str]) -> tuple[Correlation, ...]:
    """Rank correlations of every number that varied with what was reached, the largest first."""
    fitted = table[table["state"] == FITTED]
    fixed = ("trial", "seed", "state", "unpruned", "reached", "at_least")
    found = []
    for name in (column for column in table.columns if column not in fixed):
        numbers = pd.to_numeric(fitted[name], errors="coerce")
        own = fitted.assign(knob=numbers.astype(float)).dropna(subset=["knob"])
        if own["knob"].nunique() < 2:
            continue
        if own["reached"].nunique() < 2:
            found.append(Correlation(name, 0.0, 1.0, len(own)))
            continue
        result = stats.spearmanr(own["knob"], own["reached"])
        found.append(Correlation(name, float(result.statistic), float(result.pvalue), len(own)))
    return tuple(sorted(found, key=lambda one: -abs(one.rho)))


def _fitted(empty: Calibration, fitted: pd.DataFrame, targets: Sequence[float], rising: bool) -> Calibration:
    values = fitted[empty.by].to_numpy(dtype=float)
    log = bool((values > 0).all())
    x = np.log10(values) if log else values
    y = np.log10(fitted["reached"].to_numpy(dtype=float))
    curve = centred_isotonic(x, y, rising)
    residuals = np.abs(y - np.interp(x, curve.x, curve.y))
    wanted = np.log10(np.asarray(targets, dtype=float))
    low, high = intervals(x, y, rising, wanted) if len(targets) else (wanted, wanted)
    placed = tuple(
        _place(target, curve, fitted, x, (float(low[i]), float(high[i])), log)
        for i, target in enumerate(targets)
    )
    scatter = float(10.0 ** np.median(residuals))
    return replace(empty, curve=curve, log=log, scatter=scatter, placed=placed)


def _place(
    target: float, curve: Curve, fitted: pd.DataFrame, x: Floats, ends: tuple[float, float], log: bool
) -> Placed:
    """Read the curve at one target."""
    least, most = (10.0 ** float(end) for end in (curve.y.min(), curve.y.max()))
    at = float(curve.x_at(math.log10(target)))
    if math.isnan(at):
        side = (
            f"the curve begins at {least:.3g}x: less was not tried"
            if target < least
            else f"the curve ends at {most:.3g}x: more was not reached"
        )
        return Placed(target, reason=f"out of range, {side}")
    open_low, open_high = ends[0] <= x.min(), ends[1] >= x.max()
    if open_low and open_high:
        return Placed(target, reason="the trials leave it open over their whole range")
    near = fitted.iloc[np.argsort(np.abs(x - at), kind="stable")[:NEIGHBOURS]]
    value, low, high = (10.0**number if log else number for number in (at, *ends))
    unpruned = float(near["unpruned"].median())
    return Placed(target, value, low, high, bool(open_low), bool(open_high), unpruned)
