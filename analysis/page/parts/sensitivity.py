"""Which method is first by hypervolume, at every reference value between chance and ideal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import text
from analysis.evidence.sensitivity import Stretch, reference_strip, stretches
from analysis.figures import RC, legend_below
from analysis.hypervolume import box_end, hypervolume_table, own_reference
from analysis.page.parts.part import Block
from analysis.pareto import DIGITS
from analysis.styles import Style, styles
from analysis.summary import Summary
from analysis.tables import section

MANY = 5
"""Stretches that a sentence can still list."""


def block(summary: Summary) -> Block | None:
    """The hypervolumes over the references, and in a sentence who is first where."""
    strip = reference_strip(summary)
    found = stretches(strip) if strip.shape[1] > 1 else []
    if not any(stretch.first for stretch in found):
        return None
    step = abs(strip.index[1] - strip.index[0])
    return {
        "sentence": f"{_sentence(found, strip, summary)} {_at_objective(summary)}".strip(),
        "note": _note(summary, float(step)),
        "strip": strip,
        "stretches": found,
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Hypervolume against reference, one line per method; below, a strip that names the first."""
    strip: pd.DataFrame = block["strip"]
    metric, scale = summary.metric, 100.0 if summary.metric.is_share else 1.0
    look = styles(list(strip.columns))
    size = (4.3, 4.4) if narrow else (8.6, 3.9)
    with mpl.rc_context(RC):
        figure = Figure(figsize=size, layout="constrained")
        lines, below = figure.subplots(2, 1, sharex=True, height_ratios=(6, 1))
        x = scale * strip.index.to_numpy(dtype=float)
        every = max(1, len(x) // 10)
        for count, (method, style) in enumerate(look.items()):
            mark: dict[str, Any] = {"marker": style.marker, "markersize": 4.5 if narrow else 5.5}
            mark |= {"markevery": (count * every // len(look), every)}
            line = "--" if style.dashes else "-"
            lines.plot(x, strip[method], line, color=style.color, label=method, linewidth=1.6, **mark)
        lines.set_ylim(0.0, 1.02)
        lines.set_ylabel("hypervolume (1: ideal)")
        _strip(below, block["stretches"], look, scale, abs(float(x[1] - x[0])), narrow)
        own = section(summary.record.meta, "objective").get("reference")
        if own is not None and own_reference(summary.record.meta, metric) == own:
            for axes in (lines, below):
                axes.axvline(scale * own, color="black", linewidth=1.2, linestyle=":", zorder=5)
            place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            place |= {"xytext": (0, 2), "ha": "center", "va": "bottom", "fontsize": 8}
            lines.annotate("objective", (scale * own, 1.0), **place)
        below.set_xlim(scale * metric.chance, scale * metric.ideal)  # from lenient to strict
        unit = ", %" if metric.is_share else ""
        below.set_xlabel(f"reference {metric.name}{unit}: lenient (left) to strict (right)", fontsize=9)
        handles, labels = lines.get_legend_handles_labels()
        legend_below(figure, handles, labels, 3 if narrow else 6)
    return {"strip": figure}


def _strip(
    axes: Axes, found: list[Stretch], look: dict[str, Style], scale: float, step: float, narrow: bool
) -> None:
    """Colour the references by the first method; ties are grey and hatched, and long stretches are named."""
    span = step * sum(round(abs(s.end - s.start) * scale / step) + 1 for s in found)
    for stretch in found:
        low, high = sorted((scale * stretch.start, scale * stretch.end))
        left, width = low - 0.5 * step, high - low + step
        style = look[stretch.first[0]] if len(stretch.first) == 1 else None
        fill: dict[str, Any] = {"facecolor": style.color if style else "#f0f0f0", "edgecolor": "#bbbbbb"}
        fill |= {"hatch": "///" if len(stretch.first) > 1 else None, "linewidth": 0.5}
        axes.add_patch(Rectangle((left, 0.0), width, 1.0, **fill))
        name = text.join(list(stretch.first)) if stretch.first else "none"
        if width / span > (0.024 if narrow else 0.012) * len(name):
            label: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "fontweight": "bold"}
            label["bbox"] = {"facecolor": fill["facecolor"], "edgecolor": "none", "pad": 1.5}
            label["zorder"] = 6  # over the objective's line
            axes.text(left + width / 2.0, 0.5, name, color=_ink(style), **label)
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    axes.set_ylabel("first", fontsize=9)
    axes.grid(visible=False)


def _ink(style: Style | None) -> str:
    """Black or white, whichever is read better on the method's colour (relative luminance)."""
    if style is None:
        return "black"
    red, green, blue = mpl.colors.to_rgb(style.color)
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "white"


def _sentence(found: list[Stretch], strip: pd.DataFrame, summary: Summary) -> str:
    """Say which method is first on what range of references."""
    words = summary.words
    told = [stretch for stretch in found if stretch.first]
    leaders = list(dict.fromkeys(name for stretch in told for name in stretch.first))
    ends = words.reference(told[0].start), words.reference(told[-1].end)
    if len(told) == 1:
        verb = "is" if len(leaders) == 1 else "tie for"
        start = f"{text.join(leaders)} {verb} first at every reference from {ends[0]} to {ends[1]}"
    elif len(told) <= MANY:
        start = "First by reference: " + text.join([_named(stretch, summary) for stretch in told])
    else:
        rounded = strip[strip.max(axis=1) > 0.0].round(DIGITS)
        sizes = rounded.eq(rounded.max(axis=1), axis=0).mean()
        shares = [f"{name} is first at {100.0 * sizes[name]:.0f} %" for name in leaders]
        start = f"The first place changes {len(told) - 1} times between {ends[0]} and {ends[1]}: "
        start += f"of the references, {text.join(shares)}"
    beyond = "" if found[-1].first else "; at stricter ones no method beats the reference anywhere"
    return f"{start}{beyond}."


def _named(stretch: Stretch, summary: Summary) -> str:
    words = summary.words
    ends = text.span([words.reference(stretch.start), words.reference(stretch.end)])
    return f"{text.join(list(stretch.first))} {'(tied) ' if len(stretch.first) > 1 else ''}at {ends}"


def _at_objective(summary: Summary) -> str:
    """Say by how much the first leads at the objective's own reference; empty where it has none."""
    meta, metric = summary.record.meta, summary.metric
    own = section(meta, "objective").get("reference")
    if own is None or own_reference(meta, metric) != own:
        return ""
    methods = [method for method in summary.methods if method in set(summary.points["method"])]
    cap = box_end(meta, summary.points)
    ranked = hypervolume_table(summary.points, methods, [own], cap, metric)[own]
    ranked = ranked.sort_values(ascending=False, kind="stable")
    (first, second), (best, next_best) = ranked.index[:2], ranked.iloc[:2]
    return (
        f"At the objective's own reference, {summary.words.reference(own)}, {first} has {best:.3f} and "
        f"{second} {next_best:.3f}."
    )


def _note(summary: Summary, step: float) -> str:
    words = summary.words
    size = f"{words.size(step)}{words.points}"
    return (
        "Hypervolume of the recommended settings' means on test, as a share of the box above each reference: "
        f"compare methods at one reference, not along a line. References in steps of {size}. Grey, hatched: "
        "a tie. Dotted: the reference of the search's objective. These areas know no seed noise: a small "
        "lead is a lead in these runs and no more."
    )
