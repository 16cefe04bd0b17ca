"""The frontier as a picture: what is printed, shown without JavaScript, and written as frontier.png."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from analysis.figures import RC, legend_below
from analysis.limits import cut, drawn
from analysis.page.curves import Curves
from analysis.pareto import Dense, gains
from analysis.styles import Style
from analysis.tables import CONTROLS
from analysis.wording import Wording
from rewa.metric import Metric

NARROW_TICKS = tuple(10**power for power in range(9))
NARROW_TITLE = 42  # letters that fit
TICKS = tuple(factor * tick for tick in NARROW_TICKS for factor in (1, 2, 5))


def frontier_figure(curves: Curves, *, narrow: bool = False) -> Figure:
    """Test metric against compression, zoomed to where methods separate, with the whole range below.

    Args:
        curves: What to draw. Shares are in percent; other metrics have their chance and ideal values as
            reference lines and are cut where they are hopeless, which is said.
        narrow: Draw for a phone's width.

    Returns:
        The figure: per method the median attainment surface over seeds, the band from the worst to the best
        one, and the mean of the setting chosen on validation at each target; points of the overall Pareto
        front are larger and numbered.
    """
    metric = curves.metric
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3, 5.4) if narrow else (8.6, 5.8), layout="constrained")
        heights = (3, 1) if metric.is_share else (2, 1)
        zoom, whole = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        handles = []
        for axes in (zoom, whole):
            size = 3.5 if narrow or axes is whole else 4.5
            handles = [_draw_method(axes, curves, m, look, size) for m, look in curves.looks.items()]
        _draw_front(zoom, curves, narrow)
        _limit_axes(zoom, whole, curves, narrow)
        if not metric.is_share:
            _draw_references(zoom, whole, metric, narrow)
        _draw_dense(zoom, whole, curves.dense, metric, narrow)
        title = curves.title
        if narrow and len(title) > NARROW_TITLE:
            title = title.replace(": ", ":\n", 1)
        zoom.set_title(title, loc="left", fontsize=10 if narrow else 12, fontweight="bold")
        _compression_axis(whole, curves, narrow)
        legend_below(figure, handles, list(curves.looks), 3 if narrow else 6)
    return figure


def _draw_method(axes: Axes, curves: Curves, method: str, look: Style, size: float) -> Line2D:
    """A method's band, median surface and points; returns what stands for it in the legend."""
    dashes: Any = (0, look.dashes) if look.dashes else "-"
    width = 1.0 if method in CONTROLS else 1.6
    curve = curves.lines.get(method)
    if curve is not None:
        x, low, high = curve.band
        axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
        axes.plot(*curve.steps, color=look.color, linestyle=dashes, linewidth=width)
    own = curves.points[curves.points["method"] == method].sort_values("value")
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    mark: dict[str, Any] = {"marker": look.marker, "color": look.color, "markersize": size, **edge}
    axes.plot(own["x"], own["y"], linestyle="none", label=method, **mark)
    return Line2D([], [], linestyle=dashes, linewidth=width, **(mark | {"markersize": 6}))


def _draw_front(axes: Axes, curves: Curves, narrow: bool) -> None:
    """Enlarge the points of the overall Pareto front and write their numbers above them."""
    for row in curves.front.to_dict("records"):
        look = curves.looks[str(row["method"])]
        mark: dict[str, Any] = {"marker": look.marker, "color": look.color, "markersize": 7 if narrow else 9}
        axes.plot([row["x"]], [row["y"]], markeredgecolor="black", markeredgewidth=1.1, zorder=4, **mark)
        low, high = curves.zoom
        if low <= row["y"] <= high:  # an annotation outside of its axes would squeeze them
            place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontweight": "bold"}
            place |= {"xytext": (0, 6), "fontsize": 8 if narrow else 9, "zorder": 5}
            number = axes.annotate(str(row["number"]), (row["x"], row["y"]), **place)
            number.set_path_effects([withStroke(linewidth=2.0, foreground="white")])


def _limit_axes(zoom: Axes, whole: Axes, curves: Curves, narrow: bool) -> None:
    """Scale and label the axes, and say where values are cut."""
    metric = curves.metric
    zoom.set_ylim(*curves.zoom)
    whole.set_ylim(*curves.whole)
    whole_label = "whole\nrange" if narrow else "whole range"
    if metric.is_share:
        whole.set_yticks([0, 50, 100])
        zoom.set_ylabel(f"test {metric.name}, %")
        whole.set_ylabel(whole_label if narrow else "%, whole range", fontsize=8)
        return
    zoom.set_ylabel(f"test {metric.name} ({Wording(metric).comparative} is better)")
    whole.set_ylabel(whole_label, fontsize=8)
    edge = cut(metric)
    means = curves.points["test_metric_mean"].astype(float)
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


def _compression_axis(axes: Axes, curves: Curves, narrow: bool) -> None:
    axes.set_xscale("log")
    low, high = 0.9 * curves.start, 1.12 * curves.end
    axes.set_xlim(low, high)
    # matplotlib widens the axis to hold every tick it is given
    axes.set_xticks([tick for tick in (NARROW_TICKS if narrow else TICKS) if low <= tick <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    wide = "compression: prunable (conv + linear) weights / those not zero"
    axes.set_xlabel("compression of prunable weights" if narrow else wide)
