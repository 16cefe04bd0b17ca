"""What a training becomes in MLflow: tags, parameters, metrics and tables, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewa.mlflow_view import run_tags
from rewa.record import Record, frontier_table, layers_table

MetricPoint = tuple[str, float, int]
"""Name, value and step of one metric. A frontier's step is the target ratio: the UI has a logarithmic axis
for steps only."""


SWEEP_ID_TAG = "rewa.sweep_id"
"""Tells a sweep from others of its name; trainings outside sweeps have none."""


def tags_of(record: Record, sweep_id: str = "") -> dict[str, str]:
    """Return a training's tags; sweep, trial, phase and seed identify it."""
    return {
        "rewa.sweep": record.sweep,
        **({SWEEP_ID_TAG: sweep_id} if sweep_id else {}),
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
    """Return a training's metrics: per epoch, the frontier (validation, by ratio), headline numbers, cost.

    The recalibrated frontier is a series of its own beside the raw one, ``frontier/accuracy_recalibrated``.
    """
    found: list[MetricPoint] = []
    name = record.metric.name
    for epoch in record.history:
        found.append(("epoch/train_loss", epoch.train_loss, epoch.epoch))
        found.append((f"epoch/val_{name}", epoch.val_metric, epoch.epoch))
    for point in record.points("val"):
        if math.isfinite(point.compression):
            found.append(("frontier/compression", point.compression, int(point.value)))
            found.append((f"frontier/{name}", point.metric, int(point.value)))
    for point in record.points("val", recalibrated=True):
        if math.isfinite(point.compression):
            found.append((f"frontier/{name}_recalibrated", point.metric, int(point.value)))
    found += [(key, value, 0) for key, value in record.metrics.items()]
    for key in ("seconds", "score", "samples_per_second", "peak_memory_mb"):
        value = getattr(record, key)
        if value is not None:
            found.append((key, value, 0))
    return [(key, value, step) for key, value, step in found if math.isfinite(value)]


def tables_of(record: Record) -> dict[str, dict[str, Any]]:
    """Return the tables by artifact: ``frontier``, and ``layers`` where they were counted."""
    tables = {"frontier": table_of(record)}
    if record.layers:
        tables["layers"] = _table(*layers_table(record))
    return tables


def table_of(record: Record) -> dict[str, Any]:
    """Return the frontier in the layout of MLflow's table artifacts."""
    return _table(*frontier_table(record))


def _table(header: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    """Return a table in MLflow's layout; numbers that are not finite become null, which JSON has."""
    plain = [[None if isinstance(v, float) and not math.isfinite(v) else v for v in row] for row in rows]
    return {"columns": header, "data": plain}


@dataclass(frozen=True)
class CurvePoint:
    """One point of a method's recommended frontier, means over the confirmation seeds.

    Attributes:
        ratio: Target compression.
        compression: Actual compression.
        val_metric: The metric on validation, where the setting was chosen.
        test_metric: The metric on test.
        trial: The setting.
        val_recalibrated: As ``val_metric``, after batch-norm recalibration; ``None`` without batch norm.
        test_recalibrated: The same on test.
    """

    ratio: float
    compression: float
    val_metric: float
    test_metric: float
    trial: str
    val_recalibrated: float | None = None
    test_recalibrated: float | None = None


def curve_metrics(
    points: Sequence[CurvePoint], metric: str, headline_ratios: Sequence[float]
) -> list[MetricPoint]:
    """Return the metrics of a method's recommended frontier; ``metric`` is the workload's, by name."""
    found: list[MetricPoint] = []
    for point in points:
        step = int(point.ratio)
        found.append(("frontier/compression", point.compression, step))
        for name, val, test in (
            (metric, point.val_metric, point.test_metric),
            (f"{metric}_recalibrated", point.val_recalibrated, point.test_recalibrated),
        ):
            if val is None or test is None:
                continue
            found.append((f"frontier/{name}", val, step))
            found.append((f"frontier/test_{name}", test, step))
            if point.ratio in headline_ratios:
                found.append((f"test_{name}/at_{point.ratio:g}x", test, 0))
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
