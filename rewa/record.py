"""The record of one training: what ``result.json`` holds and what MLflow is given."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewa.atomic import write_text as write_text  # importable from here too
from rewa.config import one_line
from rewa.descent import Epoch
from rewa.environment import commit, hardware, versions
from rewa.errors import UserError
from rewa.metric import Metric
from rewa.sparsity.frontier import OperatingPoint
from rewa.sparsity.layers import LayerRow
from rewa.training import TrainingResult

RESULT_FILE = "result.json"
FRONTIER_FILE = "frontier.csv"
LAYERS_FILE = "layers.csv"

Key = tuple[str, str, int]
"""What identifies a training within its sweep: trial, phase, seed."""


class Record(BaseModel):
    """Everything about one finished training.

    Attributes:
        sweep: Name of the sweep, or "train-<workload>" for a hand-made run.
        trial: The setting's name; runs that repeat a setting on another seed share it.
        phase: "search", "confirm" or "train".
        sampled: What the search drew, of which the config was made; a lost study can be made of it again.
        status: "completed", "diverged", or "failed" (it raised; see ``reason``).
        score: The sweep's objective; ``None`` for a hand-made run.
        metrics: Headline numbers, such as ``test_accuracy/at_100x``, and the findings that are numbers; where
            batch norm was recalibrated also ``test_accuracy_recalibrated/at_100x``.
        layers: What every layer keeps at the headline compressions; empty where that was not counted.
        samples_per_second: Training throughput; ``None`` where there were no steps.
        peak_memory_mb: Largest memory during the run, in 10^6 bytes; ``None`` where it was not measured.

    What a workload measures beside its metric (:meth:`rewa.workloads.base.Workload.findings`) stands beside
    these under its own name; ``model_extra`` has it.
    """

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="strings")
    __pydantic_extra__: dict[str, float | dict[str, float]] = Field(init=False)

    sweep: str
    workload: dict[str, Any]
    method: str
    trial: str
    phase: Literal["search", "confirm", "train"]
    seed: int
    config: dict[str, Any]
    sampled: dict[str, Any] = {}
    status: Literal["completed", "diverged", "failed"]
    reason: str = ""
    score: float | None = None
    seconds: float
    metrics: dict[str, float]
    history: list[Epoch]
    frontier: list[OperatingPoint]
    layers: list[LayerRow] = []
    samples_per_second: float | None = None
    peak_memory_mb: float | None = None
    versions: dict[str, str]
    commit: str
    hardware: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies the run within its sweep: trial, phase, seed."""
        return self.trial, self.phase, self.seed

    @property
    def metric(self) -> Metric:
        """What the training is judged by."""
        return Metric.from_description(self.workload)

    def metric_at(self, split: str, recalibrated: bool = False) -> dict[float, float]:
        """Return the metric by target ratio on a split; empty for a diverged training.

        Args:
            split: "val" or "test".
            recalibrated: After batch-norm statistics were recomputed; empty for a model without batch norm.
                Default: as pruned.
        """
        return {point.value: point.metric for point in self.points(split, recalibrated)}

    def points(self, split: str, recalibrated: bool = False) -> list[OperatingPoint]:
        """Return the operating points at target ratios on a split; see :meth:`metric_at`."""
        return [
            point
            for point in self.frontier
            if (point.split, point.criterion, point.recalibrated) == (split, "ratio", recalibrated)
        ]


def make_record(result: TrainingResult, **identity: Any) -> Record:
    """Combine a training's outcome with its identity and this machine's description.

    Args:
        result: What :func:`rewa.training.fit` returned.
        **identity: ``sweep``, ``workload``, ``method``, ``trial``, ``phase``, ``seed``, ``config`` and
            optionally ``score``.
    """
    return Record(
        **identity,
        status="diverged" if result.status == "diverged" else "completed",
        reason=result.reason,
        seconds=result.seconds,
        metrics={**_headline(result, identity["workload"]), **_flat(result.findings)},
        history=result.history,
        frontier=result.frontier,
        layers=result.layers,
        samples_per_second=result.samples_per_second,
        peak_memory_mb=None if result.peak_memory_bytes is None else result.peak_memory_bytes / 1e6,
        versions=versions(),
        commit=commit(),
        hardware=hardware(),
        **result.findings,
    )


def failed_record(reason: str, seconds: float, **identity: Any) -> Record:
    """Return the record of a training that raised instead of finishing."""
    return Record(
        **identity,
        status="failed",
        reason=reason,
        seconds=seconds,
        metrics={},
        history=[],
        frontier=[],
        versions=versions(),
        commit=commit(),
        hardware=hardware(),
    )


def _headline(result: TrainingResult, workload: Mapping[str, Any]) -> dict[str, float]:
    """Return the metric unpruned and at the headline ratios, per split, raw and recalibrated."""
    metric = Metric.from_description(workload).name
    found = {}
    for point in result.frontier:
        if point.criterion != "ratio":
            continue
        name = f"{point.split}_{metric}{'_recalibrated' if point.recalibrated else ''}"
        if point.value == 1:
            found[f"{name}/unpruned"] = point.metric
        elif point.value in workload["headline_ratios"]:
            found[f"{name}/at_{point.value:g}x"] = point.metric
    return found


def _flat(findings: Mapping[str, float | dict[str, float]]) -> dict[str, float]:
    """Return findings as single numbers: the entries of a map become ``name/key``."""
    found = {}
    for name, value in findings.items():
        if isinstance(value, dict):
            found.update({f"{name}/{key}": number for key, number in value.items()})
        else:
            found[name] = value
    return found


def save_record(record: Record, folder: Path) -> None:
    """Write ``frontier.csv``, ``layers.csv`` where layers were counted, and then ``result.json``.

    Each appears whole or not at all; ``result.json`` marks the training finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(folder / FRONTIER_FILE, *frontier_table(record))
    if record.layers:
        _write_table(folder / LAYERS_FILE, *layers_table(record))
    write_text(folder / RESULT_FILE, record.model_dump_json(indent=1))


def frontier_table(record: Record) -> tuple[list[str], list[list[Any]]]:
    """Return the frontier's header, the metric under its own name, and its rows."""
    columns = [field.name for field in fields(OperatingPoint)]
    header = [record.metric.name if name == "metric" else name for name in columns]
    return header, [[getattr(point, name) for name in columns] for point in record.frontier]


def layers_table(record: Record) -> tuple[list[str], list[list[Any]]]:
    """Return the header and rows of the layers: name, shape as ``64x3x7x7``, size, and kept per ratio."""
    ratios = sorted({ratio for row in record.layers for ratio in row.kept})
    header = ["layer", "shape", "weights", *(f"kept_at_{ratio:g}x" for ratio in ratios)]
    rows = [
        [row.layer, "x".join(map(str, row.shape)), row.weights, *(row.kept.get(r) for r in ratios)]
        for row in record.layers
    ]
    return header, rows


def _write_table(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    """Write a CSV file in one step."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def load_record(folder: Path) -> Record:
    """Read a record back.

    Raises:
        UserError: If ``result.json`` is missing or is not what this version writes.
    """
    path = folder / RESULT_FILE
    try:
        record = Record.model_validate_json(path.read_bytes())
        _ = record.metric  # of the workload's description, which may hold anything
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = one_line(f"{where}: {first['msg']}" if where else first["msg"])
        raise UserError(f"{path}: not a result of this version ({problem})") from None
    except (LookupError, TypeError, ValueError):
        raise UserError(f"{path}: not a result of this version (workload names no metric)") from None
    return record


def describe_workload(workload: Any, parameters: Mapping[str, int]) -> dict[str, Any]:
    """Return the workload's settings and sizes, for records and reports."""
    sizes = workload.split_sizes
    return {
        "name": workload.name,
        "model": workload.model_name,
        **workload.metric.describe(),
        "headline_ratios": list(workload.headline_ratios),
        **workload.config.model_dump(),
        "train_size": sizes["train"],
        "val_size": sizes["val"],
        "test_size": sizes["test"],
        **parameters,
    }
