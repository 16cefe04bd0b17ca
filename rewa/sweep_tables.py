"""A sweep as tables: what analysis reads, built from the records of its trainings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewa.record import Record

if TYPE_CHECKING:
    import pandas as pd

FRONTIER_COLUMNS = (
    *("sweep", "method", "trial", "seed", "phase", "split", "criterion", "value"),
    *("compression", "compression_total", "metric", "recalibrated"),
)
RUN_COLUMNS = (
    *("sweep", "method", "trial", "seed", "phase", "status", "reason", "score", "seconds"),
    "run_id",
)
LAYER_COLUMNS = ("method", "trial", "seed", "phase", "layer", "weights", "value", "kept")
CONFIG_ORDER = ("lr", "momentum", "weight_decay", "K", "M", "epsilon", "l1", "init")


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as tables, for analysis.

    Attributes:
        name: Name of the sweep.
        meta: What was run: space, budget, seeds, versions; empty for hand-made runs.
        runs: One row per run, columns ``RUN_COLUMNS`` and then the config columns.
        frontier: One row per operating point, columns ``FRONTIER_COLUMNS`` and then the config's. Rows with
            ``recalibrated`` are after batch-norm statistics were recomputed, and repeat the others' points.
        layers: One row per run, layer and target ratio (``value``), columns ``LAYER_COLUMNS``.
        config_columns: Names of the config columns, in display order.
    """

    name: str
    meta: dict[str, Any]
    runs: pd.DataFrame
    frontier: pd.DataFrame
    layers: pd.DataFrame
    config_columns: list[str]


def build_tables(name: str, meta: dict[str, Any], records: Iterable[tuple[str, Record]]) -> SweepRecord:
    """Build the tables of a sweep.

    Args:
        name: Name of the sweep.
        meta: Its description; a missing ``workload`` is taken from the records.
        records: Pairs of MLflow's run id and the record; at least one.
    """
    import pandas as pd

    runs: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    configs: dict[str, None] = {}
    workload: dict[str, Any] = {}
    for run_id, record in records:
        configs |= dict.fromkeys(record.config)
        workload = record.workload
        identity = {key: getattr(record, key) for key in ("method", "trial", "seed", "phase")}
        identity["sweep"] = name
        outcome = {key: getattr(record, key) for key in ("status", "reason", "score", "seconds")}
        runs.append({**identity, **outcome, "run_id": run_id, **record.config})
        points += [{**identity, **vars(point), **record.config} for point in record.frontier]
        layers += [
            {**identity, "layer": row.layer, "weights": row.weights, "value": ratio, "kept": kept}
            for row in record.layers
            for ratio, kept in row.kept.items()
        ]
    known = [column for column in CONFIG_ORDER if column in configs]
    columns = known + [column for column in configs if column not in known]
    table = pd.DataFrame(runs, columns=[*RUN_COLUMNS, *columns])
    frontier = pd.DataFrame(points, columns=[*FRONTIER_COLUMNS, *columns])
    order = ["phase", "method", "trial", "seed"]
    return SweepRecord(
        name,
        {"workload": workload, **meta},
        table.sort_values(order, ignore_index=True),
        frontier.sort_values(order, kind="stable", ignore_index=True),
        pd.DataFrame(layers, columns=list(LAYER_COLUMNS)).sort_values(
            order, kind="stable", ignore_index=True
        ),
        columns,
    )
