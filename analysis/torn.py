"""Settings that work on some seeds and fail on others: their mean describes neither."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.headline import main_ratio
from analysis.wording import Wording
from rewa.metric import Metric

FAILED = 0.1
"""A seed has failed that keeps less than this part of what the setting's best seed gains over no skill."""

WORKS = 0.5
"""A setting works on a seed that keeps at least this part of what the best method gains over no skill."""


def torn_settings(points: pd.DataFrame, metric: Metric, ratios: Collection[float]) -> list[str]:
    """Name the chosen settings whose seeds split into two kinds.

    Args:
        points: What `best_attained` returned: one row per method and target ratio.
        metric: What is measured.
        ratios: The compressions spoken of.

    Returns:
        At most one sentence per method, at the main ratio where it is torn there.
    """
    there = points[points["value"].isin(ratios)]
    if there.empty:
        return []
    main = main_ratio(set(there["value"]))
    found: dict[str, str] = {}
    for row in there.sort_values("value", key=lambda value: value != main, kind="stable").to_dict("records"):
        if told := torn_text(row, points, metric):
            found.setdefault(str(row["method"]), told)
    return list(found.values())


def torn_text(row: Mapping[Hashable, Any], points: pd.DataFrame, metric: Metric) -> str:
    """Tell that a setting fails on some of its seeds and works on others; empty where it does not.

    Args:
        row: A setting at a target ratio, as a row of `points`.
        points: What `best_attained` returned, for what the best method attains on test.
        metric: What is measured.
    """
    values = [float(value) for value in row["test_values"] if not math.isnan(value)]
    attained = points["test_metric_mean"].dropna()
    if len(values) < 2 or attained.empty:
        return ""
    gains = [metric.gain(value, metric.chance) for value in values]
    if max(gains) <= 0 or max(gains) < WORKS * metric.gain(metric.best(attained), metric.chance):
        return ""
    failed = [value for value, gain in zip(values, gains, strict=True) if gain < FAILED * max(gains)]
    if not failed:
        return ""
    words, others = Wording(metric), [value for value in values if value not in failed]
    counted = f"{len(failed)} of {len(values)} seeds of {row['trial']} ({row['method']})"
    chance = f"{words.no_skill}: {words.reference(metric.chance)}"
    mean = words.value(float(row["test_metric_mean"]))
    return (
        f"At {row['value']:g}x {counted} fail ({words.span(failed)} test {metric.name}; {chance}), on the "
        f"others it reaches {words.span(others)}: its mean, {mean}, describes neither."
    )
