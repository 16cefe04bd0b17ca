"""Figures of the report, drawn without global state; every function returns a Figure or bytes."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from analysis.limits import cut, drawn, whole_limits, zoom_limits
from analysis.pareto import Dense, gains
from analysis.styles import Style, styles
from analysis.tables import natural
from analysis.wording import Wording
from rewa.metric import Metric

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
NARROW_TICKS = tuple(10**power for power in range(9))
NARROW_TITLE = 42  # letters that fit
TICKS = tuple(factor * tick for tick in NARROW_TICKS for factor in (1, 2, 5))


def frontier_figure(
    points: pd.DataFrame,
    dense: Dense | None,
    title: str,
    metric: Metric,
    *,
    narrow: bool = False,
) -> Figure:
    """Test metric against target compression, zoomed to the best, with the whole range below.

    Args:
        points: What `best_attained` returned.
        dense: Dense reference, drawn as a line.
        title: First line of the figure.
        metric: What is measured. Shares are drawn in percent; other metrics have their chance and ideal
            values as reference lines and are cut where they are hopeless, which is said.
        narrow: Draw for a phone's width.

    Returns:
        The figure: per method the mean over seeds, the band from the lowest to the highest seed.
    """
    rows = points[points["test_metric_mean"].notna()]
    look = styles(list(rows["method"].unique()))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3, 5.4) if narrow else (8.6, 5.8), layout="constrained")
        heights = (3, 1) if metric.is_share else (2, 1)
        zoom, whole = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        for axes in (zoom, whole):
            _draw_methods(axes, rows, look, metric, size=4.5 if narrow or axes is whole else 6.0)
        low, high = zoom_limits(points, dense, metric)
        if metric.is_share:
            _percent_axes(zoom, whole, low, high, metric, narrow)
        else:
            _plain_axes(zoom, whole, low, high, points, metric, narrow)
            _draw_references(zoom, whole, metric, narrow)
        _draw_dense(zoom, whole, dense, metric, narrow)
        if narrow and len(title) > NARROW_TITLE:
            title = title.replace(": ", ":\n", 1)
        zoom.set_title(title, loc="left", fontsize=10 if narrow else 12, fontweight="bold")
        _compression_axis(whole, rows, narrow)
        _legend(figure, zoom, narrow)
    return figure


def search_figure(runs: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Best score so far against the number of trials: flat ends mean that the search had settled.

    Args:
        runs: The runs table; search runs are drawn, hand-made ones where there are none.
        narrow: Draw for a phone's width.
    """
    searched = runs[runs["phase"] == "search"]
    searched = runs[runs["phase"] != "confirm"] if searched.empty else searched
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3, 3.4) if narrow else (8.6, 3.4), layout="constrained")
        axes = figure.subplots()
        for method, style in styles(list(searched["method"].unique())).items():
            own = searched[searched["method"] == method]
            scores = own.sort_values("trial", key=natural)["score"]
            best = scores.astype(float).fillna(0.0).cummax().to_numpy()
            count = np.arange(1, len(best) + 1)
            line = "--" if style.dashes else "-"
            mark: dict[str, Any] = {"marker": style.marker, "markersize": 5, "markevery": [-1]}
            axes.step(count, best, line, where="post", color=style.color, label=method, **mark)
        axes.set_xlabel("trials of the method")
        axes.set_ylabel("best score so far")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, axes, narrow)
    return figure


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Render a figure as PNG, without metadata that changes from run to run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(image: bytes) -> str:
    """A PNG as a data URI, so that the page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _draw_methods(
    axes: Axes, rows: pd.DataFrame, look: dict[str, Style], metric: Metric, size: float
) -> None:
    """One line with markers and a min-max band over seeds per method."""
    if rows.empty:
        return
    order = list(look)
    # The mean is cut after it is taken: the mean of cut values would flatter a method with one huge seed.
    shown = rows.assign(shown=drawn(rows["test_metric_mean"].astype(float), metric))
    for end, pick in (("low", min), ("high", max)):
        shown[end] = drawn(rows["test_values"].map(pick).astype(float), metric)
    sns.lineplot(
        shown,
        x="value",
        y="shown",
        hue="method",
        style="method",
        hue_order=order,
        style_order=order,
        palette={method: style.color for method, style in look.items()},
        markers={method: style.marker for method, style in look.items()},
        dashes={method: style.dashes for method, style in look.items()},
        errorbar=None,
        markersize=size,
        markeredgewidth=0.6,
        linewidth=1.6,
        ax=axes,
    )
    for method, style in look.items():
        own = shown[shown["method"] == method].sort_values("value")
        band: dict[str, Any] = {"color": style.color, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(own["value"], own["low"], own["high"], **band)
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()


def _percent_axes(zoom: Axes, whole: Axes, low: float, high: float, metric: Metric, narrow: bool) -> None:
    """Scale and label the axes of a share."""
    zoom.set_ylim(100.0 * low, 100.0 * high)
    whole.set_ylim(0.0, 103.0)
    whole.set_yticks([0, 50, 100])
    zoom.set_ylabel(f"test {metric.name}, %" if narrow else f"test {metric.name}, % (top)")
    whole.set_ylabel("whole\nrange" if narrow else "% (whole range)", fontsize=8)


def _plain_axes(
    zoom: Axes,
    whole: Axes,
    low: float,
    high: float,
    points: pd.DataFrame,
    metric: Metric,
    narrow: bool,
) -> None:
    """Scale and label the axes of a metric that is no share, and say where values are cut."""
    better = f"{Wording(metric).comparative} is better"
    zoom.set_ylim(low, high)
    whole.set_ylim(*whole_limits(points, metric))
    zoom.set_ylabel(f"test {metric.name} ({better})")
    whole.set_ylabel("whole\nrange" if narrow else "whole range", fontsize=8)
    edge = cut(metric)
    means = points["test_metric_mean"].astype(float)
    if edge is not None and (gains(means, metric) < metric.gain(edge, 0.0)).any():
        worse = "larger" if metric.direction == "min" else "smaller"
        note: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": 7, "color": "#555555"}
        said = f"{worse} values are drawn at {edge:.4g}"
        whole.text(0.0, 1.0, said, transform=whole.transAxes, **note)


def _draw_dense(zoom: Axes, whole: Axes, dense: Dense | None, metric: Metric, narrow: bool) -> None:
    """Draw the dense network's line in both panels, and name it where the zoom reaches it."""
    if dense is None or not np.isfinite(dense.test):
        return
    at = float(drawn(pd.Series([dense.test]), metric).iloc[0])
    for axes in (zoom, whole):
        axes.axhline(at, color="black", linewidth=1.0, linestyle=":", zorder=1)
    low, high = zoom.get_ylim()
    if low <= at <= high:  # an annotation outside of its axes would squeeze them
        label = f"dense {Wording(metric).value(dense.test)}"
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        place |= {"xytext": (0, 3), "ha": "right", "fontsize": 8 if narrow else 9}
        zoom.annotate(label, (1.0, at), **place)


def _draw_references(zoom: Axes, whole: Axes, metric: Metric, narrow: bool) -> None:
    """Draw chance and ideal as thin lines, named at their right end, outside of the data."""
    words = Wording(metric)
    names = {metric.chance: words.no_skill.replace(" ", "\n", 1), metric.ideal: words.limit}
    for at, name in names.items():
        for axes in (zoom, whole):
            axes.axhline(at, color="#555555", linewidth=0.9, zorder=1)
        low, high = zoom.get_ylim()
        axes = zoom if low <= at <= high else whole
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        place |= {"xytext": (3, 0), "ha": "left", "va": "center", "fontsize": 7 if narrow else 8}
        axes.annotate(f"{name}:\n{words.reference(at)}", (1.0, at), color="#333333", **place)


def _legend(figure: Figure, axes: Axes, narrow: bool) -> None:
    """Put the methods' names below the axes, in as many columns as the width holds."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    width = figure.bbox.width
    for columns in range(3 if narrow else 6, 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= width:
            return
        legend.remove()


def _compression_axis(axes: Axes, rows: pd.DataFrame, narrow: bool) -> None:
    axes.set_xscale("log")
    low, high = 1.0, 1000.0
    if len(rows):
        low, high = float(rows["value"].min()), float(rows["value"].max())
        axes.set_xlim(0.9 * low, 1.12 * max(high, 1.2 * low))
    # matplotlib widens the axis to hold every tick it is given
    axes.set_xticks([tick for tick in (NARROW_TICKS if narrow else TICKS) if tick <= 1.12 * high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    wide = "target compression: prunable (conv + linear) weights / those not zero"
    axes.set_xlabel("target compression of prunable weights" if narrow else wide)
