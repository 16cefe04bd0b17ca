"""A record: headline numbers, tables and JSON of raw and recalibrated frontiers, layers and cost."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from rewa.descent import Epoch
from rewa.record import Record, load_record, make_record, save_record
from rewa.run_payload import CurvePoint, curve_metrics, metrics_of, tables_of
from rewa.sparsity import LayerRow, OperatingPoint
from rewa.sweep.space import Objective
from rewa.sweep_tables import build_tables
from rewa.training import TrainingResult

WORKLOAD = {"name": "images", "metric": "accuracy", "headline_ratios": [10, 100]}
IDENTITY: dict[str, Any] = {
    "sweep": "s",
    "workload": WORKLOAD,
    "method": "rewa",
    "trial": "rewa-0000",
    "phase": "search",
    "seed": 0,
    "config": {"lr": 0.1},
}
RAW = {1.0: 0.9, 10.0: 0.8, 100.0: 0.1}
RENEWED = {1.0: 0.91, 10.0: 0.85, 100.0: math.nan}
LAYERS = [LayerRow("conv1", (8, 3, 3, 3), 216, {10.0: 30, 100.0: 4}), LayerRow("fc", (2, 8), 16, {10.0: 2})]


def point(split: str, ratio: float, value: float, recalibrated: bool) -> OperatingPoint:
    return OperatingPoint(split, "ratio", ratio, ratio, ratio / 2, value, recalibrated)


def made(recalibrated: bool = True, **changes: Any) -> Record:
    """The record of a training; test values are a tenth below validation."""
    frontier = [
        point(split, ratio, value - shift, again)
        for again, values in ((False, RAW), (True, RENEWED))
        if recalibrated or not again
        for split, shift in (("val", 0.0), ("test", 0.1))
        for ratio, value in values.items()
    ]
    frontier.append(OperatingPoint("val", "threshold", 0.5, math.inf, 2.0, 0.05))
    values: dict[str, Any] = {
        "findings": {"finetuned_test_accuracy": {"10x": 0.82, "100x": 0.5}},
        "layers": LAYERS,
        "samples_per_second": 1234.5,
        "peak_memory_bytes": 2_500_000,
        **changes,
    }
    findings = values.pop("findings")
    history = [Epoch(1, 2.0, 0.5, 0.1)]
    result = TrainingResult("completed", "", frontier, findings, history, 1.5, None, **values)
    return make_record(result, **IDENTITY)


def test_headline_numbers_keep_raw_and_recalibrated_apart() -> None:
    metrics = made().metrics
    assert metrics["val_accuracy/at_10x"] == 0.8
    assert metrics["val_accuracy_recalibrated/at_10x"] == 0.85
    assert metrics["test_accuracy/unpruned"] == pytest.approx(0.8)
    assert metrics["test_accuracy_recalibrated/unpruned"] == pytest.approx(0.81)
    assert metrics["finetuned_test_accuracy/100x"] == 0.5
    assert not [name for name in made(recalibrated=False).metrics if "recalibrated" in name]


def test_metric_at_does_not_mix_them() -> None:
    record = made()
    assert record.metric_at("val") == RAW
    renewed = record.metric_at("val", recalibrated=True)
    assert renewed.keys() == RENEWED.keys()
    assert renewed[10] == 0.85
    assert made(recalibrated=False).metric_at("val", recalibrated=True) == {}


def test_files_and_json_hold_everything(tmp_path: Path) -> None:
    save_record(made(), tmp_path)
    assert not list(tmp_path.glob(".*"))
    with (tmp_path / "frontier.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["accuracy"] for row in rows if row["split"] == "val"][:3] == ["0.9", "0.8", "0.1"]
    assert {row["recalibrated"] for row in rows[:6]} == {"False"}
    assert {row["recalibrated"] for row in rows[6:12]} == {"True"}
    assert (tmp_path / "layers.csv").read_text().splitlines() == [
        "layer,shape,weights,kept_at_10x,kept_at_100x",
        "conv1,8x3x3x3,216,30,4",
        "fc,2x8,16,2,",
    ]
    json.loads((tmp_path / "result.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    back = load_record(tmp_path)
    assert back.layers == LAYERS
    assert (back.samples_per_second, back.peak_memory_mb) == (1234.5, 2.5)
    assert back.model_extra == {"finetuned_test_accuracy": {"10x": 0.82, "100x": 0.5}}
    assert back.model_dump_json() == made().model_dump_json()


def test_records_of_before_still_load(tmp_path: Path) -> None:
    """As version 0.1 wrote them: no layers, no cost, points without `recalibrated`."""
    save_record(made(recalibrated=False, layers=[]), tmp_path)
    assert not (tmp_path / "layers.csv").exists()
    old = json.loads((tmp_path / "result.json").read_text())
    for name in ("layers", "samples_per_second", "peak_memory_mb"):
        del old[name]
    for entry in old["frontier"]:
        del entry["recalibrated"]
    (tmp_path / "result.json").write_text(json.dumps(old))
    back = load_record(tmp_path)
    assert back.metric_at("val") == RAW
    assert (back.layers, back.samples_per_second, back.peak_memory_mb) == ([], None, None)
    assert not any(p.recalibrated for p in back.frontier)


def test_mlflow_gets_two_series_and_the_cost() -> None:
    """What is no number is left out: a store would refuse it."""
    found = metrics_of(made())
    series = {name: {step: value for key, value, step in found if key == name} for name, _, _ in found}
    assert series["frontier/accuracy"] == {1: 0.9, 10: 0.8, 100: 0.1}
    assert series["frontier/accuracy_recalibrated"] == {1: 0.91, 10: 0.85}
    assert series["frontier/compression"] == {1: 1.0, 10: 10.0, 100: 100.0}
    assert series["samples_per_second"] == {0: 1234.5}
    assert series["peak_memory_mb"] == {0: 2.5}
    bare = {name for name, _, _ in metrics_of(made(False, samples_per_second=None, peak_memory_bytes=None))}
    assert not bare & {"frontier/accuracy_recalibrated", "samples_per_second", "peak_memory_mb"}


def test_mlflow_tables_are_json_with_nulls() -> None:
    tables = tables_of(made())
    assert list(tables) == ["frontier", "layers"]
    json.dumps(tables, allow_nan=False)
    columns = tables["frontier"]["columns"]
    assert "accuracy" in columns
    rows = [dict(zip(columns, row, strict=True)) for row in tables["frontier"]["data"]]
    (lost,) = [r for r in rows if r["recalibrated"] and r["value"] == 100 and r["split"] == "val"]
    assert lost["accuracy"] is None
    assert rows[-1]["compression"] is None
    assert tables["layers"]["data"][1] == ["fc", "2x8", 16, 2, None]
    assert list(tables_of(made(layers=[]))) == ["frontier"]


def test_a_methods_curve_has_both_series() -> None:
    points = [CurvePoint(10, 10, 0.9, 0.8, "t", 0.95, 0.85), CurvePoint(20, 20, 0.7, 0.6, "t")]
    found = {(name, step): value for name, value, step in curve_metrics(points, "accuracy", [10, 20])}
    assert found["frontier/accuracy", 10] == 0.9
    assert found["frontier/accuracy_recalibrated", 10] == 0.95
    assert found["frontier/test_accuracy_recalibrated", 10] == 0.85
    assert found["test_accuracy_recalibrated/at_10x", 0] == 0.85
    assert ("frontier/accuracy_recalibrated", 20) not in found


def test_tables_of_a_sweep_have_the_layers_by_ratio() -> None:
    tables = build_tables("s", {}, [("id", made())])
    assert tables.frontier["recalibrated"].tolist() == [False] * 6 + [True] * 6 + [False]
    rows = tables.layers[["layer", "weights", "value", "kept"]].to_dict("split")["data"]
    assert rows == [["conv1", 216, 10.0, 30], ["conv1", 216, 100.0, 4], ["fc", 16, 10.0, 2]]
    assert build_tables("s", {}, [("id", made(layers=[]))]).layers.empty


def test_an_objective_looks_at_one_frontier_or_the_other() -> None:
    """By hand, above 50 % over one decade: from 90 to 80 % is 0.7 of the whole, from 91 to 85 % 0.76."""
    raw = Objective(max_compression=10, reference=0.5)
    renewed = raw.model_copy(update={"recalibrated": True})
    record = made()
    assert raw.curve(record) == RAW
    assert raw.area(raw.curve(record), record.metric) == pytest.approx(0.7)
    assert renewed.area(renewed.curve(record), record.metric) == pytest.approx(0.76)
    assert all(p.recalibrated and p.split == "val" and p.criterion == "ratio" for p in renewed.points(record))
    assert renewed.curve(made(recalibrated=False)) == RAW, "no batch norm: the raw one"
