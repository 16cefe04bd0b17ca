"""What every layer keeps at one compression: of the setting that validation prefers, and of ReWA's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from analysis import headline, text
from analysis.pareto import best_first
from analysis.summary import Summary
from analysis.tables import FOCUS

COLUMNS = ("layer", "weights", "mean", "low", "high", "kept", "bare", "seeds")


@dataclass(frozen=True)
class LayerShares:
    """What the layers of one setting keep.

    Attributes:
        method: Name of the method.
        trial: The setting's trial.
        ratio: Target compression.
        table: One row per layer in the model's order: ``layer``; its ``weights``; the share it keeps, as
            ``mean``, ``low`` and ``high`` over the seeds, in [0, 1]; the mean number ``kept``; on how many of
            the ``seeds`` it is ``bare``, without any weight.
    """

    method: str
    trial: str
    ratio: float
    table: pd.DataFrame


def main_ratio(summary: Summary) -> float | None:
    """The compression to look at: the headline's (100x), else the largest that has layers on record.

    Args:
        summary: The sweep.
    """
    known = set(summary.record.layers["value"]) & set(summary.points["value"]) & set(summary.ratios)
    return headline.main_ratio(known) if known else None


def shown_settings(summary: Summary) -> list[LayerShares]:
    """The recommended settings whose layers are shown: the best on validation, and ReWA's if that is another.

    Args:
        summary: The sweep; its points say which setting is recommended per method.

    Returns:
        One or two, the best first; empty where no layers were counted, and for models of one layer.
    """
    ratio = main_ratio(summary)
    if ratio is None:
        return []
    ranked = best_first(summary.points[summary.points["value"] == ratio], summary.metric)
    found = []
    for method in dict.fromkeys(
        [*ranked["method"].head(1), *ranked.loc[ranked["method"] == FOCUS, "method"]]
    ):
        point = ranked[ranked["method"] == method].iloc[0]
        table = layer_shares(
            summary.record.layers, str(method), str(point["trial"]), str(point["phase"]), ratio
        )
        if len(table) > 1:
            found.append(LayerShares(str(method), str(point["trial"]), ratio, table))
    return found


def layer_shares(layers: pd.DataFrame, method: str, trial: str, phase: str, ratio: float) -> pd.DataFrame:
    """What every layer of one setting keeps, over its seeds.

    Args:
        layers: The layers table of a sweep.
        method: Name of the method.
        trial: The setting's trial.
        phase: Of its runs.
        ratio: Target compression.

    Returns:
        The table of `LayerShares`.
    """
    own = layers[
        (layers["method"] == method)
        & (layers["trial"] == trial)
        & (layers["phase"] == phase)
        & (layers["value"] == ratio)
    ]
    own = own.assign(share=own["kept"].astype(float) / own["weights"].astype(float), bare=own["kept"] == 0)
    groups = own.groupby("layer", sort=False)
    table = pd.DataFrame(
        {
            "weights": groups["weights"].first(),
            "mean": groups["share"].mean(),
            "low": groups["share"].min(),
            "high": groups["share"].max(),
            "kept": groups["kept"].mean(),
            "bare": groups["bare"].sum(),
            "seeds": groups["seed"].nunique(),
        }
    )
    return table.reset_index()[list(COLUMNS)]


def layers_sentence(shown: LayerShares) -> str:
    """Say which layers keep the most and the least, and where the kept weights are.

    Args:
        shown: One setting.
    """
    table = shown.table
    order = table.sort_values("mean", kind="stable", ascending=False)
    most, least = order.iloc[0], order.iloc[-1]
    holder = table.sort_values("kept", kind="stable", ascending=False).iloc[0]
    total = float(table["kept"].sum())
    held = float(holder["kept"]) / total if total > 0.0 else math.nan
    sentence = (
        f"At {text.ratio(shown.ratio)}, {shown.method} ({shown.trial}) keeps "
        f"{share_text(float(most['mean']))} of {layer_name(most['layer'])} and "
        f"{share_text(float(least['mean']))} of {layer_name(least['layer'])}"
    )
    if not math.isnan(held):
        own = float(holder["weights"]) / float(table["weights"].sum())
        sentence += (
            f"; {text.percent(held, 0)} of what is left is in {layer_name(holder['layer'])}, which had "
            f"{text.percent(own, 0)} of the weights"
        )
    bare = table[table["bare"] > 0]
    if len(bare):
        first = layer_name(bare["layer"].iloc[0])
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        verb = "have" if len(bare) > 1 else "has"
        seeds, worst = int(bare["seeds"].max()), int(bare["bare"].max())
        on = f" on {worst} of {seeds} seeds" if seeds > 1 else ""
        sentence += f". {first}{more} {verb} no weight left{on}"
    return f"{sentence}."


def share_text(share: float) -> str:
    """Write a share that may be tiny: ``12 %``, ``0.031 %``, ``nothing``."""
    return "nothing" if share == 0.0 else f"{100.0 * share:.2g} %" if share < 0.1 else text.percent(share, 0)


def layer_name(layer: object) -> str:
    """A layer's name as it can stand in a sentence: those of a torch Sequential are numbers."""
    return f"layer {layer}" if str(layer).replace(".", "").isdigit() else str(layer)
