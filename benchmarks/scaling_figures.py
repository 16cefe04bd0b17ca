"""One figure per part of the scaling benchmark, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.figures import RC, png

Rows = Sequence[Mapping[str, Any]]

ORANGE, BLUE, GREEN, GREY = "#D55E00", "#0072B2", "#009E73", "#777777"


def report_figure(rows: Rows) -> bytes:
    """Draw the report's time and a run's writing over the number of runs, beside their floors."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        reading, writing = figure.subplots(1, 2)
        runs = [row["runs"] for row in rows]
        _line(reading, runs, [row["report_seconds"] for row in rows], "report", ORANGE, "o")
        _line(reading, runs, [row["read_seconds"] for row in rows], "of it reading", BLUE, "s")
        _line(reading, runs, [row["report_floor_seconds"] for row in rows], "floor", GREY, "")
        reading.plot([1000], [30.0], "v", color="black", markersize=7, label="target", linestyle="none")
        _line(
            writing, runs, [1e3 * row["write_seconds"] for row in rows], "a run, by the tracker", ORANGE, "o"
        )
        floor = [1e3 * row["write_floor_seconds"] for row in rows]
        _line(writing, runs, floor, "floor: its rows in one transaction", GREY, "")
        writing.axhline(100.0, color="black", linestyle=":", linewidth=1.0, label="target")
        _axes(reading, "runs in MLflow", "seconds", "Report, from start to page")
        _axes(writing, "runs in MLflow", "milliseconds", "Writing one run")
        return png(figure)


def frontier_figure(rows: Rows) -> bytes:
    """Draw the time without evaluation over the number of weights, beside its floor."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        axes = figure.subplots()
        weights = [row["parameters"] for row in rows]
        for key, name, color, marker in (
            ("frontier_seconds", "33 operating points", ORANGE, "o"),
            ("ranking_seconds", "of it ranking", BLUE, "s"),
            ("floor_seconds", "floor: one sort, one copy a point", GREY, ""),
        ):
            _line(axes, weights, [row[key] for row in rows], name, color, marker)
        _axes(axes, "prunable weights", "seconds", "A frontier without its evaluations")
        return png(figure)


def step_figure(rows: Rows) -> bytes:
    """Draw the time per parameter over the number of parameters: one tensor as lines, many as marks."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        axes = figure.subplots()
        whole = [row for row in rows if row["tensors"] == 1]
        split = [row for row in rows if row["tensors"] > 1]
        for key, name, color, marker in (
            ("rewa", "ReWA (K = 9, M = 2)", ORANGE, "o"),
            ("sgd", "SGD, fused", BLUE, "s"),
        ):
            _line(axes, *_each(whole, f"{key}_seconds"), name, color, marker)
            sizes, times = _each(split, f"{key}_seconds")
            label = f"{name}, {split[0]['tensors']} tensors" if split else None
            axes.plot(sizes, times, marker, color=color, markerfacecolor="white", markersize=7, label=label)
        _line(axes, *_each(whole, "pass_rewa_seconds"), "floor: a plain pass over as many bytes", GREY, "")
        _axes(axes, "parameters", "nanoseconds a parameter", "An optimizer's step, momentum 0.9")
        return png(figure)


FIGURES: Mapping[str, Callable[[Rows], bytes]] = {
    "report": report_figure,
    "frontier": frontier_figure,
    "step": step_figure,
}
"""What draws each part, by its name."""


def _each(rows: Rows, key: str) -> tuple[list[float], list[float]]:
    """Return numbers of parameters and nanoseconds for each of them."""
    return [row["parameters"] for row in rows], [1e9 * row[key] / row["parameters"] for row in rows]


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], name: str, color: str, marker: str) -> None:
    """Draw a measured line with marks, or a floor dashed."""
    style = "-" if marker else "--"
    axes.plot(x, y, style, color=color, marker=marker or None, markersize=5, linewidth=1.6, label=name)


def _marks(limits: tuple[float, float]) -> tuple[float, ...]:
    """Return which multiples of powers of ten are marked, so that a short axis has marks too."""
    return (1.0, 2.0, 5.0) if limits[1] < 300.0 * limits[0] else (1.0,)


def _axes(axes: Axes, x: str, y: str, title: str) -> None:
    """Scale and label the axes."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=_marks(axes.get_ylim())))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
