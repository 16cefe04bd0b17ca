"""What both frontier figures draw, the interactive one and its static twin: they cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.evidence.attainment import attainment, surface_band, surface_steps
from analysis.limits import drawn, whole_limits, zoom_limits
from analysis.pareto import Dense
from analysis.styles import Style, styles
from analysis.summary import Summary
from rewa.metric import Metric

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One method's attainment surfaces over its seeds, as vertices to be joined by straight lines.

    Attributes:
        steps: Compression and value of the median surface.
        band: Compression, and the worst and the best surface's values there.
    """

    steps: tuple[Numbers, Numbers]
    band: tuple[Numbers, Numbers, Numbers]


@dataclass(frozen=True)
class Curves:
    """The frontier figure's content.

    Values are as they are drawn: shares in percent, hopeless errors cut (`analysis.limits.drawn`).

    Attributes:
        title: What is shown.
        metric: What is measured.
        points: The settings chosen on validation that have test values, one per method and target, with
            ``x``, the compression, and ``y``, the test mean.
        front: The Pareto front over all methods, with ``x``, ``y`` and its ``number`` in the page's table.
        lines: The surfaces of every method that has some.
        looks: How each method is drawn, in display order.
        dense: The dense reference.
        start: Left end of the compression axis.
        end: Right end of it.
        zoom: Range of y in which methods separate.
        whole: Range of y that holds everything.
    """

    title: str
    metric: Metric
    points: pd.DataFrame
    front: pd.DataFrame
    lines: Mapping[str, Curve]
    looks: Mapping[str, Style]
    dense: Dense | None
    start: float
    end: float
    zoom: tuple[float, float]
    whole: tuple[float, float]


def curves(summary: Summary, front: pd.DataFrame) -> Curves:
    """Gather what the frontier figures draw.

    Args:
        summary: What `summarise` returned.
        front: Points of settings that are emphasised, with their ``number``.
    """
    metric = summary.metric
    known = summary.points[summary.points["test_metric_mean"].notna()]
    targets = known["value"].astype(float)
    start = float(targets.min()) if len(known) else 1.0
    end = max(float(targets.max()), 1.2 * start) if len(known) else 1000.0
    low, high = zoom_limits(summary.points, summary.dense, metric)
    scale = 100.0 if metric.is_share else 1.0
    whole = (0.0, 103.0) if metric.is_share else whole_limits(summary.points, metric)
    how = ", batch norm recalibrated" if summary.recalibrated else ""
    return Curves(
        title=f"{summary.record.name}: test {metric.name} against compression{how}",
        metric=metric,
        points=_placed(known, metric, start, end),
        front=_placed(front[front["test_metric_mean"].notna()], metric, start, end),
        lines=_lines(summary, start, end),
        looks=styles([str(method) for method in known["method"].unique()]),
        dense=summary.dense,
        start=start,
        end=end,
        zoom=(scale * low, scale * high),
        whole=whole,
    )


def _placed(rows: pd.DataFrame, metric: Metric, start: float, end: float) -> pd.DataFrame:
    """Add where each point is drawn; compression beyond the axis is drawn at its end."""
    x = rows["compression"].astype(float).clip(start, end)
    # The mean is cut after it is taken: the mean of cut values would flatter a method with one huge seed.
    return rows.assign(x=x, y=drawn(rows["test_metric_mean"].astype(float), metric))


def _lines(summary: Summary, start: float, end: float) -> dict[str, Curve]:
    """The surfaces of every method, on the figure's axis."""
    found = {}
    for method, rows in attainment(summary).groupby("method", sort=False):
        median = rows[rows["level"] == "median"]
        steps = surface_steps(median, summary.metric, start, end)
        found[str(method)] = Curve(steps, surface_band(rows, summary.metric, start, end))
    return found
