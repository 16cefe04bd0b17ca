"""The maps of :mod:`benchmarks.phase_transition`, the closed forms drawn on them, and what they say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from analysis.figures import RC

F64 = NDArray[np.float64]

MAPS = {
    "rewa_one_start": "ReWA M = 4\none random start",
    "rewa_correlation": "ReWA M = 4\nstart at X'y / 10n",
    "rewa_both_signs": "ReWA M = 4\nx = a - b, fixed start",
    "rewa_crossing": "ReWA M = 0.9\none random start",
    "lasso": "LASSO\n ",
    "l0_5": "L0.5\n ",
}
"""Methods that are drawn, in this order."""

NAMES = {
    "rewa_one_start": "ReWA M = 4, one random start",
    "rewa_all_starts": "ReWA M = 4, best of {starts} random starts by validation",
    "rewa_correlation": "ReWA M = 4, start at a tenth of X'y/n",
    "rewa_both_signs": "ReWA M = 4, x = a - b",
    "rewa_crossing": "ReWA M = 0.9, one random start",
    "lasso": "LASSO",
    "l0_5": "L0.5",
}

READINGS = {
    "selected_top_k": "the k largest weights\nare the support",
    "selected_exact": "weights above 1e-3\nare the support",
    "best_exact": "weights above 1e-3, some\nsetting of the path",
}
"""Rows of the figure: the first two with the setting that validation chose."""

COLOURS = dict(zip(MAPS, ("#888888", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#0072B2"), strict=True))
CURVE: dict[str, Any] = {"color": "#D55E00", "linewidth": 1.6, "linestyle": "--"}


def wainwright(k: ArrayLike, d: int) -> F64:
    """Return the n at which LASSO begins to recover signed supports: 2 k log(d - k) + k + 1.

    Wainwright 2009, Theorems 3 and 4, for standard normal designs, large d and the right penalty.
    """
    k = np.asarray(k, dtype=np.float64)
    found: F64 = 2.0 * k * np.log(d - k) + k + 1.0
    return found


def signs_right(n: ArrayLike, k: ArrayLike, noise: float) -> F64:
    """Return the probability that X'y/n has the right sign on the whole support, for amplitude 1.

    An entry there is 1 on average with variance (k + 1 + noise^2) / n; treated as normal and independent.
    """
    n, k = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    found: F64 = norm.cdf(np.sqrt(n / (k + 1.0 + noise**2))) ** k
    return found


def probability(table: pd.DataFrame, method: str, reading: str) -> pd.DataFrame:
    """Return a method's shares of recovered problems: rows k, columns n."""
    own = table[table["method"] == method]
    return own.assign(p=own[reading] / own["trials"]).pivot(index="k", columns="n", values="p")


def half_at(shares: pd.Series) -> float:
    """Return the n, interpolated, from which on at least half is recovered; -inf for all, inf for no n.

    Args:
        shares: Shares by n, increasing.
    """
    n, p = shares.index.to_numpy(dtype=float), shares.to_numpy(dtype=float)
    below = np.flatnonzero(p < 0.5)
    if not len(below):
        return -np.inf
    last = int(below[-1])
    if last == len(p) - 1:
        return np.inf
    return float(n[last] + (0.5 - p[last]) / (p[last + 1] - p[last]) * (n[last + 1] - n[last]))


def halves(table: pd.DataFrame, method: str, reading: str) -> pd.Series:
    """Return :func:`half_at` by k."""
    shares = probability(table, method, reading)
    return pd.Series({k: half_at(row) for k, row in shares.iterrows()}, dtype=float)


def draw(table: pd.DataFrame, d: int, noise: float, starts: int) -> Figure:
    """Draw a map per reading and method, then the share of random starts that lead to the support."""
    with mpl.rc_context({**RC, "axes.grid": False}):
        figure = Figure(figsize=(13.2, 10.2), layout="constrained")
        halves_of_page: Any = figure.subfigures(2, 1, height_ratios=(2.5, 1))
        above, below = halves_of_page
        axes = above.subplots(len(READINGS), len(MAPS), sharex=True, sharey=True)
        for row, (reading, title) in zip(axes, READINGS.items(), strict=True):
            for one, method in zip(row, MAPS, strict=True):
                mesh = _map(one, probability(table, method, reading))
            row[0].set_ylabel(f"{title}\n\nnon-zeros k", fontsize=9)
            _curves(row, reading, table, d, noise)
        for top, bottom, name in zip(axes[0], axes[-1], MAPS.values(), strict=True):
            top.set_title(name, fontsize=10, loc="left")
            bottom.set_xlabel("samples n", fontsize=9)
        bar = above.colorbar(mesh, ax=axes, shrink=0.6, aspect=30, pad=0.01)
        bar.set_label("share of problems recovered")
        left, right = below.subplots(1, 2, width_ratios=(1, 1.35))
        _starts(left, table, starts)
        _boundaries(right, table)
        title = f"Exact support recovery, d = {d}, noise {noise:g}, weights of size 1; black line: one half"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _map(axes: Axes, shares: pd.DataFrame) -> QuadMesh:
    """One heat map with its 50 % contour; k on a log axis."""
    n, k = shares.columns.to_numpy(dtype=float), shares.index.to_numpy(dtype=float)
    mesh = axes.pcolormesh(
        _edges(n), np.exp(_edges(np.log(k))), shares.to_numpy(), cmap="YlGnBu", vmin=0, vmax=1
    )
    if shares.to_numpy().min() < 0.5 and shares.to_numpy().max() > 0.75:  # else there is no transition
        axes.contour(n, k, shares.to_numpy(), levels=[0.5], colors="white", linewidths=2.2)
        axes.contour(n, k, shares.to_numpy(), levels=[0.5], colors="black", linewidths=1.1)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(k[::2], [f"{one:.0f}" for one in k[::2]], fontsize=8)
    ticks = n[1::3] if len(n) > 4 else n
    axes.set_xticks(ticks, [f"{one:.0f}" for one in ticks], fontsize=8)
    return mesh


def _edges(centres: F64) -> F64:
    """Return the cells' edges: half-way between centres, and as far outside."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _curves(row: Iterable[Axes], reading: str, table: pd.DataFrame, d: int, noise: float) -> None:
    """Draw the closed forms on the maps that they are about."""
    at = dict(zip(MAPS, row, strict=True))
    limits = at["lasso"].get_xlim(), at["lasso"].get_ylim()
    k = np.geomspace(1, min(float(table["k"].max()), d - 2), 200)
    said: dict[str, Any] = {
        "x": 0.04,
        "y": 0.97,
        "ha": "left",
        "va": "top",
        "fontsize": 7.5,
        "color": CURVE["color"],
    }
    if reading == "best_exact":
        one = at["lasso"]
        one.plot(wainwright(k, d), k, **CURVE)
        one.text(s="dashed: Wainwright's\n2k log(d-k) + k + 1", transform=one.transAxes, **said)
    if reading == "selected_top_k":
        n = np.linspace(1, float(table["n"].max()), 200)
        one = at["rewa_correlation"]
        chance = signs_right(n[None], k[:, None], noise)
        one.contour(n, k, chance, levels=[0.5], colors=CURVE["color"], linewidths=1.6, linestyles="--")
        one.text(s="dashed: all signs of\nX'y right in 1 of 2", transform=one.transAxes, **said)
    at["lasso"].set(xlim=limits[0], ylim=limits[1])


def pooled(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return recovered tries by k (validation's choice, k largest weights), over all n in the upper half.

    There, whoever starts on the right side everywhere recovers, unless k is large.
    """
    own = table[(table["method"] == method) & (table["n"] >= table["n"].max() / 2)]
    sums = own.groupby("k")[["selected_top_k", "trials"]].sum()
    found: pd.DataFrame = sums.assign(p=sums["selected_top_k"] / sums["trials"])
    return found


def chance_of_right_signs(k: ArrayLike, starts: int) -> F64:
    """Return the probability that one of several random starts has all k signs right."""
    found: F64 = 1.0 - (1.0 - 2.0 ** -np.asarray(k, dtype=np.float64)) ** starts
    return found


def _starts(axes: Axes, table: pd.DataFrame, starts: int) -> None:
    """Share of random starts that lead to the support, against k, with the chance of right signs."""
    k = np.linspace(1, 10, 100)
    for method, tries, colour, marker in (
        ("rewa_one_start", 1, "#0072B2", "o"),
        ("rewa_all_starts", starts, "#009E73", "s"),
    ):
        rows = pooled(table, method).loc[: k[-1]]
        axes.plot(k, chance_of_right_signs(k, tries), color=colour, linewidth=1.2)
        label = "one start" if tries == 1 else f"best of {tries} starts by validation"
        axes.plot(rows.index, rows["p"], marker, color=colour, markersize=6, label=label)
    axes.plot([], [], color="#555555", linewidth=1.2, label="chance that all signs are right")
    axes.set(xlabel="non-zeros k", ylabel="share recovered", ylim=(-0.03, 1.03))
    title = f"ReWA M = 4 from random starts, n >= {table['n'].max() // 2}: right signs or nothing"
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(True)


def _boundaries(axes: Axes, table: pd.DataFrame) -> None:
    """The n from which on half is recovered against k, where the grid holds it."""
    low, high = float(table["n"].min()), float(table["n"].max())
    for method, name in MAPS.items():
        if method == "rewa_one_start":  # no n helps it
            continue
        style: dict[str, Any] = {"color": COLOURS[method], "linewidth": 1.6, "markersize": 4}
        axes.plot([], [], "-", label=name.strip().replace("\n", ", "), **style)
        for reading, line in (("selected_top_k", "-o"), ("best_exact", ":s")):
            at = halves(table, method, reading).replace(-np.inf, low)
            axes.plot(at.index, at.where(np.isfinite(at)), line, **style)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    ks = sorted(table["k"].unique())
    axes.set_xticks(ks, [f"{k}" for k in ks])
    axes.set(xlabel="non-zeros k", ylabel="samples n", ylim=(0, 1.03 * high))
    axes.grid(True)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    title = "n from which on half is recovered; solid: k largest (top row), dotted: bottom row"
    axes.set_title(title, fontsize=10, loc="left")
