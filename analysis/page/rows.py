"""The tables of the report page, as rows of texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import text
from analysis.caveats import searched
from analysis.chosen import in_use
from analysis.evidence.fronts import method_fronts
from analysis.hypervolume import (
    box_end,
    hypervolume_table,
    ranking_note,
    references,
)
from analysis.page.notes import excess_note, hypervolume_note
from analysis.questions import Question
from analysis.standing import standing
from analysis.summary import Summary
from analysis.tables import section


def question_block(
    question: Question, summary: Summary, anchors: dict[tuple[str, str], str]
) -> dict[str, Any]:
    """One question: a row per method, the best one marked."""
    table = summary.answers[summary.answers["question"] == question.name]
    at_ratio = question.ratio is not None
    measure = table["test_metric_mean"] if at_ratio else table["compression"]
    known = measure.dropna().tolist()
    best = math.nan
    if known:
        best = summary.metric.best(known) if at_ratio else max(known)
    words = summary.words
    rows = []
    for row in table.to_dict("records"):
        able = int(row["seeds"]) > 0
        rows.append(
            {
                "method": row["method"],
                "able": able,
                "best": able and bool(row[measure.name] == best),
                "val": words.mean_std(row["val_metric"], math.nan),
                "test": words.mean_std(row["test_metric_mean"], row["test_metric_std"]),
                "compression": text.ratio(row["compression"]),
                "compression_total": text.ratio(row["compression_total"]),
                "seeds": int(row["seeds"]),
                "trial": row["trial"] if able else "",
                "anchor": anchors.get((row["method"], row["trial"]), ""),
                "setting": text.setting(text.config_of(row, summary.record.config_columns)),
            }
        )
    measured = question.ratio is None or bool((summary.settings["value"] == question.ratio).any())
    note = excess_note(question, summary)
    names = {"title": question.title, "name": question.name, "note": note}
    return {**names, "rows": rows, "measured": measured}


def ratio_rows(summary: Summary) -> list[dict[str, Any]]:
    """Per target ratio, every method's test accuracy; the best, and those the seeds leave equal."""
    rows = []
    for ratio in sorted(summary.points["value"].unique()):
        at = standing(summary.points, float(ratio), summary.metric)
        here = summary.points[summary.points["value"] == ratio].set_index("method")
        cells = {}
        for entry in at.entries:
            first, gap = entry in at.tied, at.behind(entry)
            cells[entry.method] = {
                "text": summary.words.mean_std(entry.mean, float(here.loc[entry.method, "test_metric_std"])),
                "best": first,
                "equal": not (first or gap.deterministic or gap.beyond) and math.isfinite(gap.difference),
                "seeds": len(entry.values),
            }
        rows.append({"ratio": f"{ratio:g}x", "cells": cells})
    return rows


def numbered_front(summary: Summary) -> pd.DataFrame:
    """The Pareto front over all methods, as `method_fronts` finds it, with a ``number`` from 1 up."""
    fronts = method_fronts(summary)
    front = fronts[fronts["on_overall"].astype(bool)].sort_values("compression", kind="stable")
    return front.assign(number=range(1, len(front) + 1)).reset_index(drop=True)


def front_rows(
    front: pd.DataFrame, summary: Summary, links: Mapping[tuple[str, str], str]
) -> list[dict[str, Any]]:
    """The points of `numbered_front` as texts."""
    return [
        {
            "number": row["number"],
            "link": links.get((row["method"], row["trial"]), ""),
            "method": row["method"],
            "trial": row["trial"],
            "compression": text.ratio(row["compression"]),
            "val": summary.words.mean_std(row["val_metric"], math.nan),
            "test": summary.words.mean_std(row["test_metric_mean"], row["test_metric_std"]),
            "setting": text.setting(text.config_of(row, summary.record.config_columns)),
        }
        for row in front.to_dict("records")
    ]


def search_rows(summary: Summary) -> list[dict[str, Any]]:
    """Per method: what the search spent, and what became of it."""
    runs = summary.record.runs
    search = searched(runs)
    used = in_use(runs, summary.record.meta)
    confirm = used[used["phase"] == "confirm"]
    rows = []
    for method in summary.methods:
        own = search[search["method"] == method]
        again = confirm[confirm["method"] == method]
        status = own["status"].value_counts()
        scores = own["score"].astype(float).fillna(0.0)
        rows.append(
            {
                "method": method,
                "trials": len(own),
                "completed": int(status.get("completed", 0)),
                "diverged": int(status.get("diverged", 0)),
                "failed": int(status.get("failed", 0)),
                "best": f"{scores.max():.3f}" if len(own) else text.DASH,
                "median": f"{scores.median():.3f}" if len(own) else text.DASH,
                "seconds": text.duration(float(own["seconds"].sum())),
                "confirm": _confirm_text(again),
            }
        )
    return rows


def hypervolume_block(summary: Summary) -> dict[str, Any]:
    """Hypervolume per method and reference value."""
    metric, words = summary.metric, summary.words
    cap = box_end(summary.record.meta, summary.points)
    own = section(summary.record.meta, "objective").get("reference")
    methods = [m for m in summary.methods if m in set(summary.points["method"])]
    table = hypervolume_table(summary.points, methods, references(metric, own), cap, metric)
    table = table.loc[:, (table > 0.0).any()]
    rows = [
        {
            "method": method,
            "cells": [
                {"text": f"{value:.3f}", "best": bool(value > 0.0 and value == table[ref].max())}
                for ref, value in row.items()
            ],
        }
        for method, row in table.iterrows()
    ]
    labels = [words.reference(float(str(ref))) + (" (objective)" if ref == own else "") for ref in table]
    note = f"{ranking_note(table, metric)} {hypervolume_note(summary, cap)}"
    return {"rows": rows, "references": labels, "note": note}


def _confirm_text(again: pd.DataFrame) -> str:
    if again.empty:
        return text.DASH
    return f"{int((again['status'] == 'completed').sum())} of {len(again)}"
