"""Raw beside recalibrated values of the recommended settings, and layers that are left without weights."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import text
from analysis.summary import Summary

KEY = ["method", "trial", "value"]
NUMBERS = ["val_metric", "test_metric_mean", "test_metric_std"]


def paired(summary: Summary) -> pd.DataFrame:
    """Return each method's recommended setting per target ratio with its raw and its recalibrated values.

    Args:
        summary: The sweep; its points say which setting is recommended.

    Returns:
        The columns of `KEY`, ``compression``, and those of `NUMBERS` twice, ending in ``_raw`` and
        ``_renewed``; NaN where there is no such value.
    """
    chosen = summary.points[[*KEY, "compression"]]
    for table, name in ((summary.raw, "raw"), (summary.renewed, "renewed")):
        values = table[[*KEY, *NUMBERS]].rename(columns={column: f"{column}_{name}" for column in NUMBERS})
        chosen = chosen.merge(values, on=KEY, how="left")
    return chosen


def recalibration_block(summary: Summary) -> dict[str, Any] | None:
    """Return the section of the page; None without recalibrated points.

    Args:
        summary: The sweep.

    Returns:
        ``methods``; ``rows``, one per headline ratio with the ``raw`` and ``renewed`` test value per method;
        and ``note``.
    """
    if summary.renewed.empty:
        return None
    pairs = paired(summary)
    methods = [method for method in summary.methods if method in set(pairs["method"])]
    rows = []
    for ratio in summary.ratios:
        here = pairs[pairs["value"] == ratio].set_index("method")
        cells = {str(method): _cell(summary, row) for method, row in here.iterrows()}
        if cells:
            rows.append({"ratio": f"{ratio:g}x", "cells": cells})
    metric = summary.metric.name
    axis = "after recalibration" if summary.recalibrated else "as pruned"
    unit = ", in percent" if summary.metric.is_share else ""
    note = (
        "The mean and variance of every batch-norm layer were recomputed on training data after pruning; no "
        f"weight changed. Test {metric} of the settings recommended on this page, chosen on validation "
        f"{metric} {axis}; mean \u00b1 standard deviation over seeds{unit}. All other numbers here are "
        f"{'recalibrated' if summary.recalibrated else 'without recalibration'}."
    )
    return {"methods": methods, "rows": rows, "note": note}


def collapse_notes(summary: Summary) -> list[str]:
    """Say per method at which headline ratio its recommended setting first has layers without any weight.

    Args:
        summary: The sweep.

    Returns:
        One sentence per method that has such layers.
    """
    layers = summary.record.layers
    sentences = []
    for method in summary.methods:
        own = summary.points[
            (summary.points["method"] == method) & summary.points["value"].isin(summary.ratios)
        ]
        for point in own.sort_values("value").to_dict("records"):
            here = layers[
                (layers["method"] == method)
                & (layers["trial"] == point["trial"])
                & (layers["phase"] == point["phase"])
                & (layers["value"] == point["value"])
            ]
            bare = here[here["kept"] == 0]
            if not bare.empty:
                sentences.append(_collapse_sentence(point, here, bare))
                break
    return sentences


def _cell(summary: Summary, row: pd.Series) -> dict[str, str]:
    """Return the raw and the recalibrated test value as text."""
    write = summary.words.mean_std
    return {
        name: write(float(row[f"test_metric_mean_{name}"]), float(row[f"test_metric_std_{name}"]))
        for name in ("raw", "renewed")
    }


def _collapse_sentence(point: dict[Any, Any], here: pd.DataFrame, bare: pd.DataFrame) -> str:
    """Name the first layer and count the others and the seeds."""
    names = list(dict.fromkeys(bare["layer"]))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    have = "have" if len(names) > 1 else "has"
    hit, seeds = bare["seed"].nunique(), here["seed"].nunique()
    on = f", on {hit} of {seeds} seeds" if seeds > 1 else ""
    return (
        f"{point['method']} at {text.ratio(point['value'])} ({point['trial']}): {names[0]}{more} "
        f"(of {here['layer'].nunique()} layers) {have} no weight left{on}."
    )
