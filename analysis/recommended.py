"""The table to decide from: per question the setting to take, what it gives, and how sure that is.

The setting to take is the best on validation over all methods, as `rewa best` says it (`analysis.decision`);
how it ranks among the methods on test is told beside it and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.noise import EQUAL
from analysis.questions import Question, answer
from analysis.standing import standing
from analysis.summary import Summary
from analysis.tables import FOCUS

Row = Mapping[Hashable, object]
MINUS = "\u2212"


@dataclass(frozen=True)
class Choice:
    """A setting that answers a question, in words.

    Attributes:
        goal: What is best, and at what; the same for questions of a kind.
        question: What was asked, short.
        method: Whose setting it is.
        trial: Its name; empty where no setting of the method gets there.
        setting: Its hyper-parameters, to be read.
        test: Mean and spread on test.
        seeds: Number of its seeds.
        compression: The actual compression of prunable weights.
        change: Test mean minus that of dense, signed; empty without a dense reference.
        verdict: How it stands on test against the other methods, or, for a loss, by compression.
        taken: Whether it is the setting to take; else it is the focus method's own answer.
    """

    goal: str
    question: str
    method: str
    trial: str = ""
    setting: str = ""
    test: str = text.DASH
    seeds: int = 0
    compression: str = text.DASH
    change: str = ""
    verdict: str = ""
    taken: bool = True


def recommended(summary: Summary) -> list[Choice]:
    """One choice per question, and the focus method's where it is another's.

    Args:
        summary: What `summarise` returned.

    Returns:
        In the order of the questions; none for a question about a ratio that was not measured.
    """
    found = []
    for question in summary.questions:
        rows = answer(question, summary.settings, summary.metric, summary.dense)
        if question.ratio is not None and rows.empty:
            continue
        title = goal_of(question, summary), short_title(question, summary)
        if rows.empty:
            found.append(Choice(*title, "", verdict="no setting of any method gets there"))
            continue
        best = rows.iloc[0].to_dict()
        found.append(_choice(title, best, _verdict(question, rows, best, summary), summary, taken=True))
        if FOCUS not in summary.methods or best["method"] == FOCUS:
            continue
        own = rows[rows["method"] == FOCUS]
        if own.empty:
            found.append(Choice(*title, FOCUS, verdict="no setting of it gets there", taken=False))
        else:
            row = own.iloc[0].to_dict()
            verdict = _focus_verdict(question, row, best, summary)
            found.append(_choice(title, row, verdict, summary, taken=False))
    return found


def goal_of(question: Question, summary: Summary) -> str:
    """What a question wants, without its number."""
    if question.ratio is not None:
        return f"{summary.words.best} at a compression"
    of = "dense" if question.drop is not None else f"the best {summary.metric.name} attained"
    return f"Most compression within a distance of {of}, both on validation"


def short_title(question: Question, summary: Summary) -> str:
    """A question in the fewest words: ``100x``, ``within 1 point``."""
    if question.ratio is not None:
        return f"{question.ratio:g}x"
    if question.drop is not None:
        return f"within {question.drop:g} {'point' if question.drop == 1.0 else 'points'}"
    assert question.excess is not None
    span = summary.metric.gain(summary.metric.ideal, summary.metric.chance)
    return f"within {question.excess * span:.4g}"


def _choice(title: tuple[str, str], row: Row, verdict: str, summary: Summary, *, taken: bool) -> Choice:
    words, dense = summary.words, summary.dense
    mean, std = (_number(row[f"test_metric_{part}"]) for part in ("mean", "std"))
    change = ""
    if dense is not None and math.isfinite(dense.test) and math.isfinite(mean):
        change = words.size(mean - dense.test)
        if abs(mean - dense.test) >= EQUAL:
            change = f"{'+' if mean > dense.test else MINUS}{change}"
    config = text.config_of(row, summary.record.config_columns)
    return Choice(
        goal=title[0],
        question=title[1],
        method=str(row["method"]),
        trial=str(row["trial"]),
        setting=text.setting(config),
        test=words.mean_std(mean, std),
        seeds=int(_number(row["seeds"])),
        compression=text.ratio(_number(row["compression"])),
        change=change,
        verdict=verdict,
        taken=taken,
    )


def _verdict(question: Question, rows: pd.DataFrame, best: Row, summary: Summary) -> str:
    """How the setting to take stands: on test at its target and, for a loss, by compression."""
    on_test = _on_test(best, summary)
    if question.ratio is not None:
        return on_test
    others = rows.iloc[1:]
    if others.empty:
        return "no other method gets there"
    same = others[others["value"] == best["value"]]["method"].tolist()
    if same:
        verb = "gets" if len(same) == 1 else "get"
        return f"{text.join(same)} {verb} there too; on test {on_test}"
    following = others.iloc[0]
    return f"next is {following['method']} with {following['value']:g}x"


def _on_test(row: Row, summary: Summary) -> str:
    """Whether the setting to take is first on test among the methods at its target."""
    words = summary.words
    at = standing(summary.points, _number(row["value"]), summary.metric, summary.dense)
    own = next((entry for entry in at.entries if entry.method == row["method"]), None)
    if own is None:
        return "no value on test"
    if len(at.entries) == 1:
        return "the only method with results there"
    if own in at.tied:
        rivals = [entry.method for entry in at.tied if entry is not own]
        if rivals:
            return f"ties with {text.join(rivals)}"
        return f"{words.ahead(at.lead.difference, at.entries[1].method)}: {at.lead.verdict}"
    gap = at.behind(own)
    first = at.entries[0].method
    return f"{first} is {words.size(gap.difference)}{words.points} better: {gap.verdict}"


def _focus_verdict(question: Question, row: Row, best: Row, summary: Summary) -> str:
    """How the focus method's answer stands against the setting to take."""
    if question.ratio is None and row["value"] != best["value"]:
        return f"{_number(row['value']):g}x instead of {_number(best['value']):g}x"
    at = standing(summary.points, _number(row["value"]), summary.metric, summary.dense)
    own = next((entry for entry in at.entries if entry.method == FOCUS), None)
    if own is None:
        return "no value on test"
    place = f"{text.ordinal(at.rank(own))} of {len(at.entries)} on test"
    if own in at.tied:
        return place
    gap = at.behind(own)
    return f"{place}, {summary.words.behind(gap.difference)}: {gap.verdict}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
