"""The first sentences of the report: who leads where, by how much, beyond the noise or not."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pandas as pd

from analysis import text
from analysis.noise import Comparison, difference_error
from analysis.pareto import Dense
from analysis.standing import Entry, Standing, standing
from analysis.tables import FOCUS, RATIOS
from analysis.wording import Wording
from rewa.metric import Metric

MAIN_RATIO = 100.0
"""The compression that is spoken of first."""


def main_ratio(ratios: Collection[float]) -> float:
    """The compression to speak of where one must do: 100x if it is there, else the largest."""
    return MAIN_RATIO if MAIN_RATIO in ratios else float(max(ratios))


def headline(
    points: pd.DataFrame,
    metric: Metric,
    *,
    ratios: Sequence[float] = RATIOS,
    dense: Dense | None = None,
    test_size: int | None = None,
) -> list[str]:
    """Write the headline.

    Args:
        points: What `best_attained` returned: one row per method and target ratio.
        metric: What is measured.
        ratios: The compressions to speak of.
        dense: The dense reference, named in the first sentence.
        test_size: Number of test examples, for the sampling error of a share; None when unknown.

    Returns:
        One sentence on the main ratio, then at most one on the other ratios.
    """
    words = Wording(metric)
    standings = {float(r): standing(points, float(r), metric, dense) for r in ratios}
    standings = {r: s for r, s in standings.items() if s.entries}
    if not standings:
        if points.empty:
            return ["No method completed a run, so there is nothing to compare."]
        targets = text.join([f"{r:.0f}x" for r in ratios])
        return [f"No method was measured on test at {targets}, so there is nothing to compare."]
    main = main_ratio(standings)
    sentences = [_main_sentence(standings.pop(main), dense, words, test_size)]
    if standings:
        groups: dict[tuple[str, ...], list[Standing]] = {}
        for other in standings.values():
            groups.setdefault(_kind(other), []).append(other)
        clauses = "; ".join(_group_clause(group, words) for group in groups.values())
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


def interval_text(comparison: Comparison, words: Wording) -> str:
    """Write `` (95 % interval -0.2 to +0.9 points)``; empty without an interval."""
    if comparison.beyond is None:
        return ""
    return f" (95 % interval of the lead {words.interval(comparison.low, comparison.high)})"


def _main_sentence(at: Standing, dense: Dense | None, words: Wording, test_size: int | None) -> str:
    top, metric = at.entries[0], words.metric
    references = []
    if dense is not None and not math.isnan(dense.test):
        references.append(f"dense: {words.value(dense.test)}")
    if not metric.is_share:
        references.append(f"{words.limit}: {words.reference(metric.ideal)}")
    reference = f" ({'; '.join(references)})" if references else ""
    reached = f"{words.value(top.mean)} test {metric.name}{reference}"
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
            f", {words.ahead(lead.difference, second.method)} "
            f"({seeds_text([top, second])}): {lead.verdict}{interval_text(lead, words)}"
            f"{_sampling_text(top, second, lead, test_size if metric.is_share else None)}"
        )
    focus = at.trailing_focus
    if focus is not None:
        gap = at.behind(focus)
        place = f"{text.ordinal(at.rank(focus))} of {len(at.entries)}"
        tail += (
            f"; {FOCUS} is {place} with {words.value(focus.mean)}, "
            f"{words.behind(gap.difference)}: {gap.verdict}"
        )
    if at.collapsed:
        tail += f"; no method {_lost(words)} there"
    return f"{head}{tail}."


def _lost(words: Wording) -> str:
    """What no method does where all have collapsed."""
    if words.metric.is_share:
        return f"keeps half of the dense {words.metric.name}"
    return f"beats {words.no_skill} ({words.reference(words.metric.chance)})"


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


def _group_clause(group: Sequence[Standing], words: Wording) -> str:
    """Tell ratios of one kind in one clause."""
    one = group[0]
    ratios = text.join([f"{at.ratio:.0f}x" for at in group])
    reached = text.in_turn([words.value(at.entries[0].mean) for at in group])
    if one.collapsed:
        tops = [text.join([entry.method for entry in at.tied]) for at in group]
        best = "; ".join(
            f"{top} {words.value(at.entries[0].mean)}" for top, at in zip(tops, group, strict=True)
        )
        return f"at {ratios} no method {_lost(words)} (best: {best})"
    if len(one.entries) == 1:
        return f"at {ratios} only {one.entries[0].method} has results ({reached})"
    if len(one.tied) > 1:
        clause = f"at {ratios} {text.join([e.method for e in one.tied])} tie ({reached})"
    else:
        leads = text.in_turn([words.size(at.lead.difference) for at in group])
        clause = (
            f"at {ratios} {one.entries[0].method} leads {one.entries[1].method} by {leads}{words.points} "
            f"({reached}; {one.lead.verdict})"
        )
    focus = one.trailing_focus
    if focus is None:
        return clause
    gaps = [at.behind(e).difference for at in group for e in at.entries if e.method == FOCUS]
    places = f"{text.ordinal(one.rank(focus))} of {len(one.entries)}"
    return f"{clause}, {FOCUS} is {places}, {words.behind(*gaps)} ({one.behind(focus).verdict})"
