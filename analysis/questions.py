"""What a user asks of a sweep, answered per method: chosen on validation, reported on test."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.pareto import (
    DIGITS,
    SETTING_COLUMNS,
    Dense,
    best_first,
    dense_reference,
    mean_frontier,
    rounded_gains,
)
from analysis.tables import RATIOS, order_methods
from analysis.wording import Wording
from rewa.metric import Metric

DROPS = (0.5, 1.0, 2.0)
EXCESSES = (0.01, 0.05, 0.1)
PARETO_COLUMNS = (
    "method",
    "question",
    "val_metric",
    "test_metric_mean",
    "test_metric_std",
    "compression",
    "seeds",
    "trial",
)


@dataclass(frozen=True)
class Question:
    """One thing to ask of a method; one of `ratio`, `drop` and `excess` is set.

    Attributes:
        name: As it stands in pareto.csv.
        title: As it stands on the page.
        ratio: Target ratio at which the best metric is wanted.
        drop: Loss against dense, in percentage points, for which compression is wanted.
        excess: The same for a metric that is no share: loss against the best that any setting attains on
            validation, as a share of the way from chance to ideal.
    """

    name: str
    title: str
    ratio: float | None = None
    drop: float | None = None
    excess: float | None = None


def questions(metric: Metric, ratios: Sequence[float] = RATIOS) -> tuple[Question, ...]:
    """Return what is asked of a sweep: the metric at some compressions, then compression at some loss.

    Args:
        metric: What is measured.
        ratios: Target ratios to ask about.
    """
    words = Wording(metric)
    at_ratios = [
        Question(f"{metric.name}@{_plain(r)}x", f"{words.best} at {_plain(r)}x compression", ratio=r)
        for r in ratios
    ]
    if metric.is_share:
        losses = [
            Question(f"compression@drop{d}", f"Most compression within {d} points of dense", drop=d)
            for d in DROPS
        ]
    else:
        span = metric.gain(metric.ideal, metric.chance)
        losses = [
            Question(
                f"compression@excess{share}",
                f"Most compression within {share * span:.4g} of the best validation {metric.name} attained",
                excess=share,
            )
            for share in EXCESSES
        ]
    return (*at_ratios, *losses)


def attained(settings: pd.DataFrame, metric: Metric) -> float | None:
    """The best validation value any setting of any method reaches at any ratio; None without a finite one.

    It stands for the split's own noise floor, which differs from the nominal one by the luck of the split
    and is shared by all methods.
    """
    values = settings["val_metric"].astype(float)
    finite = values[values.abs() < math.inf]
    return metric.best(finite.tolist()) if len(finite) else None


def allowed(question: Question, metric: Metric, dense: Dense | None, best: float | None) -> float | None:
    """The worst validation value that still answers a question about a loss; None if it has no answer.

    Args:
        question: What is asked.
        metric: What is measured.
        dense: The dense reference, for a drop.
        best: What `attained` returned, for an excess.
    """
    if question.drop is not None and dense is not None:
        start, loss = dense.val, question.drop / 100.0
    elif question.excess is not None and best is not None:
        start, loss = best, question.excess * metric.gain(metric.ideal, metric.chance)
    else:
        return None
    return start - loss if metric.direction == "max" else start + loss


def answer(question: Question, settings: pd.DataFrame, metric: Metric, dense: Dense | None) -> pd.DataFrame:
    """Answer one question for every method in `settings`.

    Args:
        question: What is asked.
        settings: What `mean_frontier` returned for ratios.
        metric: What is measured.
        dense: The dense reference; without it no question about a drop has an answer.

    Returns:
        Rows of `settings`, at most one per method: none for a method that cannot.
    """
    if question.ratio is not None:
        able = best_first(settings[settings["value"] == question.ratio], metric)
        return able.drop_duplicates("method")
    bound = allowed(question, metric, dense, attained(settings, metric))
    if bound is None:
        return settings.iloc[:0]
    floor = round(metric.gain(bound, 0.0), DIGITS)
    able = best_first(settings[rounded_gains(settings["val_metric"], metric) >= floor], metric)
    return able.sort_values("value", ascending=False, kind="stable").drop_duplicates("method")


def answers(
    settings: pd.DataFrame, methods: list[str], metric: Metric, ratios: Sequence[float] = RATIOS
) -> pd.DataFrame:
    """Answer every question for every method.

    Args:
        settings: What `mean_frontier` returned for ratios.
        methods: Methods to answer for, in the order of the rows; some may have no settings.
        metric: What is measured.
        ratios: Target ratios to ask about.

    Returns:
        One row per method and question: ``question`` and the columns of `settings`. A method that
        cannot has NaN numbers, no test values and 0 seeds.
    """
    dense = dense_reference(settings, metric)
    rows: list[dict[Hashable, Any]] = []
    for question in questions(metric, ratios):
        found = answer(question, settings, metric, dense).set_index("method", drop=False)
        for method in methods:
            if method in found.index:
                rows.append({"question": question.name, **found.loc[method].to_dict()})
            else:
                rows.append({"question": question.name, "method": method, "test_values": (), "seeds": 0})
    columns = ["question", *settings.columns] if len(settings.columns) else list(SETTING_COLUMNS)
    return pd.DataFrame(rows, columns=columns).astype({"seeds": int})


def pareto_table(
    frontier: pd.DataFrame,
    config_columns: list[str],
    metric: Metric,
    methods: list[str] | None = None,
    ratios: Sequence[float] = RATIOS,
) -> pd.DataFrame:
    """The table of pareto.csv, before its columns are named after the metric, from the raw frontier.

    Args:
        frontier: The pooled frontier table of a sweep.
        config_columns: Hyper-parameter columns.
        metric: What is measured.
        methods: Methods to answer for; those of `frontier` when left out.
        ratios: Target ratios to ask about.

    Returns:
        One row per method and question, with `PARETO_COLUMNS` and the config columns.
    """
    names = order_methods(frontier["method"]) if methods is None else methods
    table = answers(mean_frontier(frontier, config_columns, metric), names, metric, ratios)
    return table[[*PARETO_COLUMNS, *config_columns]]


def _plain(ratio: float) -> str:
    """Write a ratio in full: ``10``, ``10000``, ``2.5``."""
    return str(int(ratio)) if float(ratio).is_integer() else repr(ratio)
