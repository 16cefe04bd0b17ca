"""What a training becomes in MLflow: tags, parameters, metrics and the frontier's table, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from rewa.mlflow_view import run_tags
from rewa.record import Record
from rewa.sparsity.frontier import OperatingPoint

MetricPoint = tuple[str, float, int]
"""Name, value and step of one metric. A frontier's step is the target ratio: the UI has a logarithmic axis
for steps only."""


def tags_of(record: Record) -> dict[str, str]:
    """Return a training's tags; sweep, trial, phase and seed identify it."""
    return {
        "rewa.sweep": record.sweep,
        "rewa.workload": str(record.workload["name"]),
        "rewa.method": record.method,
        "rewa.trial": record.trial,
        "rewa.phase": record.phase,
        "rewa.seed": str(record.seed),
        "rewa.status": record.status,
        "rewa.reason": record.reason[:5000],
        "rewa.commit": record.commit,
        **run_tags(record.method),
    }


def params_of(record: Record) -> dict[str, str]:
    """Return a training's config and recipe."""
    recipe: dict[str, Any] = {
        key: record.workload[key] for key in ("epochs", "batch_size") if key in record.workload
    }
    values: dict[str, Any] = {
        "method": record.method,
        "workload": record.workload["name"],
        "seed": record.seed,
        **recipe,
        **record.config,
    }
    return {name: str(value) for name, value in values.items()}


def metrics_of(record: Record) -> list[MetricPoint]:
    """Return a training's metrics: per epoch, the frontier (validation, by ratio), headline numbers."""
    found: list[MetricPoint] = []
    name = record.metric.name
    for epoch in record.history:
        found.append(("epoch/train_loss", epoch.train_loss, epoch.epoch))
        found.append((f"epoch/val_{name}", epoch.val_metric, epoch.epoch))
    for point in record.frontier:
        if point.split == "val" and point.criterion == "ratio" and math.isfinite(point.compression):
            found.append(("frontier/compression", point.compression, int(point.value)))
            found.append((f"frontier/{name}", point.metric, int(point.value)))
    found += [(key, value, 0) for key, value in record.metrics.items()]
    found.append(("seconds", record.seconds, 0))
    if record.score is not None:
        found.append(("score", record.score, 0))
    return [(key, value, step) for key, value, step in found if math.isfinite(value)]


def table_of(record: Record) -> dict[str, Any]:
    """Return the frontier in the layout of MLflow's table artifacts; infinity becomes null."""
    columns = [field.name for field in fields(OperatingPoint)]
    rows = [[getattr(point, column) for column in columns] for point in record.frontier]
    finite = [[None if value == float("inf") else value for value in row] for row in rows]
    header = [record.metric.name if column == "metric" else column for column in columns]
    return {"columns": header, "data": finite}


@dataclass(frozen=True)
class CurvePoint:
    """One point of a method's recommended frontier, means over the confirmation seeds.

    Attributes:
        ratio: Target compression.
        compression: Actual compression.
        val_metric: The metric on validation, where the setting was chosen.
        test_metric: The metric on test.
        trial: The setting.
    """

    ratio: float
    compression: float
    val_metric: float
    test_metric: float
    trial: str


def curve_metrics(
    points: Sequence[CurvePoint], metric: str, headline_ratios: Sequence[float]
) -> list[MetricPoint]:
    """Return the metrics of a method's recommended frontier; ``metric`` is the workload's, by name."""
    found: list[MetricPoint] = []
    for point in points:
        step = int(point.ratio)
        found.append(("frontier/compression", point.compression, step))
        found.append((f"frontier/{metric}", point.val_metric, step))
        found.append((f"frontier/test_{metric}", point.test_metric, step))
        if point.ratio in headline_ratios:
            found.append((f"test_{metric}/at_{point.ratio:g}x", point.test_metric, 0))
    return [(name, value, step) for name, value, step in found if math.isfinite(value)]


def curve_tags(
    sweep: str,
    method: str,
    phase: str,
    points: Sequence[CurvePoint],
    headline_ratios: Sequence[float],
) -> dict[str, str]:
    """Return the tags of a method's recommended frontier, its settings among them."""
    settings = {
        f"rewa.trial_at_{point.ratio:g}x": point.trial for point in points if point.ratio in headline_ratios
    }
    identity = {"rewa.sweep": sweep, "rewa.method": method, "rewa.phase": phase}
    return {**identity, **run_tags(method), **settings}
