"""What every layer keeps: of the setting that validation prefers at the main compression, and of ReWA's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis import text
from analysis.evidence.layers import LayerShares, layer_name, layers_sentence, share_text, shown_settings
from analysis.figures import RC
from analysis.page.parts.part import Block
from analysis.styles import Style, styles
from analysis.summary import Summary

MANY = 12  # layers; the table of more is folded away
LONGEST = 26  # letters of a layer's name in the figure


def block(summary: Summary) -> Block | None:
    """Look at the layers of the recommended settings.

    Args:
        summary: The sweep.

    Returns:
        ``shown`` for the figure, ``ratio``, ``sentences`` with one per setting, ``rows`` of the table with a
        cell per setting, ``fold`` for long tables. None where no layers were counted, or there is only one.
    """
    shown = shown_settings(summary)
    if not shown:
        return None
    return {
        "shown": shown,
        "ratio": text.ratio(shown[0].ratio),
        "uniform": share_text(1.0 / shown[0].ratio),
        "names": [f"{one.method} ({one.trial})" for one in shown],
        "sentences": [layers_sentence(one) for one in shown],
        "rows": _rows(shown),
        "fold": len(shown[0].table) > MANY,
        "seeds": text.span([str(n) for n in sorted({int(n) for one in shown for n in one.table["seeds"]})]),
    }


def figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Draw the kept share of every layer, a line per layer.

    Args:
        summary: The sweep.
        block: What `block` returned.
        narrow: Draw for a phone's width.
    """
    shown: list[LayerShares] = block["shown"]
    look = styles([one.method for one in shown])
    layers = shown[0].table
    count = len(layers)
    size = 9.0 if count <= MANY else 7.0 if count <= 30 else 6.0
    height = max(1.9, (0.34 if count <= MANY else 0.19 if count <= 30 else 0.15) * count + 1.3)
    shares = pd.concat([one.table for one in shown])
    positive = shares.loc[shares["low"] > 0.0, "low"]
    edge = 10.0 ** np.floor(np.log10(min([*positive, 1.0 / shown[0].ratio])) - 0.5)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.3 if narrow else 8.6, height), layout="constrained")
        axes = figure.subplots()
        for number, one in enumerate(shown):
            offset = 0.0 if len(shown) == 1 else 0.17 * (2 * number - 1)
            _draw(axes, one, look[one.method], offset, edge, size)
        axes.axvline(1.0 / shown[0].ratio, color="black", linewidth=1.0, linestyle=":", zorder=1)
        axes.set_xscale("log")
        axes.set_xlim(edge * 0.8, 1.15)
        axes.xaxis.set_major_locator(LogLocator(numticks=9))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(count - 0.4, -0.6)
        axes.set_yticks(range(count), [_label(row, narrow) for row in layers.to_dict("records")])
        axes.tick_params(axis="y", length=0, labelsize=size)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_xlabel(f"weights kept at {block['ratio']}, % of the layer", fontsize=9)
        figure.legend(loc="outside lower center", ncols=1 if narrow else 3, frameon=False, fontsize=8)
    return {"layers": figure}


def _draw(axes: Axes, one: LayerShares, style: Style, offset: float, edge: float, size: float) -> None:
    """A dot per layer at the mean, a line over the seeds, a cross where nothing is left."""
    table = one.table
    places = np.arange(len(table)) + offset
    mean = table["mean"].to_numpy(dtype=float)
    low = np.maximum(table["low"].to_numpy(dtype=float), edge)
    axes.hlines(
        places, edge * 0.5, np.maximum(mean, edge), color=style.color, alpha=0.25, linewidth=size / 3.0
    )
    axes.hlines(places, low, np.maximum(table["high"], edge), color=style.color, linewidth=1.6)
    dots: dict[str, Any] = {"linestyle": "", "color": style.color, "marker": style.marker}
    name = f"{one.method} ({one.trial})"
    full = mean > 0.0
    axes.plot(mean[full], places[full], markersize=0.55 * size, label=name, **dots)
    bare = (table["bare"] > 0).to_numpy()
    if bare.any():
        cross: dict[str, Any] = {"marker": "X", "color": "black", "s": 5.0 * size, "zorder": 5}
        axes.scatter(
            np.full(int(bare.sum()), edge), places[bare], label=f"no weight left, {one.method}", **cross
        )


def _label(row: Mapping[Any, Any], narrow: bool) -> str:
    """A layer's name with its size where there is room."""
    name = layer_name(row["layer"])
    if len(name) > LONGEST:
        name = f"\u2026{name[-LONGEST + 1 :]}"
    return name if narrow else f"{name}  ({text.number(float(row['weights']))})"


def _rows(shown: list[LayerShares]) -> list[dict[str, Any]]:
    """The table: a layer's name, its weights, and a cell per setting."""
    by_layer = [one.table.set_index("layer").to_dict("index") for one in shown]
    rows = []
    for layer, own in by_layer[0].items():
        cells = [_cell(table[layer]) if layer in table else text.DASH for table in by_layer]
        rows.append(
            {"layer": layer_name(layer), "weights": text.number(float(own["weights"])), "cells": cells}
        )
    return rows


def _cell(row: Mapping[Any, Any]) -> str:
    """Write ``12 % (11 % to 13 %)``, and on how many seeds nothing is left."""
    told = share_text(float(row["mean"]))
    if int(row["seeds"]) > 1 and row["low"] != row["high"]:
        told += f" ({share_text(float(row['low']))} to {share_text(float(row['high']))})"
    bare = int(row["bare"])
    return f"{told}, no weight left on {bare} of {row['seeds']}" if bare and int(row["seeds"]) > 1 else told
