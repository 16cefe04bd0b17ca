"""Figures of the report, drawn without global state; every function returns a Figure or bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from analysis.pareto import Dense
from analysis.tables import CONTROLS, natural, order_methods
from rewa.mlflow_view import method_colour

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
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
NARROW_TICKS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Style:
    """How one method looks in every figure."""

    color: str
    marker: str
    dashes: tuple[float, ...] | str = ""


MARKERS = {"rewa": "o", "rewa_adamw": "v", "spred": "^", "sgd_l1": "s", "magnitude": "D", "random": "X"}
SPARE_MARKERS = ("P", "<", ">", "p", "h")


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Give every method its style; colours are those of its runs in the MLflow UI."""
    spare = cycle(SPARE_MARKERS)
    return {
        method: Style(
            method_colour(method),
            MARKERS[method] if method in MARKERS else next(spare),
            (2.0, 2.0) if method == "random" else "",
        )
        for method in order_methods(methods)
    }


def frontier_figure(
    points: pd.DataFrame,
    dense: Dense | None,
    title: str,
    *,
    metric: str = "accuracy",
    narrow: bool = False,
) -> Figure:
    """Test accuracy against target compression, zoomed to the top, with the whole range below.

    Args:
        points: What `best_attained` returned.
        dense: Dense reference, drawn as a line.
        title: First line of the figure.
        metric: What is measured.
        narrow: Draw for a phone's width.

    Returns:
        The figure: per method the mean over seeds, the band from the lowest to the highest seed.
    """
    rows = points.explode("test_values").dropna(subset=["test_values"])
    rows = rows.assign(percent=100.0 * rows["test_values"].astype(float))
    look = styles(list(rows["method"].unique()))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3, 5.4) if narrow else (8.6, 5.8), layout="constrained")
        zoom, whole = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for axes in (zoom, whole):
            _draw_methods(axes, rows, look, size=4.5 if narrow or axes is whole else 6.0)
            if dense is not None and np.isfinite(dense.test):
                axes.axhline(100.0 * dense.test, color="black", linewidth=1.0, linestyle=":", zorder=1)
        low, high = zoom_limits(points, dense)
        zoom.set_ylim(100.0 * low, 100.0 * high)
        whole.set_ylim(0.0, 103.0)
        whole.set_yticks([0, 50, 100])
        if dense is not None and low <= dense.test <= high:
            label = f"dense {100.0 * dense.test:.1f} %"
            place: dict[str, Any] = {
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
            }
            place |= {"xytext": (0, 3), "ha": "right", "fontsize": 8 if narrow else 9}
            zoom.annotate(label, (1.0, 100.0 * dense.test), **place)
        zoom.set_title(title, loc="left", fontsize=10 if narrow else 12, fontweight="bold")
        zoom.set_ylabel(f"test {metric}, %" if narrow else f"test {metric}, % (top)")
        whole.set_ylabel("whole\nrange" if narrow else "% (whole range)", fontsize=8)
        _compression_axis(whole, rows, narrow)
        handles, labels = zoom.get_legend_handles_labels()
        if handles:
            columns = 3 if narrow else 6
            figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def zoom_limits(points: pd.DataFrame, dense: Dense | None) -> tuple[float, float]:
    """Accuracy range in which the methods that matter separate.

    From the highest seed or dense down to where the second best method stands, over the targets up
    to 200x at which it is within 10 points of the top; at least 3 points. Neither controls nor
    collapsed methods stretch it.
    """
    known = points.dropna(subset=["test_accuracy_mean"])
    if known.empty:
        return 0.0, 1.0
    reference = dense.test if dense is not None and np.isfinite(dense.test) else 0.0
    top = max(float(known["test_accuracy_mean"].max()), reference)
    highest = max(reference, *(max(values) for values in known["test_values"]))
    rivals = known[~known["method"].isin(CONTROLS)]
    rivals = known if rivals.empty else rivals
    seconds = [
        float(group["test_accuracy_mean"].nlargest(2).min())
        for _, group in rivals[rivals["value"] <= 200.0].groupby("value")
    ]
    drop = max(0.03, *(1.2 * (top - second) for second in seconds if top - second <= 0.1), 0.0)
    return max(0.0, top - drop), highest + 0.08 * drop


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
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=3 if narrow else 6, frameon=False)
    return figure


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Render a figure as PNG, without metadata that changes from run to run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(image: bytes) -> str:
    """A PNG as a data URI, so that the page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _draw_methods(axes: Axes, rows: pd.DataFrame, look: dict[str, Style], size: float) -> None:
    """One line with markers and a min-max band over seeds per method."""
    if rows.empty:
        return
    order = list(look)
    sns.lineplot(
        rows,
        x="value",
        y="percent",
        hue="method",
        style="method",
        hue_order=order,
        style_order=order,
        palette={method: style.color for method, style in look.items()},
        markers={method: style.marker for method, style in look.items()},
        dashes={method: style.dashes for method, style in look.items()},
        errorbar=("pi", 100),
        err_kws={"alpha": 0.15, "linewidth": 0},
        markersize=size,
        markeredgewidth=0.6,
        linewidth=1.6,
        ax=axes,
    )
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()


def _compression_axis(axes: Axes, rows: pd.DataFrame, narrow: bool) -> None:
    axes.set_xscale("log")
    if len(rows):
        low, high = float(rows["value"].min()), float(rows["value"].max())
        axes.set_xlim(0.9 * low, 1.12 * max(high, 1.2 * low))
    axes.set_xticks(NARROW_TICKS if narrow else TICKS)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    wide = "target compression: prunable (conv + linear) weights / those not zero"
    axes.set_xlabel("target compression of prunable weights" if narrow else wide)
