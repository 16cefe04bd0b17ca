"""Tables of ``benchmarks.regimes``: what validation chooses, paired tests, and who wins where."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.regimes_data import Array
from benchmarks.regimes_methods import GRIDS, REPAIR, others, penalties, penalty_name

UNIT = ["regime", "method", "seed"]
LEVEL = 0.05
"""Of the paired tests, per regime (Holm)."""


def choose(runs: pd.DataFrame, by: str = "val") -> pd.DataFrame:
    """Return, per regime, method and data seed, the run of least validation loss; diverged ones last.

    Args:
        runs: What ``Study.run`` returned.
        by: "val", "val_k" or "val_half".
    """
    return runs.sort_values(by, kind="stable").groupby(UNIT, as_index=False).head(1).sort_values(UNIT)


def paired(differences: Array) -> float:
    """Return the two-sided p of the exact sign-flip test that paired differences have mean zero.

    Pairs with a value that is not finite are left out; more than 16 are flipped 65,536 times at random.
    """
    values = differences[np.isfinite(differences)]
    if not len(values):
        return 1.0
    if len(values) <= 16:
        flips = (np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1
    else:
        flips = np.random.default_rng(0).integers(0, 2, (2**16, len(values)))
    sums = np.abs((1 - 2 * flips) @ values)
    return float((sums >= abs(values.sum()) * (1 - 1e-12)).mean())


def holm(p: Array) -> Array:
    """Return Holm's adjusted p values."""
    order = np.argsort(p)
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def compare(chosen: pd.DataFrame, column: str, lower: bool) -> pd.DataFrame:
    """Return one row per regime and method: its median, which is best, and which are not worse by the test.

    Args:
        chosen: One run per regime, method and seed.
        column: What is compared. Errors (``lower``) are tested as logarithms.
        lower: Whether less is better.

    Returns:
        Columns regime, method, median, relative (to the best), p (adjusted, against the best), standing
        ("best", "tied" or "").
    """
    rows = []
    for regime, own in chosen.groupby("regime", sort=False):
        wide = own.pivot(index="seed", columns="method", values=column)
        medians = wide.median(skipna=False)  # where all settings diverged a method cannot win or tie
        best = str(medians.idxmin() if lower else medians.idxmax())
        scale = np.log(wide.clip(lower=1e-12)) if lower else wide
        names = [str(name) for name in wide.columns]
        others = [name for name in names if name != best]
        adjusted = holm(np.array([paired((scale[m] - scale[best]).to_numpy()) for m in others]))
        p = dict(zip(others, adjusted.tolist(), strict=True)) | {best: 1.0}
        for name in names:
            tied = p[name] > LEVEL and np.isfinite(medians[name])
            standing = "best" if name == best else "tied" if tied else ""
            relative = medians[name] / medians[best] if medians[best] else np.nan
            rows.append([regime, name, medians[name], relative, p[name], standing])
    return pd.DataFrame(rows, columns=["regime", "method", "median", "relative", "p", "standing"])


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per regime and method: medians over the data sets, and standings."""
    chosen = choose(runs)
    keys = ["regime", "method"]
    columns = ["excess", "f1", "precision", "recall", "support_size", "bias", "estimation_error", "seconds"]
    table = chosen.groupby(keys)[columns].median()
    table["excess_low"] = chosen.groupby(keys)["excess"].quantile(0.25)
    table["excess_high"] = chosen.groupby(keys)["excess"].quantile(0.75)
    for name, by, column, lower in (
        ("", "val", "excess", True),
        ("f1_", "val", "f1", False),
        ("k_", "val_k", "excess_k", True),
        ("half_", "val_half", "excess_half", True),
    ):
        found = compare(choose(runs, by), column, lower).set_index(keys)
        if by != "val":
            table[column] = found["median"]
        table[f"{name}relative"], table[f"{name}p"] = found["relative"], found["p"]
        table[f"{name}standing"] = found["standing"]
    table["at_edge"] = (
        chosen.assign(edge=[_at_edge(m, s) for m, s in zip(chosen["method"], chosen["setting"], strict=True)])
        .groupby(keys)["edge"]
        .mean()
    )
    table["diverged"] = runs.groupby(keys)["diverged"].mean()
    names = list(dict.fromkeys(runs["regime"]))
    order = pd.MultiIndex.from_product([names, list(GRIDS)], names=keys)
    return table.reindex(order).reset_index()


def _at_edge(method: str, setting: int) -> bool:
    """Whether a setting has the smallest or largest penalty among those that share its other values."""
    own = GRIDS[method][setting]
    values = penalties(method)[others(own)]
    return len(values) > 2 and own[penalty_name(own)] in (min(values), max(values))


def headline(table: pd.DataFrame) -> str:
    """Return the outcome in four sentences, whatever it is."""
    standing = table.pivot(index="regime", columns="method", values="standing")
    best = {
        str(row["regime"]): str(row["method"])
        for row in table[table["standing"] == "best"].to_dict("records")
    }
    counts = {m: int((standing[m] != "").sum()) for m in ("rewa", f"rewa{REPAIR}")}
    firsts = sum(name.startswith("rewa") for name in best.values())
    won = ", ".join(f"{regime}: {name}" for regime, name in best.items())
    most = (standing != "").sum().sort_values(ascending=False)
    worst = table.groupby("method")["relative"].max().sort_values()
    start = "ReWA has the lowest error in none" if not firsts else f"ReWA has the lowest error in {firsts}"
    return (
        f"**{start} of {len(best)} regimes; within the noise of the lowest it is in {counts['rewa']} with "
        f"PyTorch's random start (the paper's) and in {counts[f'rewa{REPAIR}']} started at the signs of X'y. "
        f"Lowest median excess error: {won}. Lowest or within its noise most often: {most.index[0]} "
        f"({most.iloc[0]} regimes), {most.index[1]} ({most.iloc[1]}). Least above the lowest in its worst "
        f"regime: {worst.index[0]} ({worst.iloc[0]:.2f} times), {worst.index[1]} ({worst.iloc[1]:.2f}).**\n"
    )
