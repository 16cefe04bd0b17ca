"""Where a method's good trials lie, in one or two of its tuned quantities."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis import text
from analysis.chosen import in_use
from analysis.evidence.importance import measure
from analysis.evidence.trials import Scale, named, quantities, scale_of, tuned, with_config
from analysis.tables import FOCUS, SweepRecord
from rewa.theory import effective_p

FAVOURITES = (("p", "decay_budget"), ("p", "weight_decay"))
"""What ReWA is looked at by, where it is there: the exponent of the penalty and how much of it is applied."""
FOURTH = 0.25
LEAST = 8  # trials; a quarter of fewer is one
RIM = 0.1  # outermost part of a range


@dataclass(frozen=True)
class Region:
    """Where the best quarter of the trials lies along one quantity.

    Attributes:
        name: Of the quantity.
        searched: The range that was searched, or how often each choice was drawn, as text.
        best: The range of the best quarter, as text.
        rim: ``lower`` or ``upper`` if more than half of the best quarter lies in that outermost tenth of the
            range: better settings may lie beyond it. Empty otherwise.
    """

    name: str
    searched: str
    best: str
    rim: str


@dataclass(frozen=True)
class Interaction:
    """A method's trials by one or two quantities.

    Attributes:
        method: Name of the method.
        trials: One row per trial that has both: ``trial``, ``status``, ``score``, ``x``, ``y`` as places on
            the scales (``y`` is the score where there is only one quantity), ``confirmed``.
        x: Scale of the first quantity.
        y: Scale of the second; None where only one was tuned.
        regions: Where the best quarter lies, per quantity of the map; empty with fewer than eight trials, and
            where so many scores are equal that no quarter is best.
        beside: The same for the method's other quantities.
        corners: Lower and upper end of the best quarter on x and on y, as places; empty without regions.
        fourth: Number of trials in the best quarter.
        inside: Number of all trials within the box that the best quarter spans.
        lost_inside: How many of them diverged or failed.
        missing: Number of trials that lack one of the two.
    """

    method: str
    trials: pd.DataFrame
    x: Scale
    y: Scale | None
    regions: tuple[Region, ...] = ()
    beside: tuple[Region, ...] = ()
    corners: tuple[tuple[float, float], ...] = ()
    fourth: int = 0
    inside: int = 0
    lost_inside: int = 0
    missing: int = 0


def interaction(record: SweepRecord, method: str) -> Interaction | None:
    """Look at a method by its two most telling quantities.

    Args:
        record: The sweep.
        method: Name of the method. ReWA is looked at by p and decay_budget; where p was not drawn it comes
            from K, M and epsilon (Theorem 3.3 of the ReWA paper), and weight_decay stands for the budget.
            Every other method is looked at by the two most important quantities that were drawn.

    Returns:
        None where nothing was tuned, or no trial has a score.
    """
    table = _with_exponent(record, method, tuned(record, method))
    trials = table.dropna(subset=["score"])
    names = _pair(record, method, trials)
    if not names:
        return None
    whole = trials.dropna(subset=names)
    whole = whole.reset_index(drop=True)
    scales = {name: scale_of(record, method, name, whole[name]) for name in quantities(trials)}
    x, y = scales[names[0]], scales[names[1]] if len(names) > 1 else None
    used = in_use(record.runs, record.meta)
    confirmed = set(used.loc[(used["phase"] == "confirm") & (used["method"] == method), "trial"])
    points = whole[["trial", "status", "score"]].assign(
        x=x.position(whole[x.name]),
        y=y.position(whole[y.name]) if y else whole["score"],
        confirmed=whole["trial"].isin(confirmed),
    )
    found = Interaction(method, points, x, y, missing=len(trials) - len(whole))
    best = _best_quarter(points)
    return found if best is None else _with_regions(found, whole, best, scales)


def interaction_sentence(found: Interaction) -> str:
    """Say where the best quarter lies and what else lies there; empty with too few trials.

    Args:
        found: What `interaction` returned.
    """
    if not found.regions:
        return ""
    places = text.join([f"{named(region.name, found.method)} {region.best}" for region in found.regions])
    best = f"{found.fourth} of {len(found.trials)}"
    sentence = f"The best quarter of {found.method}'s trials ({best}) has {places}"
    others = found.inside - found.fourth
    if others:
        lost = f", {found.lost_inside} of them diverged or failed" if found.lost_inside else ""
        noun = "trial lies" if others == 1 else "trials lie"
        sentence += f"; {others} other {noun} there too{lost}"
    else:
        sentence += "; no other trial lies there"
    for region in found.regions:
        if region.rim:
            sentence += (
                f". More than half of it sits at the {region.rim} end of the searched "
                f"{named(region.name, found.method)}, so better settings may lie beyond"
            )
    return f"{sentence}."


def _with_exponent(record: SweepRecord, method: str, table: pd.DataFrame) -> pd.DataFrame:
    """ReWA's table with p, computed where it was not drawn; the table as it is where it cannot be."""
    if method != FOCUS or "p" in table.columns:
        return table
    config = with_config(record, method)
    if not {"K", "M"} <= set(config.columns):
        return table
    exponents = [_exponent(row) for row in config.to_dict("records")]
    return table.assign(p=table["trial"].map(dict(zip(config["trial"], exponents, strict=True))))


def _exponent(row: Mapping[Hashable, Any]) -> float:
    """P of one config; NaN for one out of its range."""
    epsilon = float(row.get("epsilon", 0.0))
    try:
        return effective_p(float(row["K"]), float(row["M"]), 0.0 if math.isnan(epsilon) else epsilon)
    except ValueError:
        return math.nan


def _pair(record: SweepRecord, method: str, trials: pd.DataFrame) -> list[str]:
    """The quantities to look by: two, one or none."""
    names = [name for name in quantities(trials) if trials[name].notna().any()]
    if method == FOCUS:
        for pair in FAVOURITES:
            if set(pair) <= set(names):
                return list(pair)
    if len(names) < 3:
        return names
    ranked = measure(record, method, "drawn", trials, names)
    best = [share.name for share in ranked.shares][:2] or names[:2]
    return [name for name in names if name in best]


def _best_quarter(points: pd.DataFrame) -> pd.Series | None:
    """Mark the best quarter; equal scores at its edge belong to it. None where nothing can be said."""
    if len(points) < LEAST:
        return None
    edge = points["score"].nlargest(round(FOURTH * len(points))).iloc[-1]
    best = (points["score"] >= edge) & (points["status"] == "completed") & (points["score"] > 0.0)
    return best if 2 <= best.sum() <= len(points) / 2 else None


def _with_regions(
    found: Interaction, whole: pd.DataFrame, best: pd.Series, scales: dict[str, Scale]
) -> Interaction:
    """Add where the best quarter lies.

    Args:
        found: A method's trials.
        whole: Their table, row by row.
        best: Marks the best quarter.
        scales: Of every quantity.
    """
    inside = pd.Series(True, whole.index)
    shown, beside, corners = [], [], []
    on_map = [scale.name for scale in (found.x, found.y) if scale]
    for name in [*on_map, *(name for name in scales if name not in on_map)]:
        scale = scales[name]
        places, values = scale.position(whole[name]), whole.loc[best, name].dropna()
        own = places[best].dropna()
        if own.empty:
            continue
        region = Region(name, _searched(scale, places), _range_text(scale, values), _rim(scale, own))
        if name not in on_map:
            beside.append(region)
            continue
        shown.append(region)
        corners.append((float(own.min()), float(own.max())))
        inside &= places.isin(own) if scale.kind == "choice" else places.between(own.min(), own.max())
    lost = inside & (whole["status"] != "completed")
    return replace(
        found,
        regions=tuple(shown),
        beside=tuple(beside),
        corners=tuple(corners),
        fourth=int(best.sum()),
        inside=int(inside.sum()),
        lost_inside=int(lost.sum()),
    )


def _rim(scale: Scale, places: pd.Series) -> str:
    if scale.kind == "choice":
        return ""
    low, high = scale.ends
    if (places <= low + RIM * (high - low)).mean() > 0.5:
        return "lower"
    return "upper" if (places >= high - RIM * (high - low)).mean() > 0.5 else ""


def _searched(scale: Scale, places: pd.Series) -> str:
    """Write the range that was searched, or the choices with how often each was drawn."""
    if scale.kind == "choice":
        return _counted(scale, places)
    return f"{text.config_value(scale.low, 3)} to {text.config_value(scale.high, 3)}"


def _range_text(scale: Scale, values: pd.Series) -> str:
    """Write the range of some values, or the choices with how often each was taken."""
    if scale.kind == "choice":
        return _counted(scale, scale.position(values))
    return f"{text.config_value(float(values.min()), 3)} to {text.config_value(float(values.max()), 3)}"


def _counted(scale: Scale, places: pd.Series) -> str:
    """Write ``5 (1x) and 9 (9x)``; choices that do not occur are left out."""
    told = [
        f"{text.config_value(choice, 3)} ({count}x)"
        for place, choice in enumerate(scale.choices)
        if (count := int((places == place).sum()))
    ]
    return text.join(told)
