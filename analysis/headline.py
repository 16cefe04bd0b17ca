"""The first sentences of the report: who leads where, by how much, beyond the noise or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.noise import EQUAL, Comparison, compare, difference_error
from analysis.pareto import Dense
from analysis.questions import RATIOS
from analysis.tables import FOCUS, order_methods

MAIN_RATIO = 100


@dataclass(frozen=True)
class Entry:
    """One method at one ratio: its chosen setting's test accuracies, one per seed."""

    method: str
    mean: float
    values: tuple[float, ...]
    confirmed: bool


@dataclass(frozen=True)
class Standing:
    """The methods at one ratio, best test mean first; `half` is half of the dense accuracy."""

    ratio: float
    entries: tuple[Entry, ...]
    half: float = 0.0

    @property
    def collapsed(self) -> bool:
        """Whether even the best network has lost most of what a dense one knows."""
        return self.entries[0].mean < self.half

    @property
    def tied(self) -> tuple[Entry, ...]:
        """The entries that share the first place."""
        best = self.entries[0].mean
        return tuple(entry for entry in self.entries if best - entry.mean < EQUAL)

    @property
    def lead(self) -> Comparison:
        """The first against the second."""
        return compare(self.entries[0].values, self.entries[1].values)

    def behind(self, entry: Entry) -> Comparison:
        """The first against `entry`."""
        return compare(self.entries[0].values, entry.values)

    @property
    def trailing_focus(self) -> Entry | None:
        """The focus method where the first two (or the tied) do not already name it."""
        named = {entry.method for entry in (*self.entries[:2], *self.tied)}
        if FOCUS in named:
            return None
        return next((entry for entry in self.entries if entry.method == FOCUS), None)

    def rank(self, entry: Entry) -> int:
        """Place of `entry`, counted from 1; equal means share a place."""
        return 1 + sum(other.mean > entry.mean + EQUAL for other in self.entries)


def standing(points: pd.DataFrame, ratio: float, dense: Dense | None = None) -> Standing:
    """Rank the methods at a target ratio by the test mean of the setting chosen on validation.

    Args:
        points: What `best_attained` returned.
        ratio: Target ratio.
        dense: The dense reference, to tell a collapse.
    """
    rows = points[(points["value"] == ratio) & points["test_accuracy_mean"].notna()]
    by_method = {str(row["method"]): row for row in rows.to_dict("records")}
    entries = []
    for method in order_methods(by_method):
        row = by_method[method]
        values, mean = tuple(row["test_values"]), float(row["test_accuracy_mean"])
        entries.append(Entry(method, mean, values, row["phase"] == "confirm"))
    half = 0.0 if dense is None or math.isnan(dense.test) else dense.test / 2.0
    return Standing(ratio, tuple(sorted(entries, key=lambda entry: -entry.mean)), half)


def headline(
    points: pd.DataFrame,
    *,
    dense: Dense | None = None,
    metric: str = "accuracy",
    test_size: int | None = None,
) -> list[str]:
    """Write the headline.

    Args:
        points: What `best_attained` returned: one row per method and target ratio.
        dense: The dense reference, named in the first sentence.
        metric: What is measured.
        test_size: Number of test examples, for the sampling error; None when unknown.

    Returns:
        One sentence on the main ratio, then at most one on the other ratios.
    """
    standings = {r: standing(points, float(r), dense) for r in RATIOS}
    standings = {r: s for r, s in standings.items() if s.entries}
    if not standings:
        if points.empty:
            return ["No method completed a run, so there is nothing to compare."]
        targets = text.join([f"{r}x" for r in RATIOS])
        return [f"No method was measured on test at {targets}, so there is nothing to compare."]
    main = MAIN_RATIO if MAIN_RATIO in standings else max(standings)
    sentences = [_main_sentence(standings.pop(main), dense, metric, test_size)]
    if standings:
        groups: dict[tuple[str, ...], list[Standing]] = {}
        for other in standings.values():
            groups.setdefault(_kind(other), []).append(other)
        clauses = "; ".join(_group_clause(group, metric) for group in groups.values())
        sentences.append(f"A{clauses[1:]}.")
    return sentences


def seeds_text(entries: Sequence[Entry]) -> str:
    """Write ``3 seeds each``, ``1 seed``, ``3 and 2 seeds``, and whether a run is unconfirmed."""
    counts = [len(entry.values) for entry in entries]
    note = "" if all(entry.confirmed for entry in entries) else ", not confirmed"
    if len(set(counts)) > 1:
        return f"{text.join([str(count) for count in counts])} seeds{note}"
    noun = "seed" if counts[0] == 1 else "seeds"
    return f"{counts[0]} {noun}{' each' if len(counts) > 1 else ''}{note}"


def interval_text(comparison: Comparison) -> str:
    """Write `` (95 % interval -0.2 to +0.9 points)``; empty without an interval."""
    if comparison.beyond is None:
        return ""
    low, high = 100.0 * comparison.low, 100.0 * comparison.high
    return f" (95 % interval of the lead {low:+.1f} to {high:+.1f} points)"


def _main_sentence(at: Standing, dense: Dense | None, metric: str, test_size: int | None) -> str:
    top = at.entries[0]
    reference = ""
    if dense is not None and not math.isnan(dense.test):
        reference = f" (dense: {text.percent(dense.test)})"
    reached = f"{text.percent(top.mean)} test {metric}{reference}"
    if len(at.entries) == 1:
        head = f"At {at.ratio:.0f}x compression {top.method}, the only method with results there,"
        tail = f" reaches {reached} ({seeds_text([top])})"
    elif len(at.tied) > 1:
        names = text.join([entry.method for entry in at.tied])
        head = f"At {at.ratio:.0f}x compression {names} tie at {reached}"
        tail = f" ({seeds_text(at.tied)})"
    else:
        second = at.entries[1]
        lead = at.lead
        head = f"At {at.ratio:.0f}x compression {top.method} leads with {reached}"
        tail = (
            f", {text.points(lead.difference)} points ahead of {second.method} "
            f"({seeds_text([top, second])}): {lead.verdict}{interval_text(lead)}"
            f"{_sampling_text(top, second, lead, test_size)}"
        )
    focus = at.trailing_focus
    if focus is not None:
        gap = at.behind(focus)
        place = f"{text.ordinal(at.rank(focus))} of {len(at.entries)}"
        tail += (
            f"; {FOCUS} is {place} with {text.percent(focus.mean)}, "
            f"{text.points(gap.difference)} points behind: {gap.verdict}"
        )
    if at.collapsed:
        tail += f"; no method keeps half of the dense {metric} there"
    return f"{head}{tail}."


def _sampling_text(a: Entry, b: Entry, lead: Comparison, test_size: int | None) -> str:
    """Qualify a lead beyond the seed noise that another test split could still undo."""
    if not lead.beyond or not test_size:
        return ""
    error = difference_error(a.mean, b.mean, test_size)
    if lead.difference >= error:
        return ""
    return (
        f", but less than the up to ±{text.points(error)} points "
        f"that {text.number(test_size)} test examples leave open"
    )


def _kind(at: Standing) -> tuple[str, ...]:
    """What two ratios must share to be told in one clause."""
    if at.collapsed:
        return ("collapsed",)
    if len(at.entries) == 1:
        return ("alone", at.entries[0].method)
    if len(at.tied) > 1:
        shared = ("tie", *(entry.method for entry in at.tied))
    else:
        shared = ("lead", at.entries[0].method, at.entries[1].method, at.lead.verdict)
    focus = at.trailing_focus
    if focus is None:
        return shared
    return (*shared, str(at.rank(focus)), str(len(at.entries)), at.behind(focus).verdict)


def _group_clause(group: Sequence[Standing], metric: str) -> str:
    """Tell ratios of one kind in one clause."""
    one = group[0]
    ratios = text.join([f"{at.ratio:.0f}x" for at in group])
    reached = text.join([text.percent(at.entries[0].mean) for at in group])
    if one.collapsed:
        tops = [text.join([entry.method for entry in at.tied]) for at in group]
        best = "; ".join(
            f"{top} {text.percent(at.entries[0].mean)}" for top, at in zip(tops, group, strict=True)
        )
        return f"at {ratios} no method keeps half of the dense {metric} (best: {best})"
    if len(one.entries) == 1:
        return f"at {ratios} only {one.entries[0].method} has results ({reached})"
    if len(one.tied) > 1:
        clause = f"at {ratios} {text.join([e.method for e in one.tied])} tie ({reached})"
    else:
        leads = text.join([text.points(at.lead.difference) for at in group])
        clause = (
            f"at {ratios} {one.entries[0].method} leads {one.entries[1].method} by {leads} points "
            f"({reached}; {one.lead.verdict})"
        )
    focus = one.trailing_focus
    if focus is None:
        return clause
    gaps = [at.behind(e).difference for at in group for e in at.entries if e.method == FOCUS]
    places = f"{text.ordinal(one.rank(focus))} of {len(one.entries)}"
    return (
        f"{clause}, {FOCUS} is {places}, {text.join([text.points(gap) for gap in gaps])} points "
        f"behind ({one.behind(focus).verdict})"
    )
