"""What the report page says, as plain data for its template: no HTML here, no numbers there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import text
from analysis.caveats import caveats, searched
from analysis.facts import denominator, fairness
from analysis.headline import headline, standing
from analysis.hypervolume import (
    DEFAULT_MAX_COMPRESSION,
    REFERENCES,
    hypervolume_table,
    ranking_note,
)
from analysis.noise import sampling_error
from analysis.pareto import Dense, best_attained, dense_reference, mean_frontier, pareto_front
from analysis.questions import QUESTIONS, Question, answers
from analysis.tables import SweepRecord, all_methods, natural, section

WORKLOAD_UNKNOWN = "WORKLOAD"


@dataclass(frozen=True)
class Summary:
    """Everything the page is made of, computed once."""

    record: SweepRecord
    methods: list[str]
    settings: pd.DataFrame
    points: pd.DataFrame
    dense: Dense | None
    answers: pd.DataFrame

    @property
    def metric(self) -> str:
        """Name of what is measured."""
        return str(section(self.record.meta, "workload").get("metric") or "accuracy")

    @property
    def test_size(self) -> int | None:
        """Number of test examples; None when unknown or when the metric is no share of examples."""
        size = section(self.record.meta, "workload").get("test_size")
        return int(size) if size and self.metric == "accuracy" else None

    @property
    def headline(self) -> list[str]:
        """The first sentences."""
        return headline(
            self.points,
            dense=self.dense,
            metric=self.metric,
            test_size=self.test_size,
        )


def summarise(record: SweepRecord) -> Summary:
    """Compute what the page, the figures and pareto.csv share."""
    methods = all_methods(record)
    settings = mean_frontier(record.frontier, record.config_columns)
    return Summary(
        record=record,
        methods=methods,
        settings=settings,
        points=best_attained(settings),
        dense=dense_reference(settings),
        answers=answers(settings, methods),
    )


def context(summary: Summary) -> dict[str, Any]:
    """Build the template's context, without the figures."""
    record = summary.record
    listed = commands(summary)
    anchors = {(row["method"], row["trial"]): row["anchor"] for row in listed}
    return {
        "name": record.name,
        "metric": summary.metric,
        "headline": summary.headline,
        "caveats": caveats(record, summary.settings),
        "denominator": denominator(record.meta),
        "dense": summary.dense,
        "questions": [question_block(q, summary, anchors) for q in QUESTIONS],
        "commands": listed,
        "ratios": ratio_rows(summary),
        "ratio_methods": [m for m in summary.methods if m in set(summary.points["method"])],
        "noise_note": noise_note(summary),
        "front": front_rows(summary),
        "search": search_rows(summary),
        "hypervolume": hypervolume_block(summary),
        "fairness": fairness(record, summary.metric),
        "space_text": record.meta.get("space_text") or "",
    }


def question_block(
    question: Question, summary: Summary, anchors: dict[tuple[str, str], str]
) -> dict[str, Any]:
    """One question: a row per method, the best one marked."""
    table = summary.answers[summary.answers["question"] == question.name]
    measure = "test_accuracy_mean" if question.ratio is not None else "compression"
    best = table[measure].max()
    rows = []
    for row in table.to_dict("records"):
        able = int(row["seeds"]) > 0
        rows.append(
            {
                "method": row["method"],
                "able": able,
                "best": able and bool(row[measure] == best),
                "val": text.mean_std(row["val_accuracy"], math.nan),
                "test": text.mean_std(row["test_accuracy_mean"], row["test_accuracy_std"]),
                "compression": text.ratio(row["compression"]),
                "compression_total": text.ratio(row["compression_total"]),
                "seeds": int(row["seeds"]),
                "trial": row["trial"] if able else "",
                "anchor": anchors.get((row["method"], row["trial"]), ""),
                "setting": text.setting(text.config_of(row, summary.record.config_columns)),
            }
        )
    measured = question.ratio is None or bool((summary.settings["value"] == question.ratio).any())
    return {"title": question.title, "name": question.name, "rows": rows, "measured": measured}


def commands(summary: Summary) -> list[dict[str, str]]:
    """One command per setting that answers some question."""
    workload = section(summary.record.meta, "workload")
    epochs = workload.get("epochs")
    cores = section(section(summary.record.meta, "space"), "resources").get("cpu", 1)
    threads = max(1, int(cores))  # the last bits of a training depend on it
    name = str(workload.get("name") or WORKLOAD_UNKNOWN)
    chosen = summary.answers[summary.answers["seeds"] > 0].drop_duplicates(["method", "trial"])
    rows: list[dict[str, str]] = []
    for method in summary.methods:
        own = chosen[chosen["method"] == method]
        for row in own.sort_values("trial", key=natural).to_dict("records"):
            config = text.config_of(row, summary.record.config_columns)
            seed = int(row["first_seed"])
            epoch_count = int(epochs) if epochs else None
            line = text.train_command(name, method, config, epoch_count, seed, threads)
            anchor = f"setting-{len(rows) + 1}"
            names = {"trial": str(row["trial"]), "method": method}
            rows.append({**names, "anchor": anchor, "command": line})
    return rows


def ratio_rows(summary: Summary) -> list[dict[str, Any]]:
    """Per target ratio, every method's test accuracy; the best, and those the seeds leave equal."""
    rows = []
    for ratio in sorted(summary.points["value"].unique()):
        at = standing(summary.points, float(ratio))
        here = summary.points[summary.points["value"] == ratio].set_index("method")
        cells = {}
        for entry in at.entries:
            first = entry in at.tied
            cells[entry.method] = {
                "text": text.mean_std(entry.mean, float(here.loc[entry.method, "test_accuracy_std"])),
                "best": first,
                "equal": not first and at.behind(entry).beyond is not True,
                "seeds": len(entry.values),
            }
        rows.append({"ratio": f"{ratio:g}x", "cells": cells})
    return rows


def noise_note(summary: Summary) -> str:
    """Say what the marks in the table mean, and what the test split itself leaves open."""
    note = (
        "Mean \u00b1 standard deviation over seeds, in percent. Bold: highest mean. \u2248: the "
        "seeds do not separate it from the highest (the 95 % Welch interval of the difference "
        "holds zero, or there are too few seeds for one). Each comparison stands alone, "
        "uncorrected for their number."
    )
    if summary.test_size and summary.dense and not math.isnan(summary.dense.test):
        error = sampling_error(summary.dense.test, summary.test_size)
        note += (
            f" The test split has {text.number(summary.test_size)} examples, so an accuracy near "
            f"{text.percent(summary.dense.test)} carries another \u00b1{text.points(error)} points "
            "of sampling error (95 %, binomial), shared in part by all methods."
        )
    return note


def front_rows(summary: Summary) -> list[dict[str, Any]]:
    """Points on the Pareto front of validation accuracy and compression, over all methods."""
    settings = summary.settings
    front = pareto_front(settings[settings["compression"] < math.inf])
    return [
        {
            "method": row["method"],
            "trial": row["trial"],
            "compression": text.ratio(row["compression"]),
            "val": text.mean_std(row["val_accuracy"], math.nan),
            "test": text.mean_std(row["test_accuracy_mean"], row["test_accuracy_std"]),
            "setting": text.setting(text.config_of(row, summary.record.config_columns)),
        }
        for row in front.to_dict("records")
    ]


def search_rows(summary: Summary) -> list[dict[str, Any]]:
    """Per method: what the search spent, and what became of it."""
    runs = summary.record.runs
    search = searched(runs)
    confirm = runs[runs["phase"] == "confirm"]
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
    """Hypervolume per method and reference accuracy."""
    objective = section(summary.record.meta, "objective")
    cap = float(objective.get("max_compression") or 0.0)
    if cap <= 1.0:
        targets = summary.points["value"]
        cap = float(targets.max()) if len(targets) else DEFAULT_MAX_COMPRESSION
    cap = cap if cap > 1.0 else DEFAULT_MAX_COMPRESSION
    own = objective.get("reference")
    references = set(REFERENCES)
    if isinstance(own, int | float) and own < 1.0:
        references.add(float(own))
    methods = [m for m in summary.methods if m in set(summary.points["method"])]
    table = hypervolume_table(summary.points, methods, sorted(references), cap)
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
    labels = [text.percent(float(str(ref)), 0) + (" (objective)" if ref == own else "") for ref in table]
    return {"rows": rows, "references": labels, "note": ranking_note(table), "cap": f"{cap:g}x"}


def _confirm_text(again: pd.DataFrame) -> str:
    if again.empty:
        return text.DASH
    return f"{int((again['status'] == 'completed').sum())} of {len(again)}"
