"""Metrics and parameters in as few calls as MLflow allows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rewa.run_payload import MetricPoint

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""Metrics and parameters that MLflow takes in one call."""


def log_batch(
    client: MlflowClient,
    run_id: str,
    points: Sequence[MetricPoint],
    params: Mapping[str, str] | None = None,
    model_id: str | None = None,
) -> None:
    """Write parameters and metrics, in one call where MLflow allows: a thousand of both at most.

    Args:
        client: Of the store.
        run_id: The run.
        points: Metrics.
        params: Parameters.
        model_id: The logged model that the metrics are of, if one.
    """
    from mlflow.entities import Metric as LoggedMetric
    from mlflow.entities import Param

    now = int(time.time() * 1000)
    metrics = [LoggedMetric(name, value, now, step, model_id=model_id) for name, value, step in points]
    listed = [Param(key, value) for key, value in (params or {}).items()]
    first = BATCH - len(listed)
    client.log_batch(run_id, metrics=metrics[:first], params=listed)
    for start in range(first, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
