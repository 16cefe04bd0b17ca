"""How good a method's frontier is in its best seed, in half of its seeds, and in all of them.

A point (compression, value) is attained by a training when the training has at least this compression at
this value or a better one. The empirical attainment function counts, over independent trainings, how many
attain a point (Grunert da Fonseca, Fonseca and Hall 2001; computed by `moocore.eaf`); its level sets are
frontiers that say more than a mean at each target does: the whole median surface is attained by half of the
seeds, though perhaps by another half at each of its points.
"""

from __future__ import annotations

import math

import moocore
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.evidence.per_seed import per_seed, replicates
from analysis.limits import drawn
from analysis.pareto import gains
from analysis.summary import Summary
from rewa.metric import Metric

LEVELS = ("best", "median", "worst")
ATTAINMENT_COLUMNS = ("method", "level", "attained_by", "seeds", "compression", "value")

Numbers = npt.NDArray[np.float64]


def attainment(summary: Summary) -> pd.DataFrame:
    """The best, median and worst attainment surface of every method on test.

    The points of a seed are those of the method's recommended settings (chosen on validation, the same for
    all seeds), whatever their targets.

    Args:
        summary: What `summarise` returned.

    Returns:
        `ATTAINMENT_COLUMNS`, the corners of each surface by rising compression, values getting worse; methods
        in display order. A surface is attained by at least ``attained_by`` of ``seeds`` trainings: 1 is the
        best, half (rounded up) the median, all the worst surface; with one seed the three are the same. Up to
        the compression of a corner, and from that of the corner before, the surface has the corner's value;
        beyond its last corner there is none. Compression may be infinite, values are finite. A lost training
        attains nothing, so that a method with one has no worst surface.
    """
    rows, seeds = per_seed(summary), replicates(summary)
    tables = [pd.DataFrame(columns=list(ATTAINMENT_COLUMNS))]
    for method in summary.methods:
        own = rows[rows["method"] == method]
        if own.empty:
            continue
        count = seeds.loc[seeds["method"] == method, "replicate"].nunique()
        surfaces = surfaces_of(own["compression"], own["metric"], own["replicate"], count, summary.metric)
        tables.append(surfaces.assign(method=method)[list(ATTAINMENT_COLUMNS)])
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


def surfaces_of(
    compression: pd.Series, values: pd.Series, sets: pd.Series, count: int, metric: Metric
) -> pd.DataFrame:
    """The three attainment surfaces of some sets of points.

    Args:
        compression: Of every point; may be infinite.
        values: Of the metric; a point whose value is not finite attains nothing.
        sets: Which training a point is of; any labels.
        count: Number of trainings; those that have no point attain nothing.
        metric: What is measured.

    Returns:
        `ATTAINMENT_COLUMNS` without the method.
    """
    usable = (values.abs() < math.inf) & compression.notna()
    members, _ = pd.factorize(sets[usable])
    x, y = compression[usable].astype(float), gains(values[usable].astype(float), metric)
    # Ranks have the order of the values, are exact, and stay finite where no weight is left. Rank 0, below
    # every point, stands for a training that has none: moocore knows no empty sets.
    ranks = np.column_stack([column.rank(method="dense") for column in (x, y)])
    points = np.vstack([ranks, np.zeros((count, 2))])
    owner = np.concatenate([members, np.arange(count)])
    order = np.argsort(owner, kind="stable")  # a set's points must stand together
    needed = dict(zip(LEVELS, (1, math.ceil(count / 2), count), strict=True))
    # A percentile in the middle of a step cannot be rounded to the next one.
    asked = {number: (number - 0.5) * 100.0 / count for number in needed.values()}
    found = moocore.eaf(-points[order], owner[order], percentiles=sorted(asked.values()))
    corners, percentile = -found[:, :2].astype(int), found[:, 2]
    along, qualities = np.unique(x), np.unique(y)
    tables = []
    for level, number in needed.items():
        own = corners[np.isclose(percentile, asked[number]) & (corners > 0).all(axis=1)]
        own = own[np.argsort(own[:, 0])] - 1
        value = gains(pd.Series(qualities[own[:, 1]], dtype=float), metric)
        tables.append(pd.DataFrame({"compression": along[own[:, 0]], "value": value}))
        tables[-1] = tables[-1].assign(level=level, attained_by=number, seeds=count)
    return pd.concat(tables, ignore_index=True)


def surface_steps(
    rows: pd.DataFrame, metric: Metric, start: float = 1.0, end: float | None = None
) -> tuple[Numbers, Numbers]:
    """Turn one surface into the vertices of its staircase, to be joined by straight lines.

    Args:
        rows: The rows of `attainment` for one method and one level.
        metric: What is measured.
        start: Compression at which the staircase begins, > 0 for a logarithmic axis.
        end: Compression beyond which corners are drawn there, infinite ones included; default the largest
            finite one.

    Returns:
        Compression, rising, and values as the figures show them (`analysis.limits.drawn`: shares in percent,
        hopeless errors cut). Both are empty for a surface that is nowhere attained.
    """
    rows = rows.sort_values("compression")
    x, top = rows["compression"].to_numpy(dtype=float), start
    finite = x[np.isfinite(x)]
    if end is not None or len(finite):
        top = float(finite.max()) if end is None else end
    x = np.clip(x, start, max(start, top))
    y = drawn(rows["value"].astype(float), metric).to_numpy()
    return np.insert(np.repeat(x, 2)[:-1], 0, start) if len(x) else x, np.repeat(y, 2)


def surface_band(
    rows: pd.DataFrame, metric: Metric, start: float = 1.0, end: float | None = None
) -> tuple[Numbers, Numbers, Numbers]:
    """The band between a method's worst and best surface, for ``fill_between``.

    Args:
        rows: The rows of `attainment` for one method, all levels.
        metric: What is measured.
        start: As in `surface_steps`.
        end: As in `surface_steps`; default the largest finite compression of any of the rows.

    Returns:
        Compression, the worst and the best value there, as the figures show them. Where not all seeds attain
        anything the worst is the lower end of the figure: 0 %, or where hopeless errors are cut.
    """
    x = rows["compression"].to_numpy(dtype=float)
    finite = x[np.isfinite(x)]
    top = max(start, float(finite.max()) if len(finite) else start) if end is None else max(start, end)
    rows = rows.assign(compression=np.clip(x, start, top))
    edges = np.unique(np.append(rows["compression"], start))
    ends = edges[1:] if len(edges) > 1 else edges  # up to each of them a surface has the value that is there
    worst, best = (
        np.repeat([value_at(rows[rows["level"] == level], end, metric) for end in ends], 2)
        for level in ("worst", "best")
    )
    low, high = (
        drawn(pd.Series(values), metric).clip(lower=0.0 if metric.is_share else None)
        for values in (worst, best)
    )
    return (
        np.repeat(edges, 2)[1:-1] if len(edges) > 1 else np.repeat(edges, 2),
        low.to_numpy(),
        high.to_numpy(),
    )


def value_at(rows: pd.DataFrame, compression: float, metric: Metric) -> float:
    """The value of one surface at a compression; the metric's worst where it is not attained.

    Args:
        rows: The rows of `attainment` for one method and one level.
        compression: Where to look.
        metric: What is measured.
    """
    able = rows.loc[rows["compression"] >= compression, "value"]
    return metric.best(able) if len(able) else metric.worst
