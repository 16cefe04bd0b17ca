"""The recommended settings' test values, one row per training: what the means of the page are made of."""

from __future__ import annotations

import pandas as pd

from analysis.chosen import in_use
from analysis.summary import Summary

SETTING = ["method", "trial", "phase"]
SEED_COLUMNS = (*SETTING, "value", "seed", "replicate", "compression", "metric")


def per_seed(summary: Summary) -> pd.DataFrame:
    """Look up every recommended setting's test values by seed.

    Args:
        summary: What `summarise` returned. Its ``points``, chosen on validation, say which setting a method
            has at which target.

    Returns:
        `SEED_COLUMNS`, one row per method, target (``value``) and seed, in the order of `summary.points`.
        ``compression`` is the actual one; a ``metric`` that is no number is the worst there is, as in
        `mean_frontier`. A seed on which the training was lost has no row. ``replicate`` is the seed's place
        (from 0) among the seeds that the setting's sweep gave the method, lost ones included.
    """
    frontier = in_use(summary.record.frontier, summary.record.meta)
    asked = (frontier["criterion"] == "ratio") & (frontier["split"] == "test")
    asked &= frontier["recalibrated"].astype(bool) == summary.recalibrated
    chosen = summary.points[[*SETTING, "value"]].assign(place=range(len(summary.points)))
    rows = frontier[asked].merge(chosen, on=[*SETTING, "value"])
    rows["metric"] = rows["metric"].astype(float).fillna(summary.metric.worst)
    keys = ["place", *SETTING, "value", "seed"]
    table = rows.groupby(keys, as_index=False)[["compression", "metric"]].mean()
    table = table.merge(replicates(summary), on=[*SETTING, "seed"], how="left")
    return table.sort_values(["place", "seed"], ignore_index=True)[list(SEED_COLUMNS)]


def replicates(summary: Summary) -> pd.DataFrame:
    """Number the seeds on which the recommended settings were trained, finished or lost.

    Sweeps that are merged may have confirmed on different seeds; the first seed of one then stands beside the
    first of the other. Within a sweep the same number is the same seed.

    Returns:
        ``method``, ``trial``, ``phase``, ``seed`` and ``replicate``, from 0.
    """
    record = summary.record
    trained = pd.concat([table[["sweep", *SETTING, "seed"]] for table in (record.runs, record.frontier)])
    rows = in_use(trained.drop_duplicates(), record.meta)
    rows = rows.merge(summary.points[SETTING].drop_duplicates(), on=SETTING)
    order = rows.groupby(["sweep", "method", "phase"])["seed"].rank(method="dense")
    return rows[[*SETTING, "seed"]].assign(replicate=order.astype(int) - 1)
