"""The figure of ``benchmarks.regimes``: methods by regimes, three heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.figures import RC
from benchmarks.regimes_data import Regime
from benchmarks.regimes_methods import REPAIR
from rewa.mlflow_view import method_colour

WORST = 20.0
"""Relative errors from here on have one colour."""


def draw(table: pd.DataFrame, regimes: Sequence[Regime], repeats: int) -> Figure:
    """Draw error, support and error at the truth's size, each with the best and its ties marked.

    Args:
        table: What ``benchmarks.regimes.summary`` returned.
        regimes: Its regimes.
        repeats: Data sets per regime.
    """
    titles = {regime.name: regime.title for regime in regimes}
    with mpl.rc_context({**RC, "axes.grid": False}):
        figure = Figure(figsize=(17.2, 6.6), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        error: dict[str, Any] = {"cmap": "mako_r", "norm": LogNorm(1, WORST)}
        _heat(panels[0], table, titles, "relative", "excess", "standing", error)
        _heat(panels[1], table, titles, "f1", None, "f1_standing", {"cmap": "mako", "norm": Normalize(0, 1)})
        _heat(panels[2], table, titles, "k_relative", "excess_k", "k_standing", error)
        panels[0].set_title("excess error over the regime's lowest", loc="left", fontsize=11)
        panels[1].set_title("F1 of the support (weights above 1e-3)", loc="left", fontsize=11)
        panels[2].set_title("excess error with the k largest weights only", loc="left", fontsize=11)
        for label in panels[0].get_yticklabels():
            label.set_color(method_colour(label.get_text().removesuffix(REPAIR)))
            label.set_fontweight("bold")
        figure.suptitle(
            "Which sparse method wins where: 24 settings each, chosen on validation; "
            f"medians of {repeats} data sets, n = {regimes[0].n}, d = {regimes[0].d}\n",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        figure.text(
            0.01,
            0.945,
            "Thick box: best. Thin box: not told from it by a paired test (5 %, Holm). In brackets below a "
            "regime: its lowest median excess error (squared error; classes: log loss).",
            fontsize=10,
            color="#444444",
        )
    return figure


def _heat(
    axes: Axes,
    table: pd.DataFrame,
    titles: Mapping[str, str],
    column: str,
    absolute: str | None,
    standing: str,
    colours: dict[str, Any],
) -> None:
    """One heat map with methods as rows, in the table's order."""
    methods, names = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["regime"]))
    values = table.pivot(index="method", columns="regime", values=column).loc[methods, names]
    marks = table.pivot(index="method", columns="regime", values=standing).loc[methods, names]
    shown = values.clip(upper=WORST) if absolute else values
    texts = values.map(_ratio if absolute else "{:.2f}".format)
    sns.heatmap(
        shown.astype(float),
        annot=texts.to_numpy(),
        fmt="",
        cbar=False,
        linewidths=1,
        annot_kws={"fontsize": 9},
        ax=axes,
        **colours,
    )
    for row, method in enumerate(methods):
        for place, name in enumerate(names):
            if mark := marks.loc[method, name]:
                width = 2.6 if mark == "best" else 1.2
                box = Rectangle(
                    (place + 0.05, row + 0.06), 0.9, 0.88, fill=False, edgecolor="#D55E00", linewidth=width
                )
                axes.add_patch(box)
    labels = [titles[name] for name in names]
    if absolute:
        lowest = table.groupby("regime")[absolute].min()
        labels = [f"{label}\n({lowest[name]:.3g})" for label, name in zip(labels, names, strict=True)]
    axes.set_xticks(np.arange(len(names)) + 0.5, labels, fontsize=8, rotation=0)
    axes.set_yticks(np.arange(len(methods)) + 0.5, methods, fontsize=10, rotation=0)
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0)


def _ratio(value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
