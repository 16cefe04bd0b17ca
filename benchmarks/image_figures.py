"""Drawing parts that the image benchmarks share: curves over compression, axes, and legends outside."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from benchmarks.image_points import curve

Stroke = Literal["-", "--", ":"]

TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
OKABE_ITO = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
"""Colours that stay apart with the common colour deficiencies."""


@dataclass(frozen=True)
class Line:
    """How a preset is drawn.

    Attributes:
        preset: Its name.
        label: In the legend.
        color: Any matplotlib colour.
        marker: Any matplotlib marker.
        style: Solid, dashed or dotted.
    """

    preset: str
    label: str
    color: str
    marker: str
    style: Stroke = "-"


def shades(count: int) -> list[str]:
    """Return colours for growing values, dark to light, none too light for white paper."""
    return [to_hex(colormaps["viridis"](0.88 * place / max(1, count - 1))) for place in range(count)]


def draw_curves(
    axes: Axes, points: pd.DataFrame, lines: Sequence[Line], criterion: str, recalibrated: bool = False
) -> None:
    """Draw mean accuracy against compression with a band of one deviation; absent presets are left out."""
    for line in lines:
        table = curve(points, line.preset, criterion, recalibrated)
        if table.empty:
            continue
        x, mean, std = (table[name].to_numpy() for name in ("compression", "mean", "std"))
        axes.plot(x, mean, line.style, color=line.color, marker=line.marker, markersize=4, linewidth=1.5)
        if std.any():
            axes.fill_between(x, mean - std, mean + std, color=line.color, alpha=0.12, linewidth=0)


def draw_reference(axes: Axes, table: pd.DataFrame, color: str) -> None:
    """Draw a published curve: thin, dashed, without markers."""
    axes.plot(
        table["compression"], table["accuracy_percent"], "--", color=color, linewidth=1.2, dashes=(4, 2)
    )


def compression_axis(axes: Axes, largest: float, smallest: float = 1.0) -> None:
    """Make x a logarithmic axis of compression with plain numbers."""
    axes.set_xscale("log")
    axes.set_xlim(smallest * 0.93, largest * 1.08)
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if smallest <= t <= largest]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def accuracy_axis(axes: Axes, chance: float) -> None:
    """Make y test accuracy in percent, 0 to 100, with a line at chance."""
    axes.set_ylim(0, 102)
    axes.axhline(100 * chance, color="#999999", linewidth=0.9, linestyle=":")


def legend_below(
    axes: Axes,
    lines: Sequence[Line],
    points: pd.DataFrame,
    extra: Sequence[Line2D] = (),
    columns: int = 1,
    gap: float = 0.24,
) -> None:
    """Put the legend of what is drawn below the axes, ``gap`` of their height below."""
    drawn = set(points["preset"])
    handles = [
        Line2D([], [], color=x.color, marker=x.marker, linestyle=x.style, markersize=5, label=x.label)
        for x in lines
        if x.preset in drawn
    ]
    axes.legend(
        handles=[*handles, *extra],
        loc="upper left",
        bbox_to_anchor=(0, -gap),
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.0,
        ncols=columns,
    )


def dashed(label: str, color: str = "#555555") -> Line2D:
    """Return a legend entry for a published curve."""
    return Line2D([], [], color=color, linestyle="--", linewidth=1.2, label=label)


def title(figure: Figure, text: str, points: pd.DataFrame, below: str) -> None:
    """Write a title that says how many seeds, and at the bottom what the data are."""
    seeds = points["seed"].nunique()
    text = f"{text}, mean ± std of {seeds} seeds" if seeds > 1 else f"{text}, one seed"
    figure.suptitle(text, x=0.01, ha="left", fontsize=13, fontweight="bold")
    characters = int(figure.get_figwidth() * 14)  # of this size fit in an inch, with some to spare
    wrapped = textwrap.fill(below, characters)
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=9, color="#444444")
