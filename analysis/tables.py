"""What the analysis expects of a sweep: two tables, a description, and the order of the methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Protocol

import pandas as pd

from rewa.errors import UserError
from rewa.methods import REGISTRY, Solver, get_method
from rewa.metric import Metric
from rewa.sparsity.frontier import HEADLINE_RATIOS
from rewa.sweep_tables import DRAW_COLUMNS, FRONTIER_COLUMNS, LAYER_COLUMNS, RUN_COLUMNS

FOCUS = "rewa"  # the method this project is about: the headline always says where it stands
DENSE = ("magnitude", "random")  # dense SGD, pruned afterwards: the best at ratio 1 is the dense reference
SOLVERS = ("lasso", "adaptive_lasso", "l0_5", "l2_3", "mcp", "scad")
FIRST_METHODS = ("rewa", "rewa_adamw", "spred", "sgd_l1", *SOLVERS)
CONTROLS = ("magnitude", "random")
RATIOS = tuple(float(ratio) for ratio in HEADLINE_RATIOS)


class SweepRecord(Protocol):
    """The attributes the analysis reads; `rewa.sweep_tables.SweepRecord` has them."""

    @property
    def name(self) -> str:
        """Name of the sweep."""

    @property
    def meta(self) -> dict[str, Any]:
        """Description of the sweep; any key may be missing."""

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run."""

    @property
    def frontier(self) -> pd.DataFrame:
        """One row per operating point of a completed run, raw and, with batch norm, recalibrated."""

    @property
    def layers(self) -> pd.DataFrame:
        """One row per run, layer and target ratio; empty where layers were not counted."""

    @property
    def draws(self) -> pd.DataFrame:
        """What the search drew: one row per search run, one column per name in the search space."""

    @property
    def config_columns(self) -> list[str]:
        """Names of the hyper-parameter columns, in display order."""


def check_record(record: SweepRecord) -> None:
    """Refuse tables that lack a column.

    Args:
        record: The sweep.

    Raises:
        UserError: A column is missing; the sentence names it.
    """
    for table, columns, required in (
        ("runs", record.runs.columns, RUN_COLUMNS),
        ("frontier", record.frontier.columns, FRONTIER_COLUMNS),
    ):
        require_columns(table, columns, (*required, *record.config_columns))
    require_columns("layers", record.layers.columns, LAYER_COLUMNS)
    require_columns("draws", record.draws.columns, DRAW_COLUMNS)


def require_columns(table: str, columns: Iterable[str], required: Iterable[str]) -> None:
    """Raise `UserError` naming what `required` has and `columns` has not."""
    present = set(columns)
    missing = [name for name in required if name not in present]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise UserError(f"the {table} table lacks the {noun} {', '.join(missing)}")


def metric_of(meta: Mapping[str, Any]) -> Metric:
    """What the sweep's models are judged by; accuracy where the description does not say."""
    return Metric.from_description(section(meta, "workload"))


def headline_ratios(meta: Mapping[str, Any]) -> tuple[float, ...]:
    """The compressions that the report of a sweep asks about, rising."""
    found = section(meta, "workload").get("headline_ratios")
    return tuple(sorted(float(ratio) for ratio in found)) if found else RATIOS


def named_metric(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Rename the columns of a table that is written to a file: ``metric`` becomes ``accuracy`` or ``mse``."""
    renamed = {"metric": metric.name, "val_metric": f"val_{metric.name}"}
    renamed |= {f"test_metric_{part}": f"test_{metric.name}_{part}" for part in ("mean", "std")}
    return table.rename(columns=renamed)


def order_methods(names: Iterable[str]) -> list[str]:
    """Sort method names for display: known ones, unknown ones by name, then the controls."""
    unique = set(names)
    known = [name for name in FIRST_METHODS if name in unique]
    controls = [name for name in CONTROLS if name in unique]
    return known + sorted(unique.difference(known, controls)) + controls


@cache
def is_solver(method: str) -> bool:
    """Whether a method fits a linear model directly, without epochs; an unknown one does not."""
    if method not in REGISTRY:
        return False
    return issubclass(get_method(method), Solver)


def all_methods(record: SweepRecord) -> list[str]:
    """Every method of the sweep in display order, those without a completed run included."""
    announced = record.meta.get("methods") or []
    return order_methods([*announced, *record.runs["method"].unique(), *record.frontier["method"].unique()])


def natural_key(text: str) -> str:
    """Sort key that puts ``rewa-2`` before ``rewa-10``."""
    return re.sub(r"\d+", lambda digits: digits.group().zfill(12), text)


def natural(names: pd.Series) -> pd.Series:
    """Sort key for `DataFrame.sort_values` on a column of trial names."""
    return names.map(natural_key)


def section(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The nested mapping `key` of `meta`; empty when it is missing or is no mapping."""
    value = meta.get(key)
    return value if isinstance(value, dict) else {}
