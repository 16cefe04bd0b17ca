"""A sweep as tables: what analysis reads, built from the records of its trainings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rewa.record import Record
from rewa.sparsity.frontier import OperatingPoint

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
DRAW_COLUMNS = ("method", "trial")
LAYER_COLUMNS = ("method", "trial", "seed", "phase", "layer", "weights", "value", "kept")
ORDER = ("phase", "method", "trial", "seed")
"""What all tables are sorted by."""
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
        draws: What the search drew: one row per search run whose record says so, columns ``DRAW_COLUMNS`` and
            then the names in the search space, such as ``decay_budget``; NaN where a method has no such.
        config_columns: Names of the config columns, in display order.
    """

    name: str
    meta: dict[str, Any]
    runs: pd.DataFrame
    frontier: pd.DataFrame
    layers: pd.DataFrame
    draws: pd.DataFrame
    config_columns: list[str]


def build_tables(name: str, meta: dict[str, Any], records: Iterable[tuple[str, Record]]) -> SweepRecord:
    """Build the tables of a sweep.

    Args:
        name: Name of the sweep.
        meta: Its description; a missing ``workload`` is taken from the records.
        records: Pairs of MLflow's run id and the record; at least one.
    """
    import pandas as pd

    configs: dict[str, None] = {}
    workload: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    draws: list[dict[str, Any]] = []
    names = tuple(field.name for field in fields(OperatingPoint))
    points, own = _Rows(names), attrgetter(*names)
    layers = _Rows(("layer", "weights", "value", "kept"))
    for run_id, record in records:  # none is kept: ten thousand would take half a gigabyte
        configs |= dict.fromkeys(record.config)
        workload = record.workload
        identity = {key: getattr(record, key) for key in ("method", "trial", "seed", "phase")}
        identity["sweep"] = name
        outcome = {key: getattr(record, key) for key in ("status", "reason", "score", "seconds")}
        runs.append({**identity, **outcome, "run_id": run_id, **record.config})
        if record.phase == "search" and record.sampled:
            draws.append({"method": record.method, "trial": record.trial, **record.sampled})
        points.add({**identity, **record.config}, [own(point) for point in record.frontier])
        kept = [
            (row.layer, row.weights, ratio, count)
            for row in record.layers
            for ratio, count in row.kept.items()
        ]
        layers.add(identity, kept)
    known = [column for column in CONFIG_ORDER if column in configs]
    columns = known + [column for column in configs if column not in known]
    table = pd.DataFrame(runs, columns=[*RUN_COLUMNS, *columns])
    drawn = [
        name for name in dict.fromkeys(name for row in draws for name in row) if name not in DRAW_COLUMNS
    ]
    return SweepRecord(
        name,
        {"workload": workload, **meta},
        table.sort_values(list(ORDER), ignore_index=True),
        points.table([*FRONTIER_COLUMNS, *columns]),
        layers.table(LAYER_COLUMNS),
        pd.DataFrame(draws, columns=[*DRAW_COLUMNS, *drawn]).sort_values(
            list(DRAW_COLUMNS), ignore_index=True
        ),
        columns,
    )


class _Rows:
    """Gathers a table whose rows have a few values of their own and many that those of a training share.

    A dictionary per row would take a kilobyte a row.

    Args:
        own: Names of the values that rows have of their own.
    """

    def __init__(self, own: tuple[str, ...]) -> None:
        self._own: dict[str, list[Any]] = {name: [] for name in own}
        self._shared: list[dict[str, Any]] = []
        self._counts: list[int] = []

    def add(self, shared: dict[str, Any], rows: Sequence[tuple[Any, ...]]) -> None:
        """Add a training's rows, each a tuple of its own values."""
        if not rows:
            return
        self._shared.append(shared)
        self._counts.append(len(rows))
        for values, column in zip(self._own.values(), zip(*rows, strict=True), strict=True):
            values.extend(column)

    def table(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the rows with these columns, sorted by ``ORDER`` and otherwise as they came."""
        import numpy as np
        import pandas as pd

        if not self._shared:
            return pd.DataFrame(columns=list(columns))
        repeated = [column for column in columns if column not in self._own]
        trainings = pd.DataFrame(self._shared, columns=repeated)
        rank = np.empty(len(trainings), dtype=np.intp)
        rank[trainings.sort_values(list(ORDER), kind="stable").index.to_numpy()] = np.arange(len(trainings))
        owner = np.repeat(np.arange(len(trainings)), self._counts)
        order = np.argsort(rank[owner], kind="stable")
        parts = (
            trainings.take(owner[order]).reset_index(drop=True),
            pd.DataFrame(self._own).take(order).reset_index(drop=True),
        )
        return pd.concat(parts, axis=1)[list(columns)]
