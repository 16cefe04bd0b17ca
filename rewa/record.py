"""The record of one training: what ``result.json`` holds and what MLflow is given."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewa.environment import commit, hardware, versions
from rewa.errors import UserError
from rewa.metric import Metric
from rewa.sparsity.frontier import OperatingPoint
from rewa.training import Epoch, TrainingResult

RESULT_FILE = "result.json"
FRONTIER_FILE = "frontier.csv"


class Record(BaseModel):
    """Everything about one finished training.

    Attributes:
        sweep: Name of the sweep, or "train-<workload>" for a hand-made run.
        trial: The setting's name; runs that repeat a setting on another seed share it.
        phase: "search", "confirm" or "train".
        status: "completed", "diverged", or "failed" (it raised; see ``reason``).
        score: The sweep's objective; ``None`` for a hand-made run.
        metrics: Headline numbers, such as ``test_accuracy/at_100x``, and the findings that are numbers.

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
    status: Literal["completed", "diverged", "failed"]
    reason: str = ""
    score: float | None = None
    seconds: float
    metrics: dict[str, float]
    history: list[Epoch]
    frontier: list[OperatingPoint]
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

    def metric_at(self, split: str) -> dict[float, float]:
        """Return the metric by target ratio on a split; empty for a diverged training."""
        return {
            point.value: point.metric
            for point in self.frontier
            if point.split == split and point.criterion == "ratio"
        }


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
    """Return the metric unpruned and at the headline ratios, per split."""
    name = Metric.from_description(workload).name
    found = {}
    for point in result.frontier:
        if point.criterion != "ratio":
            continue
        if point.value == 1:
            found[f"{point.split}_{name}/unpruned"] = point.metric
        elif point.value in workload["headline_ratios"]:
            found[f"{point.split}_{name}/at_{point.value:g}x"] = point.metric
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
    """Write ``frontier.csv`` and then ``result.json``, each atomically; the latter marks it finished."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [field.name for field in fields(OperatingPoint)]
    header = [record.metric.name if name == "metric" else name for name in columns]
    rows = [header, *([getattr(point, name) for name in columns] for point in record.frontier)]
    partial = folder / f".{FRONTIER_FILE}.partial"
    with partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    partial.replace(folder / FRONTIER_FILE)
    write_text(folder / RESULT_FILE, record.model_dump_json(indent=1))


def load_record(folder: Path) -> Record:
    """Read a record back.

    Raises:
        UserError: If ``result.json`` is missing or is not what this version writes.
    """
    path = folder / RESULT_FILE
    try:
        return Record.model_validate_json(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: not a result of this version ({where}: {first['msg']})") from None


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never half of it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


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
