"""Which of a method's settings mattered: bars per method, and one sentence on what to tune first."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import text
from analysis.evidence.importance import MOST, ROUNDS, Importance, importance_sentence, importances
from analysis.evidence.trials import named
from analysis.figures import RC
from analysis.page.parts.part import Block
from analysis.styles import styles
from analysis.summary import Summary
from analysis.tables import FOCUS

VIEWS = {"drawn": "as drawn", "config": "own settings"}
COLUMNS = 3


def block(summary: Summary) -> Block | None:
    """Measure every method.

    Args:
        summary: The sweep.

    Returns:
        ``sentence`` on the method the project is about (else the first), ``others`` on the rest,
        ``panels`` with what the figure shows, ``missing`` with why methods are not in it, and ``note``.
        None without search trials.
    """
    found = [one for method in summary.methods for one in importances(summary.record, method)]
    if not found:
        return None
    panels = [one for one in found if one.shares]
    first = next((one for one in panels if one.method == FOCUS), panels[0] if panels else None)
    rest = [one for one in panels if one is not first and one.view == "drawn"]
    told = [one for one in panels if one is not first and one not in rest and one.method == FOCUS]
    return {
        "sentence": importance_sentence(first) if first else "",
        "others": [importance_sentence(one) for one in [*told, *rest]],
        "panels": panels,
        "missing": _missing(found),
        "note": _note(panels),
        "alt": "Share of the variance of the score that each tuned quantity explains, one panel per method",
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Draw one panel per method, and two where its draws differ from its settings.

    Args:
        summary: The sweep.
        block: What `block` returned.
        narrow: Draw for a phone's width.
    """
    panels: list[Importance] = block["panels"]
    if not panels:
        return {}
    columns = 1 if narrow else min(COLUMNS, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    bars = [max(len(one.shares) for one in row) for row in rows]
    height = sum(0.26 * count + 0.42 for count in bars) + 0.5
    look = styles([one.method for one in panels])
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3 if narrow else 8.6, height), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, height_ratios=bars)
        for row, axes_row in zip(rows, grid, strict=True):
            for axes, one in zip(axes_row, row, strict=False):
                _draw(axes, one, look[one.method].color)
                axes.set_ylim(-max(len(other.shares) for other in row) + 0.4, 0.6)
                twice = sum(other.method == one.method for other in panels) > 1
                title = f"{one.method}, {VIEWS[one.view]}" if twice else one.method
                axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
            for axes in axes_row[len(row) :]:
                axes.set_axis_off()
        lowest = {
            (number % columns): grid[number // columns][number % columns] for number in range(len(panels))
        }
        for axes in lowest.values():
            axes.tick_params(labelbottom=True)
        grid[0][0].set_xlim(0.0, 1.0)
        grid[0][0].set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
        figure.supxlabel("explained share of the variance of the score", fontsize=9)
    return {"importance": figure}


def _draw(axes: Axes, one: Importance, color: str) -> None:
    """Bars with the range of the rounds, pale where they do not stand out, and the floor."""
    places = -np.arange(len(one.shares))
    means = [share.mean for share in one.shares]
    reach = [
        [share.mean - share.low for share in one.shares],
        [share.high - share.mean for share in one.shares],
    ]
    bars = axes.barh(places, means, height=0.62, color=color, edgecolor=color)
    for bar, share in zip(bars, one.shares, strict=True):
        if not share.stands_out:
            bar.set(facecolor="white", hatch="/////", linewidth=0.8)
    axes.errorbar(means, places, xerr=reach, fmt="none", ecolor="#222222", elinewidth=1.0, capsize=2.5)
    axes.axvline(one.floor, color="black", linewidth=1.0, linestyle=":")
    axes.set_yticks(places, [named(share.name, one.method) for share in one.shares])
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def _missing(found: list[Importance]) -> list[str]:
    """Why methods have no bars, those with the same reason in one sentence; what was left out of others."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.reason:
            reasons.setdefault(one.reason, []).append(one.method)
    sentences = [f"{text.join(list(dict.fromkeys(names)))}: {reason}." for reason, names in reasons.items()]
    left_out = [f"{one.method}: {told}." for one in found for told in one.left_out]
    return sentences + list(dict.fromkeys(left_out))


def _note(panels: list[Importance]) -> str:
    if not panels:
        return ""
    counts = sorted({one.looked_at for one in panels})
    told = text.span([str(count) for count in counts])
    sample = (
        f" Of more than {MOST} trials each forest sees {MOST} drawn at random."
        if any(one.looked_at < one.trials for one in panels)
        else ""
    )
    return (
        "A bar is the share of the variance of the search score, over the searched ranges, that a quantity "
        "explains by itself (functional ANOVA on random forests); what is missing to 100 % is interplay and "
        f"noise. The line across it spans {ROUNDS} forests grown on resampled trials. Dotted: what 95 of 100 "
        "scrambled copies of the quantities stay below; bars that end before it are hatched, and nothing "
        "can be said of them. Diverged and failed trials count with score 0, so a quantity that makes trials "
        f"fail matters. From {told} trials this is rough: about one idle quantity in twenty passes the "
        f"dotted line.{sample}"
    )
