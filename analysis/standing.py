"""The methods at one compression, ranked on test: who is first, who ties, who is how far behind."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from analysis.noise import EQUAL, Comparison, compare
from analysis.pareto import Dense
from analysis.tables import FOCUS, is_solver, order_methods
from rewa.metric import Metric


@dataclass(frozen=True)
class Entry:
    """One method at one ratio: its chosen setting's test values, one per seed."""

    method: str
    mean: float
    values: tuple[float, ...]
    confirmed: bool


@dataclass(frozen=True)
class Standing:
    """The methods at one ratio, best test mean first.

    Attributes:
        ratio: Target ratio.
        entries: The methods that have test values there; equal means in display order.
        metric: What is measured.
        half: Half of the dense share, to tell a collapse; 0 without a dense reference.
    """

    ratio: float
    entries: tuple[Entry, ...]
    metric: Metric
    half: float = 0.0

    @property
    def collapsed(self) -> bool:
        """Whether even the best has lost most of what a dense network knows, or has no skill at all."""
        best = self.entries[0].mean
        if self.metric.is_share:
            return best < self.half
        return not self.metric.better(best, self.metric.chance)

    @property
    def tied(self) -> tuple[Entry, ...]:
        """The entries that share the first place."""
        best = self.entries[0].mean
        return tuple(e for e in self.entries if e.mean == best or abs(best - e.mean) < EQUAL)

    @property
    def lead(self) -> Comparison:
        """The first against the second."""
        return self.behind(self.entries[1])

    def behind(self, entry: Entry) -> Comparison:
        """The first against `entry`."""
        first = self.entries[0]
        found = compare(first.values, entry.values, self.metric)
        constant = all(
            is_solver(e.method) and len(e.values) > 1 and max(e.values) - min(e.values) < EQUAL
            for e in (first, entry)
        )
        return replace(found, deterministic=constant)

    @property
    def trailing_focus(self) -> Entry | None:
        """The focus method where the first two (or the tied) do not already name it."""
        named = {entry.method for entry in (*self.entries[:2], *self.tied)}
        if FOCUS in named:
            return None
        return next((entry for entry in self.entries if entry.method == FOCUS), None)

    def rank(self, entry: Entry) -> int:
        """Place of `entry`, counted from 1; equal means share a place."""
        return 1 + sum(self.metric.gain(other.mean, entry.mean) > EQUAL for other in self.entries)


def standing(points: pd.DataFrame, ratio: float, metric: Metric, dense: Dense | None = None) -> Standing:
    """Rank the methods at a target ratio by the test mean of the setting chosen on validation.

    Args:
        points: What `best_attained` returned.
        ratio: Target ratio.
        metric: What is measured.
        dense: The dense reference, to tell a collapse.
    """
    rows = points[(points["value"] == ratio) & points["test_metric_mean"].notna()]
    by_method = {str(row["method"]): row for row in rows.to_dict("records")}
    entries = []
    for method in order_methods(by_method):
        row = by_method[method]
        values, mean = tuple(row["test_values"]), float(row["test_metric_mean"])
        entries.append(Entry(method, mean, values, row["phase"] == "confirm"))
    half = 0.0 if dense is None or math.isnan(dense.test) else dense.test / 2.0
    ranked = sorted(entries, key=lambda entry: -metric.gain(entry.mean, 0.0))
    return Standing(ratio, tuple(ranked), metric, half)
