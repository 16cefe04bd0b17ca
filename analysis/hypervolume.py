"""Hypervolume of a frontier in (log10 compression, metric), at several reference values.

The ranking of two methods can turn with the reference, so one number is never enough: a lenient
reference rewards whoever stays above chance at extreme compression, a strict one whoever holds
nearly dense quality.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import moocore
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.pareto import DIGITS
from analysis.tables import section
from analysis.text import join
from analysis.wording import Wording
from rewa.metric import Metric

SHARES = (0.1, 0.5, 0.8, 0.9, 0.95)
DISTANCES = (1.0, 0.5, 0.2, 0.1, 0.05)
DEFAULT_MAX_COMPRESSION = 1000.0


def references(metric: Metric, own: object = None) -> list[float]:
    """Return the reference values to measure at, the lenient ones first.

    Args:
        metric: What is measured. For shares they are fixed; otherwise some distances from ideal, as parts of
            the way to chance.
        own: The sweep's own reference; ignored if it is no number worse than ideal.
    """
    if metric.is_share:
        found = [*SHARES]
    else:
        found = [metric.ideal + part * (metric.chance - metric.ideal) for part in DISTANCES]
    if isinstance(own, int | float) and 0.0 < metric.gain(metric.ideal, float(own)) < math.inf:
        found = [value for value in found if round(value - float(own), DIGITS) != 0.0]
        found.append(float(own))
    return sorted(found, key=lambda value: metric.gain(value, metric.ideal))


def hypervolume(
    compression: Iterable[float],
    values: Iterable[float],
    reference: float,
    max_compression: float,
    metric: Metric,
) -> float:
    """Area dominated by the points, over the area of the whole box.

    Args:
        compression: Compression ratios; beyond `max_compression` (infinity included) they count as
            that.
        values: Values of the metric; one better than ideal (luck of a finite split) counts as ideal.
        reference: Reference value; with compression 1 it is the reference point.
        max_compression: Upper end of the compression axis.
        metric: What is measured.

    Returns:
        A number in [0, 1]: 1 for the ideal at `max_compression`, 0 when nothing beats the reference.

    Raises:
        ValueError: The box has no area.
    """
    height = metric.gain(metric.ideal, reference)
    if not (max_compression > 1.0 and height > 0.0):
        raise ValueError(f"no area beyond reference {reference} up to compression {max_compression}")
    return area(box_corners(compression, values, reference, max_compression, metric))


def box_corners(
    compression: Iterable[float],
    values: Iterable[float],
    reference: float,
    max_compression: float,
    metric: Metric,
) -> npt.NDArray[np.float64]:
    """Points as corners in the unit box between the reference point (0, 0) and the ideal (1, 1).

    Args and what lies beyond the box are those of `hypervolume`; points that dominate nothing are left out.

    Returns:
        Shape (points, 2): share of the decades, share of the way from reference to ideal.
    """
    x = np.log10(np.maximum(np.asarray(list(compression), dtype=float), 1.0)) / math.log10(max_compression)
    height = metric.gain(metric.ideal, reference)
    y = np.asarray([metric.gain(value, reference) for value in values], dtype=float) / height
    usable = (x > 0.0) & (y > 0.0)  # false for NaN
    corners: npt.NDArray[np.float64] = np.minimum(np.column_stack([x[usable], y[usable]]), 1.0)
    return corners


def area(corners: npt.NDArray[np.float64]) -> float:
    """Area that corners of `box_corners` dominate, in [0, 1]."""
    return float(moocore.hypervolume(corners, ref=[0.0, 0.0], maximise=True)) if len(corners) else 0.0


def box_end(meta: Mapping[str, Any], points: pd.DataFrame) -> float:
    """The upper end of the compression axis: the objective's, else the largest target, else a default.

    Args:
        meta: The sweep's description.
        points: Operating points with their targets as ``value``.
    """
    cap = float(section(meta, "objective").get("max_compression") or 0.0)
    if cap <= 1.0:
        cap = float(points["value"].max()) if len(points) else DEFAULT_MAX_COMPRESSION
    return cap if cap > 1.0 else DEFAULT_MAX_COMPRESSION


def own_reference(meta: Mapping[str, Any], metric: Metric) -> float:
    """The objective's reference value, or chance where the sweep has none that is worse than ideal."""
    own = section(meta, "objective").get("reference")
    if isinstance(own, int | float) and 0.0 < metric.gain(metric.ideal, float(own)) < math.inf:
        return float(own)
    return metric.chance


def hypervolume_table(
    points: pd.DataFrame,
    methods: Sequence[str],
    references: Iterable[float],
    max_compression: float,
    metric: Metric,
) -> pd.DataFrame:
    """Hypervolume on test of every method at every reference.

    Args:
        points: What `best_attained` returned.
        methods: Methods, the rows of the result.
        references: Reference values, the columns of the result.
        max_compression: Upper end of the compression axis.
        metric: What is measured.

    Returns:
        Methods by references; 0 for a method without points.
    """
    groups = {method: points[points["method"] == method] for method in methods}
    return pd.DataFrame(
        {
            reference: {
                method: hypervolume(
                    rows["compression"], rows["test_metric_mean"], reference, max_compression, metric
                )
                for method, rows in groups.items()
            }
            for reference in references
        },
        index=list(methods),
    )


def ranking_note(table: pd.DataFrame, metric: Metric) -> str:
    """Say in one line whether the ranking depends on the reference; empty with nothing to rank.

    Args:
        table: What `hypervolume_table` returned.
        metric: What is measured.
    """
    told = table.loc[:, (table > 0.0).any()]
    if told.shape[1] < 2 or told.shape[0] < 2:
        return ""
    orders = {ref: tuple(told[ref].round(9).rank(ascending=False, method="min")) for ref in told}
    if len(set(orders.values())) == 1:
        return "The ranking is the same at every reference."
    words = Wording(metric)
    leaders: dict[str, list[str]] = {}
    for reference in told:
        best = told.index[told[reference].round(9) == told[reference].round(9).max()]
        leaders.setdefault(join(list(best)), []).append(words.reference(float(str(reference))))
    if len(leaders) == 1:
        first = next(iter(leaders))
        return f"{first} is first at every reference; the order behind depends on the reference."
    parts = [f"{names} is first at {join(refs)}" for names, refs in leaders.items()]
    return f"The ranking depends on the reference: {'; '.join(parts)}."
