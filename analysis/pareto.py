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
from rewa.sweep_tables import FRONTIER_COLUMNS

SETTING_COLUMNS = (
    "method",
    "trial",
    "phase",
    "value",
    "val_accuracy",
    "test_accuracy_mean",
    "test_accuracy_std",
    "test_values",
    "compression",
    "compression_total",
    "seeds",
    "first_seed",
)
POINT = ["method", "trial", "value"]
DIGITS = 9  # accuracies closer than this many decimals are equal: they are means of small fractions


@dataclass(frozen=True)
class Dense:
    """The accuracy that compression is paid from.

    Attributes:
        method: Method whose setting it is.
        val: Mean validation accuracy at ratio 1, the best among the candidates.
        test: Mean test accuracy of the same setting; NaN without a test split.
    """

    method: str
    val: float
    test: float


def candidates(frontier: pd.DataFrame) -> pd.DataFrame:
    """Rows to choose from: a method's confirmed settings, or all its runs when it has none.

    A confirmed setting that lost a seed (it diverged there, so it has no rows) is left out, or its mean
    would be over the lucky seeds only; it stays if no setting of the method did better.
    """
    confirmed = frontier["phase"] == "confirm"
    has_confirmed = frontier["method"].isin(frontier.loc[confirmed, "method"])
    seeds = frontier[confirmed].groupby(["method", "trial"])["seed"].nunique()
    whole = seeds[seeds == seeds.groupby("method").transform("max")].index
    unbroken = pd.MultiIndex.from_frame(frontier[["method", "trial"]]).isin(whole)
    return frontier[(confirmed & unbroken) | ~has_confirmed]


def mean_frontier(
    frontier: pd.DataFrame, config_columns: list[str], criterion: str = "ratio"
) -> pd.DataFrame:
    """Average every candidate setting over its seeds.

    Args:
        frontier: The pooled frontier table of a sweep.
        config_columns: Hyper-parameter columns to carry along.
        criterion: ``ratio`` or ``threshold``.

    Returns:
        One row per (method, trial, value) with `SETTING_COLUMNS` and the config columns.
        ``test_values`` is the tuple of the test accuracies, one per seed; standard deviations have
        n - 1 degrees of freedom and are NaN for one seed; compression is the mean of the actual
        one.
    """
    require_columns("frontier", frontier.columns, (*FRONTIER_COLUMNS, *config_columns))
    rows = candidates(frontier[frontier["criterion"] == criterion])
    numbers = ["accuracy", "compression", "compression_total"]
    by_seed = rows.groupby([*POINT, "split", "seed"], as_index=False)[numbers].mean()
    val = by_seed[by_seed["split"] == "val"].groupby(POINT)
    test = by_seed[by_seed["split"] == "test"].groupby(POINT)["accuracy"]
    table = pd.DataFrame(
        {
            "val_accuracy": val["accuracy"].mean(),
            "compression": val["compression"].mean(),
            "compression_total": val["compression_total"].mean(),
            "seeds": val["seed"].nunique(),
            "first_seed": val["seed"].min(),
        }
    )
    table["test_accuracy_mean"] = test.mean()
    table["test_accuracy_std"] = test.std(ddof=1)
    values = {key: tuple(group) for key, group in test}
    table["test_values"] = pd.Series([values.get(key, ()) for key in table.index], table.index)
    known = rows.drop_duplicates(["method", "trial"])[["method", "trial", "phase", *config_columns]]
    merged = table.reset_index().merge(known, on=["method", "trial"], how="left")
    return merged[[*SETTING_COLUMNS, *config_columns]]


def best_first(settings: pd.DataFrame) -> pd.DataFrame:
    """Sort by validation accuracy, best first; ties go to the sparser, then the earlier trial."""
    keyed = settings.assign(
        _accuracy=-settings["val_accuracy"].round(DIGITS),
        _compression=-settings["compression"],
        _trial=settings["trial"].map(natural_key),
    ).dropna(subset=["_accuracy"])
    keyed = keyed.sort_values(["_accuracy", "_compression", "_trial"], kind="stable")
    return keyed.drop(columns=["_accuracy", "_compression", "_trial"])


def best_attained(settings: pd.DataFrame) -> pd.DataFrame:
    """The best-attained envelope: per method and target, the setting best on validation.

    Args:
        settings: What `mean_frontier` returned.

    Returns:
        Rows of `settings`, at most one per (method, value), ordered by method and value.
    """
    best = best_first(settings).drop_duplicates(["method", "value"])
    return best.sort_values(["method", "value"], ignore_index=True)


def pareto_front(settings: pd.DataFrame, accuracy: str = "val_accuracy") -> pd.DataFrame:
    """The points no other point beats in compression and accuracy at once.

    Args:
        settings: A table with ``compression`` and the accuracy column; infinite compression is the
            largest there is.
        accuracy: Column of the accuracy.

    Returns:
        The non-dominated rows, by rising compression. Of equal points the first in `settings`
        stays.
    """
    usable = settings.dropna(subset=["compression", accuracy])
    if usable.empty:
        return usable
    # Ranks have the order of the compressions and stay finite where nothing is left of a network.
    points = np.column_stack([usable["compression"].rank(method="dense"), usable[accuracy].round(DIGITS)])
    keep = moocore.is_nondominated(points.astype(float), maximise=True)
    front: pd.DataFrame = usable[keep]
    return front.sort_values(["compression", "method", "trial"], ignore_index=True)


def dense_reference(settings: pd.DataFrame) -> Dense | None:
    """The dense accuracy: the best on validation at ratio 1, of the densely trained methods if there are any.

    Args:
        settings: What `mean_frontier` returned for ratios.

    Returns:
        The reference, or None when no setting was measured at ratio 1.
    """
    at_one = best_first(settings[settings["value"] == 1.0])
    own = at_one[at_one["method"].isin(DENSE)]
    pool = at_one if own.empty else own
    if pool.empty:
        return None
    row = pool.iloc[0]
    return Dense(
        method=str(row["method"]),
        val=float(row["val_accuracy"]),
        test=float(row["test_accuracy_mean"]),
    )
