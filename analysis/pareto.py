"""From the pooled frontier table to settings, choices on validation, and Pareto fronts.

A setting is a (method, trial) pair; its seeds are averaged before anything is chosen. What is
chosen is chosen on the validation split; test numbers ride along and are never looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass

import moocore
import numpy as np
import pandas as pd

from analysis.tables import DENSE, natural_key, require_columns
from rewa.metric import Metric
from rewa.sweep_tables import FRONTIER_COLUMNS

SETTING_COLUMNS = (
    "method",
    "trial",
    "phase",
    "value",
    "val_metric",
    "test_metric_mean",
    "test_metric_std",
    "test_values",
    "compression",
    "compression_total",
    "seeds",
    "first_seed",
)
POINT = ["method", "trial", "value"]
DIGITS = 9  # values closer than this many decimals are equal: they are means of a few numbers


@dataclass(frozen=True)
class Dense:
    """The quality that compression is paid from.

    Attributes:
        method: Method whose setting it is.
        val: Mean validation metric at ratio 1, the best among the candidates.
        test: Mean test metric of the same setting; NaN without a test split.
    """

    method: str
    val: float
    test: float


def gains(values: pd.Series, metric: Metric) -> pd.Series:
    """Turn values of the metric so that larger is better, whatever its direction."""
    return values if metric.direction == "max" else -values


def rounded_gains(values: pd.Series, metric: Metric) -> pd.Series:
    """`gains` in which values that differ by rounding only are equal; huge ones would overflow and stay."""
    turned = gains(values, metric).astype(float)
    return turned.where(turned.abs() > 1e6, turned.clip(-1e6, 1e6).round(DIGITS))


def candidates(frontier: pd.DataFrame) -> pd.DataFrame:
    """Rows to choose from: a method's confirmed settings, or all its runs when it has none.

    A confirmed setting that lost a seed (it diverged there, so it has no rows) is left out, or its mean
    would be over the lucky seeds only; it stays if no setting of the method did better. Merged sweeps may
    differ in their number of seeds.
    """
    confirmed = frontier["phase"] == "confirm"
    has_confirmed = frontier["method"].isin(frontier.loc[confirmed, "method"])
    seeds = frontier[confirmed].groupby(["sweep", "method", "trial"])["seed"].nunique()
    unlost = seeds[seeds == seeds.groupby(["sweep", "method"]).transform("max")].reset_index()
    whole = pd.MultiIndex.from_frame(unlost[["method", "trial"]])
    unbroken = pd.MultiIndex.from_frame(frontier[["method", "trial"]]).isin(whole)
    return frontier[(confirmed & unbroken) | ~has_confirmed]


def mean_frontier(
    frontier: pd.DataFrame,
    config_columns: list[str],
    metric: Metric,
    criterion: str = "ratio",
    recalibrated: bool = False,
) -> pd.DataFrame:
    """Average every candidate setting over its seeds.

    Args:
        frontier: The pooled frontier table of a sweep.
        config_columns: Hyper-parameter columns to carry along.
        metric: What is measured. A value that is no number counts as the worst there is: left out, it would
            leave the mean to the lucky seeds.
        criterion: ``ratio`` or ``threshold``.
        recalibrated: Take the points after batch-norm recalibration; default those as pruned.

    Returns:
        One row per (method, trial, value) with `SETTING_COLUMNS` and the config columns.
        ``test_values`` is the tuple of the test values, one per seed; standard deviations have
        n - 1 degrees of freedom and are NaN for one seed; compression is the mean of the actual
        one.
    """
    require_columns("frontier", frontier.columns, (*FRONTIER_COLUMNS, *config_columns))
    asked = (frontier["criterion"] == criterion) & (frontier["recalibrated"].astype(bool) == recalibrated)
    rows = candidates(frontier[asked])
    rows = rows.assign(metric=rows["metric"].astype(float).fillna(metric.worst))
    numbers = ["metric", "compression", "compression_total"]
    by_seed = rows.groupby([*POINT, "split", "seed"], as_index=False)[numbers].mean()
    val = by_seed[by_seed["split"] == "val"].groupby(POINT)
    test = by_seed[by_seed["split"] == "test"].groupby(POINT)["metric"]
    table = pd.DataFrame(
        {
            "val_metric": val["metric"].mean(),
            "compression": val["compression"].mean(),
            "compression_total": val["compression_total"].mean(),
            "seeds": val["seed"].nunique(),
            "first_seed": val["seed"].min(),
        }
    )
    table["test_metric_mean"] = test.mean()
    with np.errstate(over="ignore", invalid="ignore"):  # huge errors have no finite deviation
        table["test_metric_std"] = test.std(ddof=1)
    values = {key: tuple(group) for key, group in test}
    table["test_values"] = pd.Series([values.get(key, ()) for key in table.index], table.index)
    known = rows.drop_duplicates(["method", "trial"])[["method", "trial", "phase", *config_columns]]
    merged = table.reset_index().merge(known, on=["method", "trial"], how="left")
    return merged[[*SETTING_COLUMNS, *config_columns]]


def best_first(settings: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Sort by the validation metric, best first; ties go to the sparser, then the earlier trial."""
    keyed = settings.assign(
        _loss=-rounded_gains(settings["val_metric"], metric),
        _compression=-settings["compression"],
        _trial=settings["trial"].map(natural_key),
    ).dropna(subset=["_loss"])
    keyed = keyed.sort_values(["_loss", "_compression", "_trial"], kind="stable")
    return keyed.drop(columns=["_loss", "_compression", "_trial"])


def best_attained(settings: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """The best-attained envelope: per method and target, the setting best on validation.

    Args:
        settings: What `mean_frontier` returned.
        metric: What is measured.

    Returns:
        Rows of `settings`, at most one per (method, value), ordered by method and value.
    """
    best = best_first(settings, metric).drop_duplicates(["method", "value"])
    return best.sort_values(["method", "value"], ignore_index=True)


def pareto_front(settings: pd.DataFrame, metric: Metric, column: str = "val_metric") -> pd.DataFrame:
    """The points no other point beats in compression and in the metric at once.

    Args:
        settings: A table with ``compression`` and the metric's column; infinite compression is the
            largest there is.
        metric: What is measured.
        column: Column of its values.

    Returns:
        The non-dominated rows, by rising compression. Of equal points the first in `settings`
        stays.
    """
    usable = settings.dropna(subset=["compression", column])
    if usable.empty:
        return usable
    # Ranks have the order of the values and stay finite where nothing is left of a network or its output.
    quality = rounded_gains(usable[column], metric)
    points = np.column_stack([values.rank(method="dense") for values in (usable["compression"], quality)])
    keep = moocore.is_nondominated(points.astype(float), maximise=True)
    front: pd.DataFrame = usable[keep]
    return front.sort_values(["compression", "method", "trial"], ignore_index=True)


def dense_reference(settings: pd.DataFrame, metric: Metric) -> Dense | None:
    """The dense quality: the best on validation at ratio 1, of the densely trained methods if there are any.

    Args:
        settings: What `mean_frontier` returned for ratios.
        metric: What is measured.

    Returns:
        The reference, or None when no setting was measured at ratio 1. Any method can stand in for a dense
        training only where the metric is a share: an error has its noise floor to compare with instead.
    """
    at_one = best_first(settings[settings["value"] == 1.0], metric)
    own = at_one[at_one["method"].isin(DENSE)]
    pool = at_one if own.empty and metric.is_share else own
    if pool.empty:
        return None
    row = pool.iloc[0]
    return Dense(
        method=str(row["method"]),
        val=float(row["val_metric"]),
        test=float(row["test_metric_mean"]),
    )
