"""What a user asks of a sweep, answered per method: chosen on validation, reported on test."""

from __future__ import annotations

from collections.abc import Hashable
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
)
from analysis.tables import order_methods

RATIOS = (10, 50, 100, 200)
DROPS = (0.5, 1.0, 2.0)
PARETO_COLUMNS = (
    "method",
    "question",
    "val_accuracy",
    "test_accuracy_mean",
    "test_accuracy_std",
    "compression",
    "seeds",
    "trial",
)


@dataclass(frozen=True)
class Question:
    """One thing to ask of a method.

    Attributes:
        name: As it stands in pareto.csv.
        title: As it stands on the page.
        ratio: Target ratio at which accuracy is wanted, or None.
        drop: Loss against dense, in percentage points, for which compression is wanted, or None.
    """

    name: str
    title: str
    ratio: float | None = None
    drop: float | None = None


QUESTIONS = (
    *(Question(f"accuracy@{r}x", f"Best accuracy at {r}x compression", ratio=float(r)) for r in RATIOS),
    *(
        Question(f"compression@drop{d}", f"Most compression within {d} points of dense", drop=d)
        for d in DROPS
    ),
)


def answer(question: Question, settings: pd.DataFrame, dense: Dense | None) -> pd.DataFrame:
    """Answer one question for every method in `settings`.

    Args:
        question: What is asked.
        settings: What `mean_frontier` returned for ratios.
        dense: The dense reference; without it no question about a drop has an answer.

    Returns:
        Rows of `settings`, at most one per method: none for a method that cannot.
    """
    if question.ratio is not None:
        able = best_first(settings[settings["value"] == question.ratio])
    elif question.drop is not None and dense is not None:
        floor = round(dense.val - question.drop / 100.0, DIGITS)
        able = best_first(settings[settings["val_accuracy"].round(DIGITS) >= floor])
        able = able.sort_values("value", ascending=False, kind="stable")
    else:
        able = settings.iloc[:0]
    return able.drop_duplicates("method")


def answers(settings: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Answer every question for every method.

    Args:
        settings: What `mean_frontier` returned for ratios.
        methods: Methods to answer for, in the order of the rows; some may have no settings.

    Returns:
        One row per method and question: ``question`` and the columns of `settings`. A method that
        cannot has NaN numbers, no test values and 0 seeds.
    """
    dense = dense_reference(settings)
    rows: list[dict[Hashable, Any]] = []
    for question in QUESTIONS:
        found = answer(question, settings, dense).set_index("method", drop=False)
        for method in methods:
            if method in found.index:
                rows.append({"question": question.name, **found.loc[method].to_dict()})
            else:
                rows.append({"question": question.name, "method": method, "test_values": (), "seeds": 0})
    columns = ["question", *settings.columns] if len(settings.columns) else list(SETTING_COLUMNS)
    return pd.DataFrame(rows, columns=columns).astype({"seeds": int})


def pareto_table(
    frontier: pd.DataFrame, config_columns: list[str], methods: list[str] | None = None
) -> pd.DataFrame:
    """The table of pareto.csv.

    Args:
        frontier: The pooled frontier table of a sweep.
        config_columns: Hyper-parameter columns.
        methods: Methods to answer for; those of `frontier` when left out.

    Returns:
        One row per method and question, with `PARETO_COLUMNS` and the config columns.
    """
    names = order_methods(frontier["method"]) if methods is None else methods
    table = answers(mean_frontier(frontier, config_columns), names)
    return table[[*PARETO_COLUMNS, *config_columns]]
