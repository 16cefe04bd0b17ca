"""The frontier as an interactive figure (Bokeh): hover, zoom, hide a method. It needs no network.

The page holds the library's core as text, so that it works from a file. What happens in the browser beyond
Bokeh's own tools is in frontier.js.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.types import ID
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import MISSING_RENDERERS
from bokeh.embed import json_item
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.models.annotations import Label, Legend, LegendItem, Span
from bokeh.plotting import figure
from bokeh.resources import Resources

from analysis import text
from analysis.limits import drawn
from analysis.page.curves import Curve, Curves
from analysis.styles import Style
from analysis.summary import Summary
from analysis.tables import CONTROLS
from analysis.wording import Wording

silence(MISSING_RENDERERS)  # a sweep without a result has an empty figure, and its page says why

TARGET = "frontier-plot"
"""Id of the page's element that the figure is put into."""

MARKERS = {
    "o": "circle",
    "v": "inverted_triangle",
    "^": "triangle",
    "s": "square",
    "P": "plus",
    "p": "star",
    "<": "square_pin",
    ">": "triangle_pin",
    "d": "diamond_dot",
    "h": "hex",
    "D": "diamond",
    "X": "x",
}
"""Bokeh's markers for matplotlib's; those that it lacks have one that no other method has."""

TOOLTIP = """
<div style="max-width: 19rem; white-space: normal; font: 13px/1.4 sans-serif; color: #1a1a1a">
<strong style="color: @color">@method</strong> @trial, target @target<br>
test @test (@seeds)<br>val @val<br>compression @compression, of all parameters @total<br>
<span style="font-family: monospace; overflow-wrap: anywhere">@setting</span></div>
"""


@cache
def library() -> str:
    """BokehJS's core as one script, 1.3 MB: no widgets, no tables, no WebGL."""
    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def frontier_item(curves: Curves, summary: Summary, links: Mapping[tuple[str, str], str]) -> str:
    """Build the figure for `Bokeh.embed.embed_item`.

    Args:
        curves: What to draw.
        summary: The sweep, for the settings and how values are written.
        links: Addresses of the settings' runs in the MLflow UI.

    Returns:
        JSON that can stand in a ``script`` element; the same input gives the same text. Renderers are named
        after their methods, the emphasised points ``front``; ranges that the page can switch to are in the
        figure's tags.
    """
    plot = _empty_figure(curves)
    items = []
    point = ["method", "trial", "value"]
    on_front = pd.MultiIndex.from_frame(curves.points[point]).isin(
        pd.MultiIndex.from_frame(curves.front[point])
    )
    plain = curves.points[~on_front]  # every point once, or its tooltip would come twice
    for method, style in curves.looks.items():
        own = plain[plain["method"] == method]
        table = {**hover_table(own, summary, links), "color": [style.color] * len(own)}
        parts = _draw_method(plot, method, style, table, curves.lines.get(method))
        items.append(LegendItem(label=method, renderers=parts))
    _draw_front(plot, curves, summary, links)
    dots = [found for found in plot.renderers if found.name == "dots" or found.name == "front"]
    if dots:
        plot.add_tools(HoverTool(renderers=dots, tooltips=TOOLTIP, point_policy="snap_to_data"))
    _draw_lines_across(plot, curves)
    if items:
        legend = Legend(items=items, click_policy="hide", ncols=min(6, len(items)), name="legend")
        legend.update(border_line_color=None, location="center", label_text_font_size="13px", spacing=8)
        plot.add_layout(legend, "below")
    item = json_item(plot, ID(TARGET))
    return json.dumps(_renumbered(item), separators=(",", ":")).replace("<", "\\u003c")


def hover_table(
    rows: pd.DataFrame, summary: Summary, links: Mapping[tuple[str, str], str]
) -> dict[str, Sequence[Any]]:
    """What the figure tells of each point: texts, with settings to the last digit.

    Args:
        rows: Points of `Curves`.
        summary: The sweep.
        links: Addresses of the settings' runs.

    Returns:
        Lists by column, as long as `rows`; ``x`` and ``y`` are plain numbers.
    """
    told = [_told(row, summary, links) for row in rows.to_dict("records")]
    columns = (
        *("x", "y", "method", "trial", "target", "test", "val", "seeds"),
        *("compression", "total", "setting", "link"),
    )
    return {column: [row[column] for row in told] for column in columns}


def _told(
    row: Mapping[Hashable, Any], summary: Summary, links: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    words, seeds = summary.words, int(row["seeds"])
    unit = " %" if summary.metric.is_share else ""
    config = text.config_of(row, summary.record.config_columns)
    found = "confirmed on" if row["phase"] == "confirm" else "not confirmed,"
    return {
        "x": float(row["x"]),
        "y": float(row["y"]),
        "method": str(row["method"]),
        "trial": str(row["trial"]),
        "target": f"{row['value']:g}x",
        "test": f"{words.mean_std(row['test_metric_mean'], row['test_metric_std'])}{unit}",
        "val": words.value(row["val_metric"]),
        "seeds": f"{found} {seeds} seed{'' if seeds == 1 else 's'}",
        "compression": text.ratio(row["compression"]),
        "total": text.ratio(row["compression_total"]),
        "setting": " ".join(f"{name}={text.config_value(value)}" for name, value in config.items()),
        "link": links.get((str(row["method"]), str(row["trial"])), ""),
    }


def _empty_figure(curves: Curves) -> Any:
    """The axes: logarithmic compression, the metric zoomed to where methods separate."""
    metric, words = curves.metric, Wording(curves.metric)
    unit = ", %" if metric.is_share else f" ({words.comparative} is better)"
    plot: Any = figure(
        name="frontier",
        height=440,
        sizing_mode="stretch_width",
        x_axis_type="log",
        x_range=Range1d(start=0.9 * curves.start, end=1.12 * curves.end),
        y_range=Range1d(start=curves.zoom[0], end=curves.zoom[1]),
        x_axis_label="compression of prunable weights",
        y_axis_label=f"test {metric.name}{unit}",
        # No tool is active at first: a page must scroll, by wheel and by finger.
        tools=[PanTool(), BoxZoomTool(), WheelZoomTool(), ResetTool()],
        active_drag=None,
        active_scroll=None,
        toolbar_location="above",
        tags=[{"zoom": list(curves.zoom), "whole": list(curves.whole), "narrow_ticks": _ticks(curves, (1,))}],
    )
    plot.toolbar.logo = None
    ticks = _ticks(curves, (1, 2, 5))
    plot.xaxis.ticker = plot.xgrid.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: f"{tick:g}x" for tick in ticks}
    for axis in (plot.xaxis, plot.yaxis):
        axis.update(axis_label_text_font_style="normal", major_label_text_font_size="12px")
    plot.grid.grid_line_color = "#e2e2e2"
    plot.outline_line_color = None
    return plot


def _ticks(curves: Curves, factors: Sequence[int]) -> list[int]:
    """Round compressions on the axis, rising."""
    low, high = 0.9 * curves.start, 1.12 * curves.end
    every = [factor * 10**power for power in range(9) for factor in factors]
    return [tick for tick in every if low <= tick <= high]


def _draw_method(
    plot: Any, method: str, style: Style, table: Mapping[str, Sequence[Any]], curve: Curve | None
) -> list[Any]:
    """A method's band, median surface and points; the legend hides them together."""
    quiet = method in CONTROLS
    found = []
    if curve is not None:
        x, low, high = curve.band
        found.append(plot.varea(x, low, high, fill_color=style.color, fill_alpha=0.13))
        dash = [int(2 * length) for length in style.dashes] if style.dashes else "solid"
        line = {"line_color": style.color, "line_width": 1.2 if quiet else 1.8, "line_dash": dash}
        found.append(plot.line(*curve.steps, **line))
    look = {"size": _size(style, 6), "marker": MARKERS.get(style.marker, "circle"), "color": style.color}
    dots = plot.scatter("x", "y", source=ColumnDataSource({**table}), name="dots", **look)
    dots.tags = [method]
    return [*found, dots]


def _size(style: Style, size: int) -> int:
    """Pixels at which a marker looks as large as the others."""
    return round(1.3 * size) if style.marker in ("D", "d") else size


def _draw_front(plot: Any, curves: Curves, summary: Summary, links: Mapping[tuple[str, str], str]) -> None:
    """Enlarge the points of the overall Pareto front and write their numbers above them."""
    dots = {found.tags[0]: found for found in plot.renderers if found.name == "dots"}
    for method, style in curves.looks.items():
        own = curves.front[curves.front["method"] == method]
        if own.empty:
            continue
        source = ColumnDataSource(
            {
                **hover_table(own, summary, links),
                "color": [style.color] * len(own),
                "number": [str(number) for number in own["number"]],
            }
        )
        ring = {
            "size": _size(style, 13),
            "marker": MARKERS.get(style.marker, "circle"),
            "fill_color": style.color,
        }
        rings = plot.scatter(
            "x", "y", source=source, line_color="#000000", line_width=1.6, name="front", **ring
        )
        numbers = plot.text("x", "y", text="number", source=source, y_offset=-8)
        look = {"text_align": "center", "text_baseline": "bottom", "text_font_size": "12px"}
        back = {"background_fill_color": "#ffffff", "background_fill_alpha": 0.6}
        numbers.glyph.update(text_font_style="bold", **look, **back)
        for found in (rings, numbers):
            found.tags = [method]
            dots[method].js_link("visible", found, "visible")


def _draw_lines_across(plot: Any, curves: Curves) -> None:
    """The dense network and, for an error, its reference values, named at the left."""
    metric, words, dense = curves.metric, Wording(curves.metric), curves.dense
    levels = []
    if dense is not None and np.isfinite(dense.test):
        levels.append((dense.test, f"dense {words.value(dense.test)}", "dotted", "#000000"))
    if not metric.is_share:
        for value, name in ((metric.chance, words.no_skill), (metric.ideal, words.limit)):
            levels.append((value, f"{name} {words.reference(value)}", "solid", "#555555"))
    for value, name, dash, color in levels:
        at = float(drawn(pd.Series([value]), metric).iloc[0])
        plot.add_layout(Span(location=at, dimension="width", line_color=color, line_dash=dash))
        label = Label(x=1.1 * curves.end, y=at, y_offset=1, text=name, text_font_size="12px")
        label.update(text_baseline="bottom", text_align="right", text_color=color)
        label.update(background_fill_color="#ffffff", background_fill_alpha=0.75)
        plot.add_layout(label)


def _renumbered(item: Any) -> Any:
    """Give Bokeh's objects ids that count from 1: its own counter goes on from one figure to the next."""
    known: dict[str, str] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            found = {key: walk(inner) for key, inner in value.items()}
            if isinstance(value.get("id"), str):
                found["id"] = known.setdefault(value["id"], f"f{len(known) + 1}")
            return found
        return [walk(inner) for inner in value] if isinstance(value, list | tuple) else value

    return {**walk(item), "root_id": known[item["root_id"]]}
