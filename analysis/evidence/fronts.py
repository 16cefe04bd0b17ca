"""The Pareto front of every method and over all methods, on validation, as one table."""

from __future__ import annotations

import math

import pandas as pd

from analysis.pareto import gains, pareto_front, rounded_gains
from analysis.summary import Summary
from rewa.metric import Metric


def method_fronts(summary: Summary) -> pd.DataFrame:
    """The pooled front of each method over all its candidate settings, and which points all methods leave.

    Args:
        summary: What `summarise` returned. Fronts are those of its ``settings`` in actual compression and
            validation metric, both means over seeds; test numbers ride along and are not looked at.

    Returns:
        Rows of ``summary.settings`` that no setting of the same method beats in both, methods in display
        order, compression rising, with one more column: ``on_overall`` says that no setting of any method
        does. Of equal points of one method the first setting stays; equal points of two methods are both on
        the overall front.
    """
    usable = worthwhile(summary.settings, summary.metric)
    fronts = [pareto_front(usable[usable["method"] == method], summary.metric) for method in summary.methods]
    filled = [front for front in fronts if len(front)]
    table = pd.concat(filled, ignore_index=True) if filled else usable.iloc[:0].reset_index(drop=True)
    overall = _places(pareto_front(table, summary.metric), summary.metric)
    return table.assign(on_overall=_places(table, summary.metric).isin(overall))


def worthwhile(settings: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Leave out what no one would use: settings with no weight left, and errors no better than chance.

    Any network with enough zeros has those; a share at chance stays, it is seen for what it is.
    """
    usable = settings["compression"] < math.inf
    if not metric.is_share:
        usable &= gains(settings["val_metric"], metric) > metric.gain(metric.chance, 0.0)
    return settings[usable]


def _places(table: pd.DataFrame, metric: Metric) -> pd.MultiIndex:
    """Where the points are, such that points equal to `pareto_front` are equal."""
    return pd.MultiIndex.from_arrays([table["compression"], rounded_gains(table["val_metric"], metric)])
