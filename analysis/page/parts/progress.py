"""Does the search still gain? Pooled validation hypervolume against trials and against what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import text
from analysis.evidence.progress import search_ends, search_progress, time_unit
from analysis.figures import RC, legend_below
from analysis.hypervolume import box_end, own_reference
from analysis.page.parts.part import Block
from analysis.pareto import DIGITS
from analysis.styles import Style, styles
from analysis.summary import Summary
from analysis.tables import section

WORTH = 0.01
"""Part of its final value that a method must still have gained for the advice to search on."""


def block(summary: Summary) -> Block | None:
    """The progress of every method, and in a sentence which of them still gained; None without a search."""
    if not (summary.record.runs["phase"] == "search").any():
        return None
    progress = search_progress(summary)
    ends = search_ends(progress)
    return {
        "progress": progress,
        "sentence": _sentence(ends),
        "unit": time_unit(summary.record.meta),
        "rows": [_row(row) for row in ends.to_dict("records")],
        "note": _note(summary),
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Two panels: the hypervolume so far against trials, and against device-seconds."""
    progress: pd.DataFrame = block["progress"]
    look = styles(list(progress["method"].unique()))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3, 5.8) if narrow else (8.6, 3.6), layout="constrained")
        shape = (2, 1) if narrow else (1, 2)
        trials, spent = figure.subplots(*shape, sharey=True)
        _panel(trials, progress, "number", look)
        _panel(spent, progress, "spent", look)
        trials.set_xlabel("trials of the method")
        trials.xaxis.set_major_locator(MaxNLocator(integer=True))
        spent.set_xlabel(f"{block['unit']} spent by the method")
        for axes in (trials, spent) if narrow else (trials,):
            axes.set_ylabel("validation hypervolume")
        trials.set_ylim(0.0, max(0.05, 1.08 * float(progress["hypervolume"].max())))
        handles, labels = trials.get_legend_handles_labels()
        legend_below(figure, handles, labels, 3 if narrow else 6)
    return {"progress": figure}


def _panel(axes: Axes, progress: pd.DataFrame, across: str, look: dict[str, Style]) -> None:
    """One step line per method, with its symbol at the last trial that gained."""
    for method, style in look.items():
        own = progress[progress["method"] == method]
        gained = (own["gain"].round(DIGITS) > 0.0).to_numpy().nonzero()[0]
        mark: dict[str, Any] = {"marker": style.marker, "markersize": 7, "markeredgecolor": "white"}
        mark |= {"markevery": [int(gained[-1])] if len(gained) else [], "zorder": 3}
        line = "--" if style.dashes else "-"
        x, y = own[across].to_numpy(dtype=float), own["hypervolume"].to_numpy(dtype=float)
        axes.step(x, y, line, where="post", color=style.color, label=method, linewidth=1.6, **mark)
    axes.set_xlim(left=0.0)


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    spent = row["spent"]
    return {
        "method": row["method"],
        "trials": row["trials"],
        "final": f"{row['hypervolume']:.3f}",
        "late": _amount(row["late"]),
        "late_trials": row["late_trials"],
        "last": f"{row['last']} ({row['trial']})" if row["last"] else "none",
        "spent": text.number(spent) if spent >= 100.0 else f"{spent:.3g}",
    }


def _amount(gain: float) -> str:
    """Write a gain in hypervolume, a small one never as none."""
    if round(gain, DIGITS) == 0.0:
        return "0"
    return f"{gain:.3f}" if gain >= 0.0005 else "< 0.001"


def _sentence(ends: pd.DataFrame) -> str:
    """Say which methods still gained in the last quarter of their trials."""
    gained = ends[ends["late"].round(DIGITS) > 0.0]
    sizes = sorted(set(ends["trials"]))
    span = f"the last quarter of {'its' if len(ends) == 1 else 'their'} trials"
    if len(sizes) == 1:
        span = f"the last {ends['late_trials'].iloc[0]} of {sizes[0]} trials"
    if gained.empty:
        return f"In {span} no method gained anything."
    parts = []
    for row in gained.to_dict("records"):
        share = _percent(row["late"] / row["hypervolume"])
        parts.append(f"{row['method']} gained {_amount(row['late'])} ({share} of its final value)")
    rest = "" if len(gained) == len(ends) else "; the others gained nothing"
    found = f"In {span} {text.join(parts)}{rest}."
    open_ended = gained[gained["late"] > WORTH * gained["hypervolume"]]
    if len(open_ended):
        found += f" More trials might still help {text.join(open_ended['method'].tolist())}."
    return found


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100.0 * share:.1f} %"


def _note(summary: Summary) -> str:
    meta, words = summary.record.meta, summary.words
    cap = box_end(meta, summary.points)
    reference = words.reference(own_reference(meta, summary.metric))
    area = (
        "Area that the validation frontiers of all trials of a method so far dominate together, above the "
        f"reference {reference} and from 1x to {cap:g}x, as a share of the whole box; a staircase under the "
        "points, where the score of a trial joins them by lines, so that the two differ. It can only rise, "
        "and with more trials more of it is luck on the validation split: read whether a line still rises, "
        "not how high it is."
    )
    luck = "One search per method: with another search seed the steps would come elsewhere."
    parts = (area, _known(summary), "Symbol: the last trial that gained.", _cost(summary), luck)
    return " ".join(part for part in parts if part)


def _known(summary: Summary) -> str:
    """Say that a search does not start from nothing, where it does not."""
    methods = section(section(summary.record.meta, "space"), "methods").values()
    counts = {len(part.get("known") or []) for part in methods if isinstance(part, dict)}
    if not counts or counts == {0}:
        return ""
    return f"The first trials ({text.span([str(n) for n in sorted(counts)])}) are settings known beforehand."


def _cost(summary: Summary) -> str:
    unit = time_unit(summary.record.meta)
    what = "Diverged and failed trials count with what they cost."
    if unit == "seconds of training":
        return f"{what} Seconds of training: the devices that a trial held are not the same or not on record."
    return f"{what} {unit}: seconds of training times the devices held, the search's own overhead left out."
