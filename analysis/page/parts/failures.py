"""Diverged and failed runs: how many, why, what they cost, and where in the search they gather."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import text
from analysis.evidence.failures import (
    CHANCE,
    CONFIRMATION_LOST,
    LEAST,
    MEMORY,
    NOT_FINITE,
    TIMED_OUT,
    UNKNOWN,
    WORKER_LOST,
    failures,
    rule_sentence,
    separating_rule,
)
from analysis.figures import RC
from analysis.page.parts.part import Block
from analysis.summary import Summary

LOOK = {
    NOT_FINITE: ("#004488", ""),
    CHANCE: ("#DDAA33", "////"),
    TIMED_OUT: ("#BB5566", "...."),
    WORKER_LOST: ("#66CCEE", "xxxx"),
    MEMORY: ("#000000", ""),
    UNKNOWN: ("#BBBBBB", ""),
    CONFIRMATION_LOST: ("#FFFFFF", "\\\\\\\\"),
}
"""Colours of Paul Tol's high-contrast and bright sets, with hatches so that grey prints tell them apart."""
SPARE = (("#117733", "oo"), ("#882255", "++"), ("#999933", "--"), ("#AA4499", "**"))


def block(summary: Summary) -> Block | None:
    """Count what did not complete.

    Args:
        summary: The sweep.

    Returns:
        ``sentence`` with the totals, ``rows`` by method, phase and cause, ``rules`` where failures gather,
        and ``counts`` and ``totals`` for the figure. None where every run completed.
    """
    table = failures(summary.record)
    if table.empty:
        return None
    methods = [method for method in summary.methods if method in set(table["method"])]
    return {
        "sentence": _sentence(table),
        "rows": [_row(row) for row in table.to_dict("records")],
        "rules": _rules(summary, table, methods),
        "counts": _counts(table, methods),
        "totals": [_total(table[table["method"] == method]) for method in methods],
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Draw a bar per method, by cause.

    Args:
        summary: The sweep.
        block: What `block` returned.
        narrow: Draw for a phone's width.
    """
    counts: pd.DataFrame = block["counts"]
    spare = iter(SPARE * len(counts.columns))
    with mpl.rc_context(RC):
        height = 0.34 * len(counts) + (1.3 if narrow else 1.0)
        figure = Figure(figsize=(4.3 if narrow else 8.6, height), layout="constrained")
        axes = figure.subplots()
        left = pd.Series(0.0, counts.index)
        for cause in map(str, counts):
            color, hatch = LOOK.get(cause) or next(spare)
            look: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": "#222222", "linewidth": 0.6}
            axes.barh(list(counts.index), counts[cause], left=left, height=0.66, label=cause, **look)
            left += counts[cause]
        for (method, end), total in zip(left.items(), block["totals"], strict=True):
            place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}
            axes.annotate(total, (end, str(method)), (4, 0), **place)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(0.0, (1.35 if narrow else 1.18) * float(left.max()))
        axes.set_xlabel("runs that diverged or failed")
        figure.legend(loc="outside lower center", ncols=2 if narrow else 4, frameon=False, fontsize=8)
    return {"failures": figure}


def _counts(table: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Methods by causes; what was lost in the confirmation is a cause of its own, the last."""
    cause = table["cause"].where(table["phase"] == "search", CONFIRMATION_LOST)
    counts = table.assign(cause=cause).pivot_table(
        index="method", columns="cause", values="count", aggfunc="sum", fill_value=0
    )
    totals = counts.sum().to_dict()
    order = sorted(totals, key=lambda name: (name == CONFIRMATION_LOST, -totals[name], str(name)))
    return counts.reindex(index=methods, columns=order)


def _total(own: pd.DataFrame) -> str:
    """Write ``8 of 40``, for a method that lost confirmations ``8 of 40, 1 of 9 confirmations``."""
    lost = own.groupby("phase", sort=False).agg({"count": "sum", "of": "first"})
    noun = {"search": "", "confirm": " confirmations"}
    return ",\n".join(f"{row['count']} of {row['of']}{noun[str(phase)]}" for phase, row in lost.iterrows())


def _sentence(table: pd.DataFrame) -> str:
    """The totals, by phase."""
    runs = table.drop_duplicates(["method", "phase"])
    parts = []
    for phase, noun in (("search", "search trials"), ("confirm", "confirmation runs")):
        lost = int(table.loc[table["phase"] == phase, "count"].sum())
        if lost:
            of = int(runs.loc[runs["phase"] == phase, "of"].sum())
            parts.append(f"{lost} of {of} {noun}")
    where = "the method named below" if table["method"].nunique() == 1 else "the methods named below"
    spent = float(table["seconds"].sum())
    whole = float((runs["seconds"] / runs["share"]).groupby(runs["method"]).first().sum())
    told = f", {text.percent(spent / whole)} of those methods' time" if whole > 0.0 else ""
    return f"Of {where}, {text.join(parts)} diverged or failed; they took {text.duration(spent)}{told}."


def _row(row: Mapping[Any, Any]) -> dict[str, str]:
    share, epoch = float(row["share"]), float(row["epoch"])
    return {
        "method": str(row["method"]),
        "phase": "confirmation" if row["phase"] == "confirm" else "search",
        "cause": str(row["cause"]),
        "count": f"{row['count']} of {row['of']}",
        "seconds": text.duration(float(row["seconds"])),
        "share": text.DASH if math.isnan(share) else text.percent(share),
        "epoch": text.DASH if math.isnan(epoch) else f"{epoch:g}",
        "told": str(row["told"])[:200],
    }


def _rules(summary: Summary, table: pd.DataFrame, methods: list[str]) -> list[str]:
    """Where failures gather, and for which methods no single quantity says."""
    sentences, unclear = [], []
    searched = table[table["phase"] == "search"].groupby("method")["count"].sum()
    for method in methods:
        rule = separating_rule(summary.record, method)
        if rule:
            sentences.append(rule_sentence(rule))
        elif searched.get(method, 0) >= LEAST:
            unclear.append(method)
    if unclear:
        names = text.join(unclear)
        sentences.append(f"For {names} no single setting tells the failed trials clearly from the others.")
    return sentences
