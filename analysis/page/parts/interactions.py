"""Maps of the search: where each method's good trials lie, and where its trials fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import text
from analysis.evidence.interactions import Interaction, Region, interaction, interaction_sentence
from analysis.evidence.trials import Scale, named
from analysis.figures import RC
from analysis.page.parts.part import Block
from analysis.summary import Summary

COLUMNS = 3
MARKS: dict[str, dict[str, Any]] = {
    "diverged": {"marker": "x", "color": "#222222", "s": 26, "linewidths": 1.1},
    "failed": {"marker": "+", "color": "#222222", "s": 40, "linewidths": 1.1},
}
RING: dict[str, Any] = {
    "marker": "o",
    "facecolors": "none",
    "edgecolors": "black",
    "s": 95,
    "linewidths": 1.4,
}
COLOURS = "viridis"


def block(summary: Summary) -> Block | None:
    """Look at every method.

    Args:
        summary: The sweep.

    Returns:
        ``maps`` for the figure, ``sentences`` with a sentence per method, ``rows`` of the table of ranges
        (``rims``: whether one has an end to tell), and ``left_out`` on trials that are on no map. None where
        nothing was tuned.
    """
    maps = [found for method in summary.methods if (found := interaction(summary.record, method))]
    if not maps:
        return None
    rows = [_row(one.method, region) for one in maps for region in (*one.regions, *one.beside)]
    missing = {one.method: one.missing for one in maps if one.missing}
    left_out = [f"{count} of {method}" for method, count in missing.items()]
    return {
        "maps": maps,
        "sentences": [told for one in maps if (told := interaction_sentence(one))],
        "rows": rows,
        "rims": any(row["rim"] for row in rows),
        "left_out": f"Not drawn, because they lack one of the two: {text.join(left_out)}."
        if left_out
        else "",
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Draw one map per method, all on one colour scale.

    Args:
        summary: The sweep.
        block: What `block` returned.
        narrow: Draw for a phone's width.
    """
    maps: list[Interaction] = block["maps"]
    columns = min(2 if narrow else COLUMNS, len(maps))
    count = math.ceil(len(maps) / columns)
    best = max((float(one.trials["score"].max()) for one in maps if len(one.trials)), default=0.0)
    colours = ScalarMappable(Normalize(0.0, best if best > 0.0 else 1.0), COLOURS)
    with mpl.rc_context(RC):
        size = (4.3, 1.95 * count + 0.75) if narrow else (8.6, 2.55 * count + 0.75)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(count, columns, squeeze=False).ravel()
        for axes, one in zip(grid, maps, strict=False):
            _draw(axes, one, colours, 6.5 if narrow else 8.0)
        for axes in grid[len(maps) :]:
            axes.set_axis_off()
        bar = figure.colorbar(colours, ax=list(grid), location="top", aspect=40, fraction=0.03, shrink=0.7)
        bar.set_label("score of a trial (0 worst, 1 ideal)", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
        _legend(figure, maps)
    return {"interactions": figure}


def _draw(axes: Axes, one: Interaction, colours: ScalarMappable, size: float) -> None:
    """One method: its trials, the confirmed ones ringed, and the box of the best quarter."""
    trials = one.trials
    done = trials[trials["status"] == "completed"].sort_values("score", kind="stable")
    look: dict[str, Any] = {"s": 26, "edgecolors": "#444444", "linewidths": 0.4, "zorder": 3}
    axes.scatter(done["x"], done["y"], c=colours.to_rgba(done["score"].to_numpy()), **look)
    for status, mark in MARKS.items():
        lost = trials[trials["status"] == status]
        axes.scatter(lost["x"], lost["y"], zorder=2, **mark)
    chosen = trials[trials["confirmed"]]
    axes.scatter(chosen["x"], chosen["y"], zorder=4, **RING)
    if len(one.corners) == 2:
        (left, right), (bottom, top) = (
            _room(scale, *ends) for scale, ends in zip((one.x, one.y), one.corners, strict=True) if scale
        )
        frame: dict[str, Any] = {
            "fill": False,
            "edgecolor": "#555555",
            "linestyle": (0, (4, 2)),
            "linewidth": 0.9,
        }
        axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, zorder=1, **frame))
    _axis(axes, "x", one.x)
    axes.set_xlabel(named(one.x.name, one.method), fontsize=size)
    if one.y:
        _axis(axes, "y", one.y)
    axes.set_ylabel(named(one.y.name, one.method) if one.y else "score", fontsize=size)
    axes.tick_params(labelsize=size - 0.5)
    axes.set_title(one.method, loc="left", fontsize=size + 1.0, fontweight="bold")


def _axis(axes: Axes, which: str, scale: Scale) -> None:
    """Set the limits and the ticks of a scale whose places are drawn."""
    low, high = scale.ends
    room = 0.06 * (high - low) or 0.5
    if which == "x":
        axes.set_xlim(low - room, high + room)
    else:
        axes.set_ylim(low - room, high + room)
    axis = axes.xaxis if which == "x" else axes.yaxis
    if scale.kind == "choice":
        labels = [text.config_value(choice, 3) for choice in scale.choices]
        axis.set_ticks(range(len(labels)), labels)
    elif scale.kind == "log":
        ticks = _log_ticks(scale.low, scale.high)
        axis.set_ticks([math.log10(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
    else:
        axes.locator_params(axis="x" if which == "x" else "y", nbins=5)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values in a range: three to six powers of ten, or with values between where those are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        inside = [float(f"{tick:.1g}") for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / 6)]
    return inside if len(inside) == 2 else sorted({float(f"{low:.3g}"), float(f"{high:.3g}")})


def _room(scale: Scale, low: float, high: float) -> tuple[float, float]:
    """The ends of a box with some air around the points."""
    start, end = scale.ends
    air = 0.3 if scale.kind == "choice" else 0.02 * (end - start)
    return low - air, high + air


def _legend(figure: Figure, maps: list[Interaction]) -> None:
    """Name the marks that occur."""
    entries: list[Any] = []
    used = {status for one in maps for status in one.trials["status"]}
    scatter = figure.axes[0].scatter
    for status, mark in MARKS.items():
        if status in used:
            entries.append(scatter([], [], label=status, **mark))
    if any(one.trials["confirmed"].any() for one in maps):
        entries.append(scatter([], [], label="confirmed on fresh seeds", **RING))
    if any(one.corners for one in maps):
        frame: dict[str, Any] = {"color": "#555555", "linestyle": (0, (4, 2)), "linewidth": 0.9}
        entries += figure.axes[0].plot([], [], label="best quarter", **frame)
    if entries:
        figure.legend(
            handles=entries, loc="outside lower center", ncols=4, frameon=False, fontsize=8, columnspacing=1.0
        )


def _row(method: str, region: Region) -> dict[str, str]:
    at_the_end = f"{region.rim} end" if region.rim else ""
    return {
        "method": method,
        "name": named(region.name, method),
        "searched": region.searched,
        "best": region.best,
        "rim": at_the_end,
    }
