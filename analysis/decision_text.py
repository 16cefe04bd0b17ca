"""A decision in sentences, for `rewa best`; the ranking on test is told in the report's words."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis import text
from analysis.decision import Decision, unfinished
from analysis.headline import headline
from analysis.noise import EQUAL
from analysis.pareto import Dense
from analysis.questions import allowed, attained
from analysis.standing import standing
from analysis.summary import Summary
from analysis.torn import torn_text

Row = Mapping[Hashable, Any]


def sentences(decision: Decision) -> list[str]:
    """What was decided, then how the methods rank on test there, in the report's words."""
    if decision.answers.empty:
        return [_no_answer(decision)]
    row = decision.answers.iloc[0].to_dict()
    if decision.question.ratio is not None:
        told = [_at_ratio(decision, row)]
    else:
        told = [_within_loss(decision, row)]
    return told + _ranking(decision, row)


def notes(decision: Decision) -> list[str]:
    """What qualifies the answer: another target, numbers that were selected on, a sweep that goes on."""
    summary, found = decision.summary, []
    if decision.asked is not None:
        found.append(
            f"{decision.asked:g}x was not measured; the answer is at {decision.question.ratio:g}x, the next "
            "larger target that was."
        )
    if summary.recalibrated:
        found.append("All values are after batch-norm recalibration of the pruned models.")
    if told := unfinished(summary.record):
        found.append(told)
    absent = [name for name in decision.unable if name not in set(summary.settings["method"])]
    if absent:
        found.append(f"No completed run: {text.join(absent)}.")
    bare = decision.answers[decision.answers["phase"] != "confirm"]["method"].tolist()
    if bare:
        found.append(
            f"Not confirmed on fresh seeds: {text.join(bare)}. These numbers come from the runs that were "
            "selected on, so they are partly luck."
        )
    rows = decision.answers.to_dict("records")
    found += filter(None, (torn_text(row, summary.points, summary.metric) for row in rows))
    return found


def reached(row: Row, summary: Summary) -> str:
    """Write what a setting reaches on test: ``96.6 ± 0.3 % on test (3 seeds, 96.4 to 96.9 %)``."""
    words, values = summary.words, [float(value) for value in row["test_values"]]
    if not values:
        return "no value on test"
    mean = words.mean_std(float(row["test_metric_mean"]), float(row["test_metric_std"]))
    unit = " %" if summary.metric.is_share else ""
    seeds = f"{len(values)} {'seed' if len(values) == 1 else 'seeds'}"
    alike = len({words.value(value) for value in values}) == 1
    spread = f", {'all ' if alike else ''}{words.span(values)}" if len(values) > 1 else ""
    bare = "" if row["phase"] == "confirm" else ", not confirmed"
    return f"{mean}{unit} on test ({seeds}{spread}{bare})"


def extremes(row: Row, summary: Summary) -> str:
    """Write the least and the largest test value over the seeds: ``96.4 to 96.9 %``."""
    values = [float(value) for value in row["test_values"]]
    if not values:
        return text.DASH
    return summary.words.span(values)


def _at_ratio(decision: Decision, row: Row) -> str:
    summary = decision.summary
    words, metric = summary.words, summary.metric
    best = f"the best {_of(decision)} on validation ({words.value(row['val_metric'])})"
    if len(_equal(decision)) > 1:
        best = f"on validation one of {len(_equal(decision))} equally good ({words.value(row['val_metric'])})"
    limit = f"; {words.limit}: {words.reference(metric.ideal)}" if not metric.is_share else ""
    return (
        f"At {decision.question.ratio:g}x use {row['method']} ({row['trial']}), {best}: "
        f"{reached(row, summary)}{_dense(summary.dense, summary)}{limit}."
    )


def _within_loss(decision: Decision, row: Row) -> str:
    summary, question = decision.summary, decision.question
    words = summary.words
    goal = question.title[0].lower() + question.title[1:]
    bound = allowed(question, summary.metric, summary.dense, attained(summary.settings, summary.metric))
    assert bound is not None
    told = (
        f"Use {row['method']} ({row['trial']}) at {row['value']:g}x, the {goal} "
        f"(validation {words.value(row['val_metric'])}, allowed {words.value(bound)}): "
        f"{reached(row, summary)}{_dense(summary.dense, summary)}"
    )
    if row["value"] == 1.0:
        told += "; that is without any pruning: no method keeps so much when pruned"
    others = decision.answers.iloc[1:]
    if len(others):
        following = others.iloc[0]
        told += f". Next is {following['method']} with {following['value']:g}x"
    measured = set(summary.settings["method"])
    short = [name for name in decision.unable if name in measured]
    if short:
        told += f"; {text.join(short)} cannot at any compression"
    return f"{told}."


def _no_answer(decision: Decision) -> str:
    summary, question, words = decision.summary, decision.question, decision.summary.words
    who = f"No setting of {decision.methods[0]}" if len(decision.methods) == 1 else "No method"
    if decision.nearest.empty:
        return f"{who} has any result, so there is no answer."
    row = decision.nearest.iloc[0].to_dict()
    near = f"{row['method']} ({row['trial']}) at {row['value']:g}x"
    if question.ratio is not None:
        gives = reached(row, summary)
        return f"{who} was measured at {question.ratio:g}x; the best elsewhere is {near}: {gives}."
    best = attained(summary.settings, summary.metric)
    bound = allowed(question, summary.metric, summary.dense, best)
    if bound is None:
        return f"{who} can be judged: the sweep has no dense reference, so a drop has no start."
    start = summary.dense.val if question.drop is not None and summary.dense is not None else best
    assert start is not None
    gap = words.behind(summary.metric.gain(start, float(row["val_metric"])))
    of = "dense" if question.drop is not None else "the best attained"
    return (
        f"{who} stays within that: validation {words.value(bound)} is allowed, the nearest is {near} with "
        f"{words.value(row['val_metric'])}, {gap} {of} ({words.value(start)}); {reached(row, summary)}."
    )


def _ranking(decision: Decision, row: Row) -> list[str]:
    """How all methods rank on test at the target, and whether another than the one to take is ahead."""
    summary, target = decision.summary, float(row["value"])
    at = standing(summary.points, target, summary.metric, summary.dense)
    if not at.entries:
        return []
    told = headline(
        summary.points,
        summary.metric,
        ratios=(target,),
        dense=summary.dense,
        test_size=summary.test_size,
    )[:1]
    told[0] = f"On test, all methods: {told[0][0].lower()}{told[0][1:]}"
    first, own = at.entries[0], float(row["test_metric_mean"])
    alone = len(decision.methods) == 1
    if not alone and first.method != row["method"] and summary.metric.gain(first.mean, own) > EQUAL:
        told.append(
            f"{first.method} is ahead on test, but what is taken is chosen on validation: chosen on test, "
            f"its test number would be the best of several. For its setting add --method {first.method}."
        )
    return told


def _equal(decision: Decision) -> pd.DataFrame:
    """The answers that are as good on validation as the first."""
    values = decision.answers["val_metric"].astype(float)
    return decision.answers[(values - values.iloc[0]).abs() < EQUAL]


def _of(decision: Decision) -> str:
    count = len(decision.methods)
    return f"setting of {decision.methods[0]}" if count == 1 else f"of {count} methods"


def _dense(dense: Dense | None, summary: Summary) -> str:
    if dense is None or pd.isna(dense.test):
        return ""
    return f"; dense: {summary.words.value(dense.test)}"
