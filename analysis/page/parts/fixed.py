"""Test metric at fixed compression: every method with an interval, and the leader against the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import text
from analysis.evidence.intervals import comparisons, ratio_intervals
from analysis.figures import RC
from analysis.limits import NEAR
from analysis.noise import CONFIDENCE, EQUAL
from analysis.page.parts.part import Block
from analysis.styles import Style, styles
from analysis.summary import Summary
from rewa.metric import Metric

LEVEL = 1.0 - CONFIDENCE
NEAR_SHARE = 0.1
"""How far behind the best mean a share is still drawn to scale; errors have `analysis.limits.NEAR`."""


def block(summary: Summary) -> Block | None:
    """Intervals of all methods at the headline ratios, and the paired comparisons with the leader there."""
    intervals = ratio_intervals(summary)
    if intervals.empty:
        return None
    table = comparisons(summary)
    leading = table[table["leads"]]
    return {
        "title": f"Test {summary.metric.name} at fixed compression, with intervals",
        "points": intervals.to_dict("records"),
        "figure_note": _figure_note(intervals),
        "rows": [_row(row, summary) for row in leading.to_dict("records")],
        "sentence": _sentence(leading, table),
        "welch": _welch_note(leading),
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """One panel per ratio, one line per method: its seeds, their mean and the interval of the mean."""
    points = pd.DataFrame(block["points"])
    ratios = list(dict.fromkeys(points["ratio"]))
    look = styles(list(points["method"].unique()))
    columns = min(len(ratios), 2 if narrow else 4)
    rows = math.ceil(len(ratios) / columns)
    height = 0.9 + rows * (0.75 + 0.26 * len(look))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3 if narrow else 8.6, height), layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, ratio in zip(grid, ratios, strict=False):
            _panel(axes, points[points["ratio"] == ratio], look, summary)
            axes.set_title(f"{ratio:g}x", loc="left", fontsize=10, fontweight="bold")
        for axes in grid[len(ratios) :]:
            axes.set_axis_off()
        unit = ", %" if summary.metric.is_share else f" ({summary.words.comparative} is better)"
        figure.supxlabel(f"test {summary.metric.name}{unit}", fontsize=10)
    return {"intervals": figure}


def _panel(axes: Axes, rows: pd.DataFrame, look: dict[str, Style], summary: Summary) -> None:
    """Draw the methods at one ratio; those far behind the best are named at the edge with their value."""
    metric = summary.metric
    scale = 100.0 if metric.is_share else 1.0
    near = _near(rows, metric)
    values = np.array([value for values in rows.loc[near, "values"] for value in values])
    values = scale * values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, scale)
    margin = max(0.12 * (high - low), 1e-3 * scale * abs(metric.ideal - metric.chance))
    axes.set_xlim(low - margin, high + margin)
    places = {method: place for place, method in enumerate(look)}
    for row, inside in zip(rows.to_dict("records"), near, strict=True):
        style, place = look[row["method"]], places[row["method"]]
        if not inside:
            _far(axes, place, row["mean"], summary)
            continue
        seeds = [scale * value for value in row["values"]]
        dots: dict[str, Any] = {"marker": "|", "s": 45, "linewidths": 1.2, "color": "#444444", "zorder": 3}
        axes.scatter(seeds, [place + 0.3] * len(seeds), **dots)
        if not row["unknown"]:
            ends = [scale * row["low"], scale * row["high"]]
            axes.plot(ends, [place, place], color=style.color, linewidth=3.0, solid_capstyle="butt")
        mark: dict[str, Any] = {"markersize": 7, "markeredgecolor": "white", "zorder": 4}
        axes.plot([scale * row["mean"]], [place], style.marker, color=style.color, **mark)
    axes.set_yticks(list(places.values()), list(places))
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(axis="y", length=0)


def _far(axes: Axes, place: int, mean: float, summary: Summary) -> None:
    """Name a mean that lies beyond the edge of the panel, on the side of the worse values."""
    left = summary.metric.direction == "max"
    value = summary.words.value(mean)
    place_at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
    said, at, align = (f"\u25c2 {value}", 0.03, "left") if left else (f"{value} \u25b8", 0.97, "right")
    axes.text(at, place, said, ha=align, color="#555555", **place_at)


def _near(rows: pd.DataFrame, metric: Metric) -> list[bool]:
    """Mark the methods that are drawn to scale."""
    reach = NEAR_SHARE if metric.is_share else NEAR * metric.gain(metric.ideal, metric.chance)
    means = rows["mean"].astype(float)
    finite = means[np.isfinite(means)]
    if finite.empty:
        return [False] * len(rows)
    best = metric.best(finite.tolist())
    return [bool(metric.gain(best, mean) <= reach) for mean in means]


def _row(row: Mapping[Any, Any], summary: Summary) -> dict[str, Any]:
    """A comparison with the leader, as text."""
    words, tested = summary.words, not math.isnan(row["p"])
    return {
        "ratio": f"{row['ratio']:g}x",
        "leader": row["method"],
        "rival": row["rival"],
        "difference": _difference(row["difference"], summary),
        "interval": words.interval(row["low"], row["high"]) if tested else text.DASH,
        "p": probability(row["p"]),
        "adjusted": probability(row["p_adjusted"]),
        "signs": probability(row["p_signs"]),
        "seeds": row["seeds"],
        "why": row["unknown"],
        "holds": tested and row["p_adjusted"] < LEVEL,
    }


def _difference(difference: float, summary: Summary) -> str:
    """Write a mean difference: ``1.4``, ``0`` for a tie, negative where only other seeds made the leader."""
    if abs(difference) < EQUAL:
        return "0"
    sign = "\u2212" if difference < 0.0 else ""
    return f"{sign}{summary.words.size(difference)}{summary.words.points}"


def probability(p: float) -> str:
    """Write a p value: ``0.083``, ``< 0.001``; a dash when there was no test."""
    if math.isnan(p):
        return text.DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _figure_note(intervals: pd.DataFrame) -> str:
    """Say what the marks are, and how little the interval of few seeds means."""
    counts = sorted(set(intervals["seeds"]))
    note = (
        "Symbol: mean over seeds. Ticks below it: the seeds (equal ones share a tick). Bar: 95 % bootstrap "
        "interval of the mean (percentile method)."
    )
    if 1 < counts[-1] <= 3:
        held = "one of two" if counts[-1] == 2 else "three of four"
        note += (
            f" With {counts[-1]} seeds that is no more than their range, narrow by nature: it holds the true "
            f"mean in about {held} cases, not in 95 %."
        )
    if (intervals["unknown"] != "").any():
        note += " No bar: one seed, no spread between the seeds, or a value that is not finite."
    return f"{note} Each panel has its own scale; methods far behind are named at its edge with their mean."


def _sentence(leading: pd.DataFrame, table: pd.DataFrame) -> str:
    """Say in plain words what can and what cannot be told with so many seeds."""
    tested = leading[leading["p"].notna()]
    if tested.empty:
        return "No difference can be tested: " + text.join(sorted(set(leading["unknown"]))) + "."
    made = int(table["p"].notna().sum())
    holds = tested[tested["p_adjusted"] < LEVEL]
    count = len(tested)
    noun = "comparison" if count == 1 else "comparisons"
    found = f"Of {count} tested {noun} with the leader, {len(holds) or 'none'} "
    found += (
        f"{'hold' if len(holds) > 1 else 'holds'} at the 5 % level after Holm's correction for all {made} "
    )
    found += "tests, of every two methods at every compression shown"
    if len(holds):
        found += f" ({_where(holds)})"
    if len(holds) < count:
        found += "; for the others the order stays open"
    least = float(table["least"].max())
    if least > LEVEL:
        seeds = round(1.0 - math.log2(least))
        found += (
            f". With {seeds} seeds the sign-flip test, which assumes nothing of the noise but its symmetry, "
            f"cannot give a p below {least:g} whatever the difference: every smaller p in the table rests on "
            "the t test's assumption of normal noise"
        )
    return f"{found}."


def _where(rows: pd.DataFrame) -> str:
    """Write ``random at 10x and 50x, magnitude at 200x``."""
    by_rival: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        by_rival.setdefault(row["rival"], []).append(f"{row['ratio']:g}x")
    return ", ".join(f"{rival} at {text.join(ratios)}" for rival, ratios in by_rival.items())


def _welch_note(leading: pd.DataFrame) -> str:
    """Say where the paired interval and Welch's, which the headline goes by, part."""
    told = leading[leading["welch"].notna()]
    apart = []
    for row in told.to_dict("records"):
        paired = None if math.isnan(row["p"]) else row["p"] < LEVEL
        if paired is row["welch"]:
            continue
        verdicts = {True: "beyond", False: "within", None: f"no test, {row['unknown']}"}
        pair = f"{row['method']} against {row['rival']} at {row['ratio']:g}x"
        apart.append(f"{pair} (Welch: {verdicts[row['welch']]}; paired: {verdicts[paired]})")
    said = (
        "The headline and the marks \u2248 go by Welch's interval, which takes the seeds of two methods as "
        "unrelated; here they are paired, and neither is corrected for the number of comparisons."
    )
    if apart:
        said += f" They differ on the seed noise for {text.join(apart)}: take that as unsettled."
    elif len(told):
        said += " Both give the same verdict on the seed noise in every row."
    beyond = told[told["welch"].astype(bool)]
    if lost := int((~(beyond["p_adjusted"] < LEVEL)).sum()):
        verb = "do" if lost > 1 else "does"
        said += (
            f" Of {len(beyond)} rows beyond the seed noise by Welch's interval, {lost} {verb} not hold after "
            "the correction: seen alone each is a finding, among so many it may be chance."
        )
    return said
