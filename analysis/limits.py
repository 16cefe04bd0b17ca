"""The ranges of the frontier figure: where methods separate, the whole, and where values are cut."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import pandas as pd

from analysis.pareto import Dense, gains
from analysis.tables import CONTROLS
from rewa.metric import Metric

NEAR = 0.3
"""Part of the way to chance, from the best value, within which an error figure zooms on rivals."""


def cut(metric: Metric) -> float | None:
    """Value at which an error is cut in the figure: as far again beyond chance as half the way from ideal.

    A pruned linear model can be arbitrarily bad, and one huge value would flatten everything else. None for
    shares, which end at 0 by themselves.
    """
    if metric.is_share:
        return None
    return metric.chance - 0.5 * (metric.ideal - metric.chance)


def drawn(values: pd.Series, metric: Metric) -> pd.Series:
    """Values as the figure shows them: shares in percent, others cut where they are hopeless."""
    edge = cut(metric)
    if edge is None:
        return 100.0 * values
    return values.clip(upper=edge) if metric.direction == "min" else values.clip(lower=edge)


def zoom_limits(points: pd.DataFrame, dense: Dense | None, metric: Metric) -> tuple[float, float]:
    """Range of the metric in which the methods that matter separate.

    Args:
        points: What `best_attained` returned.
        dense: The dense reference.
        metric: What is measured.
    """
    return _share_zoom(points, dense) if metric.is_share else _error_zoom(points, metric)


def whole_limits(points: pd.DataFrame, metric: Metric) -> tuple[float, float]:
    """Range that holds everything, cut values included; for metrics that are no shares."""
    best = metric.best([metric.ideal, *_finite(points)])
    ends = [best, metric.chance - 0.5 * (metric.ideal - metric.chance)]
    margin = 0.04 * abs(ends[1] - ends[0])
    return min(ends) - margin, max(ends) + margin


def _share_zoom(points: pd.DataFrame, dense: Dense | None) -> tuple[float, float]:
    """The zoom on a share.

    From the highest seed or dense down to where the second best method stands, over the targets up
    to 200x at which it is within 10 points of the top; at least 3 points. Neither controls nor
    collapsed methods stretch it.
    """
    known = points[np.isfinite(points["test_metric_mean"].astype(float))]
    if known.empty:
        return 0.0, 1.0
    reference = dense.test if dense is not None and np.isfinite(dense.test) else 0.0
    top = max(float(known["test_metric_mean"].max()), reference)
    highest = max(reference, *_finite(known))
    rivals = _rivals(known)
    seconds = [
        float(group["test_metric_mean"].nlargest(2).min())
        for _, group in rivals[rivals["value"] <= 200.0].groupby("value")
    ]
    drop = max(0.03, *(1.2 * (top - second) for second in seconds if top - second <= 0.1), 0.0)
    return max(0.0, top - drop), highest + 0.08 * drop


def _error_zoom(points: pd.DataFrame, metric: Metric) -> tuple[float, float]:
    """The zoom on an error.

    From the better of the best seed and ideal, which is drawn, to the worst rival of those within `NEAR` of
    the way to chance from the best mean, at any target; at least a twentieth of the way. Controls do not
    stretch it.
    """
    span = metric.gain(metric.ideal, metric.chance)
    known = points.dropna(subset=["test_metric_mean"])
    losses = -gains(known["test_metric_mean"], metric)
    losses = losses[np.isfinite(losses)]
    if losses.empty:
        return whole_limits(points, metric)
    start = -metric.gain(metric.best([metric.ideal, *_finite(points)]), 0.0)
    near = losses[_rivals(known).index.intersection(losses.index)]
    near = near[near <= max(losses.min(), -metric.gain(metric.ideal, 0.0)) + NEAR * span]
    end = max(near.max() if len(near) else losses.min(), start + 0.05 * span)
    margin = 0.08 * (end - start)
    ends = (start - margin, end + margin)
    return ends if metric.direction == "min" else (-ends[1], -ends[0])


def _finite(points: pd.DataFrame) -> list[float]:
    """Test values of all seeds that can be drawn."""
    return [v for v in chain.from_iterable(points["test_values"]) if math.isfinite(v)]


def _rivals(known: pd.DataFrame) -> pd.DataFrame:
    """The rows without the controls, unless there are only those."""
    rivals = known[~known["method"].isin(CONTROLS)]
    return known if rivals.empty else rivals
