"""What the report page says, as plain data for its template: no HTML here, no numbers there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import text
from analysis.caveats import caveats, searched
from analysis.chosen import in_use
from analysis.commands import commands
from analysis.facts import denominator, fairness
from analysis.hypervolume import (
    DEFAULT_MAX_COMPRESSION,
    hypervolume_table,
    ranking_note,
    references,
)
from analysis.merged import merged_rows
from analysis.notes import excess_note, front_note, hypervolume_note, noise_note, references_note
from analysis.pareto import gains, pareto_front
from analysis.questions import Question
from analysis.recalibration import collapse_notes, recalibration_block
from analysis.standing import standing
from analysis.summary import Summary
from analysis.tables import section


def context(summary: Summary, links: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Build the template's context, without the figures.

    Args:
        summary: What `summarise` returned.
        links: Addresses of the reports of merged sweeps, by name.
    """
    record = summary.record
    listed = commands(summary)
    anchors = {(row["method"], row["trial"]): row["anchor"] for row in listed}
    return {
        "name": record.name,
        "metric": summary.metric.name,
        "threshold_metric": summary.metric.name.capitalize()
        if summary.metric.is_share
        else f"Test {summary.metric.name}",
        "in_percent": ", in percent" if summary.metric.is_share else "",
        "headline": summary.headline,
        "caveats": caveats(record, summary.settings, summary.metric),
        "denominator": denominator(record.meta),
        "dense": summary.dense,
        "references_note": references_note(summary),
        "questions": [question_block(q, summary, anchors) for q in summary.questions],
        "commands": listed,
        "ratios": ratio_rows(summary),
        "ratio_methods": [m for m in summary.methods if m in set(summary.points["method"])],
        "noise_note": noise_note(summary),
        "recalibration": recalibration_block(summary),
        "collapse": collapse_notes(summary),
        "front": front_rows(summary),
        "front_note": front_note(summary),
        "search": search_rows(summary),
        "hypervolume": hypervolume_block(summary),
        "merged": merged_rows(record.meta, links or {}),
        "fairness": fairness(record, summary.metric),
        "space_text": record.meta.get("space_text") or "",
    }


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


def front_rows(summary: Summary) -> list[dict[str, Any]]:
    """Points on the Pareto front of validation metric and compression, over all methods.

    Errors no better than chance are left out: any network with enough zeros has those.
    """
    settings, metric = summary.settings, summary.metric
    usable = settings["compression"] < math.inf
    if not metric.is_share:
        usable &= gains(settings["val_metric"], metric) > metric.gain(metric.chance, 0.0)
    front = pareto_front(settings[usable], metric)
    return [
        {
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
        bad = runs[(runs["method"] == method) & (runs["status"] != "completed")]
        causes = bad["reason"].fillna("").str.replace(r" (in|until) epoch \d+$", "", regex=True)
        reasons = causes.replace("", "no reason recorded").value_counts()
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
                "reasons": [f"{reason} ({count})" for reason, count in reasons.items()],
            }
        )
    return rows


def hypervolume_block(summary: Summary) -> dict[str, Any]:
    """Hypervolume per method and reference value."""
    metric, words = summary.metric, summary.words
    objective = section(summary.record.meta, "objective")
    cap = float(objective.get("max_compression") or 0.0)
    if cap <= 1.0:
        targets = summary.points["value"]
        cap = float(targets.max()) if len(targets) else DEFAULT_MAX_COMPRESSION
    cap = cap if cap > 1.0 else DEFAULT_MAX_COMPRESSION
    own = objective.get("reference")
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
