"""MLflow: nothing written twice, nothing half-written counted, tables as they were recorded."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from toy_records import record

from rewa.descent import Epoch
from rewa.errors import UserError
from rewa.methods import REGISTRY as METHODS
from rewa.record import Record
from rewa.run_payload import CurvePoint
from rewa.sparsity.layers import LayerRow
from rewa.store_uri import resolve_uri
from rewa.sweep_tables import FRONTIER_COLUMNS, LAYER_COLUMNS, build_tables
from rewa.tracking import Tracker, log_report, read_sweep, ui_address


def test_a_record_survives_json_with_its_infinity() -> None:
    original = record()
    text = original.model_dump_json()
    assert Record.model_validate_json(text) == original
    assert "NaN" not in text
    assert '"Infinity"' in text  # a string: bare Infinity is not JSON


def test_tables_hold_what_was_logged(tracking_uri: str) -> None:
    tracker = Tracker(tracking_uri, "s")
    confirmed = record(phase="confirm", seed=3)
    diverged = record(
        "spred-0001",
        status="diverged",
        reason="nan",
        frontier=[],
        history=[],
        metrics={},
        score=0.0,
    )
    for one in (record(), confirmed, diverged):
        assert tracker.log(one)
    tracker.log_summary({"trials_per_method": 1})
    tables = read_sweep(tracking_uri, "s")
    workload = record().workload
    ui = tables.meta.pop("ui")
    assert tables.meta == {"trials_per_method": 1, "workload": workload}
    (summary,) = tracker.client.search_runs([tracker.experiment_id], "tags.`rewa.phase` = 'summary'")
    assert ui == {
        "base": "http://127.0.0.1:5000",
        "experiment_id": tracker.experiment_id,
        "summary_run": summary.info.run_id,
    }
    assert tables.config_columns == ["lr", "K"]
    assert len(tables.runs) == 3
    assert set(tables.runs["status"]) == {"completed", "diverged"}
    assert len(tables.frontier) == 2 * len(record().frontier)
    row = tables.frontier.query("phase == 'confirm' and split == 'test' and value == 100").iloc[0]
    assert (row.compression, row.compression_total, row.metric) == (101.5, 50.75, 0.9)
    assert tables.frontier.query("criterion == 'threshold'")["compression"].tolist() == [float("inf")] * 4


def test_the_ui_gets_the_frontier_as_two_metrics_at_the_same_steps(tracking_uri: str) -> None:
    tracker = Tracker(tracking_uri, "s")
    tracker.log(record())
    client = MlflowClient(tracking_uri=tracking_uri)
    (run,) = client.search_runs([tracker.experiment_id])
    compression = client.get_metric_history(run.info.run_id, "frontier/compression")
    accuracy = client.get_metric_history(run.info.run_id, "frontier/accuracy")
    assert {m.step: m.value for m in compression} == {1: 1.0, 100: 101.5}
    assert {m.step: m.value for m in accuracy} == {1: 0.97, 100: 0.9}
    for tag, value in {
        "sweep": "s",
        "method": "rewa",
        "trial": "rewa-0000",
        "phase": "search",
    }.items():
        assert run.data.tags[f"rewa.{tag}"] == value
    assert run.data.tags["rewa.seed"] == "0"


def test_logging_twice_writes_once_also_in_a_new_process(tracking_uri: str) -> None:
    assert Tracker(tracking_uri, "s").log(record())
    again = Tracker(tracking_uri, "s")  # as after a crash: nothing is remembered but the store
    assert not again.log(record())
    assert again.log(record(phase="confirm", seed=1))
    assert len(read_sweep(tracking_uri, "s").runs) == 2


def test_a_half_written_run_is_replaced(tracking_uri: str) -> None:
    tracker = Tracker(tracking_uri, "s")
    tags = {"rewa.sweep": "s", "rewa.trial": "rewa-0000", "rewa.phase": "search", "rewa.seed": "0"}
    tracker.client.create_run(tracker.experiment_id, tags=tags)  # killed before anything else
    assert Tracker(tracking_uri, "s").log(record())
    runs = tracker.client.search_runs([tracker.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_the_report_goes_to_the_one_summary_run(tracking_uri: str, tmp_path: Path) -> None:
    tracker = Tracker(tracking_uri, "s")
    tracker.log(record())
    tracker.log_summary({})
    page = tmp_path / "report.html"
    page.write_text("<p>hello</p>")
    points = [CurvePoint(1, 1, 0.9, 0.8, "rewa-0000"), CurvePoint(100, 101.5, 0.7, 0.6, "rewa-0001")]
    for _ in range(2):
        log_report(tracking_uri, "s", [page], {"rewa": points})
    query = "tags.`rewa.phase` = 'summary'"
    (summary,) = tracker.client.search_runs([tracker.experiment_id], query)
    names = {item.path for item in tracker.client.list_artifacts(summary.info.run_id)}
    assert names == {"report.html", "sweep.json"}

    (curve,) = tracker.client.search_runs([tracker.experiment_id], "tags.`rewa.phase` = 'frontier'")
    history = tracker.client.get_metric_history(curve.info.run_id, "frontier/test_accuracy")
    assert {m.step: m.value for m in history} == {1: 0.8, 100: 0.6}
    assert curve.data.metrics["test_accuracy/at_100x"] == 0.6
    assert curve.data.tags["rewa.trial_at_100x"] == "rewa-0001"
    assert len(read_sweep(tracking_uri, "s").runs) == 1, "derived runs are no trainings"
    assert not Tracker(tracking_uri, "s").log(record()), "and do not confuse a resumed sweep"


def test_the_ui_address_opens_the_view_of_the_newest_sweep(tracking_uri: str) -> None:
    Tracker(tracking_uri, "s").log(record())
    newest = Tracker(tracking_uri, "t")
    newest.log(record(sweep="t"))
    assert f"/experiments/{newest.experiment_id}/" in ui_address(tracking_uri, None)


def test_wrong_stores_and_sweeps_are_told(tracking_uri: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sweep yet"):
        read_sweep(tracking_uri, None)
    Tracker(tracking_uri, "s").log(record())
    with pytest.raises(UserError, match=r"no sweep 'x' in .* \(there are: s\)"):
        read_sweep(tracking_uri, "x")
    with pytest.raises(UserError, match="no MLflow store at"):
        read_sweep(f"sqlite:///{tmp_path}/none.db", None)
    broken = tmp_path / "broken.db"
    broken.write_text("this is not a database")
    with pytest.raises(UserError, match="cannot be opened"):
        read_sweep(f"sqlite:///{broken}", None)


def test_the_uri_comes_from_the_option_then_the_environment_then_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(None) == f"sqlite:///{tmp_path}/results/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert resolve_uri(None) == "http://localhost:5000"
    assert resolve_uri("sqlite:///own.db") == f"sqlite:///{tmp_path}/own.db"


def test_a_run_is_written_in_three_calls(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a transaction that a sweep waits for; artifacts go straight to disk."""
    tracker = Tracker(tracking_uri, "s")
    calls: list[str] = []
    for name in ("create_run", "log_batch", "log_param", "log_metric", "set_tag", "set_terminated"):
        written = getattr(tracker.client, name)
        monkeypatch.setattr(
            tracker.client, name, lambda *a, _f=written, _n=name, **k: (calls.append(_n), _f(*a, **k))[1]
        )
    for name in ("log_dict", "log_text", "log_artifact", "log_artifacts"):
        monkeypatch.setattr(tracker.client, name, lambda *_, **__: pytest.fail("one upload a file"))
    tracker.log(record())
    assert calls == ["create_run", "log_batch", "set_terminated"]
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    names = {item.path for item in tracker.client.list_artifacts(run.info.run_id)}
    assert names == {"record.json", "frontier.json"}
    assert '"path": "frontier.json"' in run.data.tags["mlflow.loggedArtifacts"]
    table = json.loads(Path(tracker.client.download_artifacts(run.info.run_id, "frontier.json")).read_text())
    assert table["columns"][5] == "accuracy"
    assert table["data"][2] == ["val", "threshold", 0.5, None, None, 0.1, False]
    assert run.data.params == {
        "method": "rewa",
        "workload": "digits",
        "seed": "0",
        "epochs": "2",
        "lr": "0.1",
        "K": "9.0",
    }


def test_more_metrics_than_mlflow_takes_at_once_all_arrive(tracking_uri: str) -> None:
    tracker = Tracker(tracking_uri, "s")
    history = [Epoch(epoch, 1 / epoch, epoch / 2000, 0.1) for epoch in range(1, 1301)]
    tracker.log(record(history=history, config={f"x{i}": i for i in range(90)}))
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    found = tracker.client.get_metric_history(run.info.run_id, "epoch/val_accuracy")
    assert {m.step: m.value for m in found} == {epoch: epoch / 2000 for epoch in range(1, 1301)}
    assert run.data.metrics["seconds"] == 1.5
    assert len(run.data.params) == 94


def test_artifacts_on_a_server_go_through_mlflow(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewa.tracking.artifacts.local_artifacts", lambda _: None)
    tracker = Tracker(tracking_uri, "s")
    tracker.log(record())
    tracker.log_summary({"trials_per_method": 7})
    tables = read_sweep(tracking_uri, "s")
    assert len(tables.frontier) == len(record().frontier)
    assert tables.meta["trials_per_method"] == 7


def test_the_view_knows_every_method_and_the_best_phase(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of the user's own, and those that only diverged; the summary run has no method."""
    seen: list[tuple[list[str], str]] = []
    monkeypatch.setattr(
        "rewa.mlflow_view.install_view",
        lambda _c, _e, view: seen.append((view.methods, view.phase)) or "",
    )
    tracker = Tracker(tracking_uri, "s")
    for trial in ("sgd_l1-0", "moons:Own-0", "rewa-0", "rewa-1"):
        tracker.log(record(trial))
    tracker.log_summary({})
    tracker.log(record("spred-0", status="diverged", frontier=[], history=[], metrics={}))
    tracker.log(record("rewa-0", phase="confirm", seed=1))
    tracker.log_summary({})
    log_report(tracking_uri, "s", [], {"rewa": [CurvePoint(1, 1, 0.9, 0.8, "rewa-0")]})
    order = [m for m in METHODS if m in ("sgd_l1", "rewa", "spred")]
    first = [*(m for m in order if m != "spred"), "moons:Own"]
    assert seen == [
        (first, "search"),
        ([*order, "moons:Own"], "confirm"),
        ([*order, "moons:Own"], "frontier"),
    ]


def test_tables_are_those_of_a_dictionary_per_row() -> None:
    """The plain way to build them, which takes a kilobyte a row; records come in any order."""
    layers = [LayerRow("a", (2, 3), 6, {10.0: 3, 100.0: 1}), LayerRow("b", (4,), 4, {10.0: 2})]
    records = [
        ("id0", record("spred-1", layers=layers, config={"lr": 1, "init": "balanced"})),
        ("id1", record("rewa-0", phase="confirm", seed=3, config={"K": 9, "new": True})),
        ("id2", record("rewa-0", phase="confirm", seed=2, config={"K": 9, "new": False}, layers=layers[:1])),
        ("id3", record("rewa-1", status="diverged", frontier=[], config={"K": 2.5}, score=None)),
        ("id4", record("spred-0", config={"lr": 0.5}, layers=[LayerRow("a", (2, 3), 6, {})])),
    ]
    rows, kept = [], []
    for _, one in records:
        same = {key: getattr(one, key) for key in ("sweep", "method", "trial", "seed", "phase")}
        rows += [{**same, **asdict(point), **one.config} for point in one.frontier]
        kept += [
            {**same, "layer": row.layer, "weights": row.weights, "value": ratio, "kept": count}
            for row in one.layers
            for ratio, count in row.kept.items()
        ]
    tables = build_tables("s", {}, iter(records))
    order = ["phase", "method", "trial", "seed"]
    columns = [*FRONTIER_COLUMNS, *tables.config_columns]
    expected = pd.DataFrame(rows, columns=columns).sort_values(order, kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(tables.frontier, expected)
    expected = pd.DataFrame(kept, columns=LAYER_COLUMNS).sort_values(order, kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(tables.layers, expected)
    assert list(tables.runs["run_id"]) == ["id2", "id1", "id3", "id4", "id0"]
    empty = build_tables("s", {}, [records[3]])
    assert list(empty.frontier.columns) == [*FRONTIER_COLUMNS, "K"]
    assert empty.frontier.empty
    assert empty.layers.empty


def test_what_the_sweep_does_not_know_is_deleted(tracking_uri: str) -> None:
    """A result that was damaged on disk is run again under another number; its first run goes."""
    first = Tracker(tracking_uri, "s", "id")
    for name in ("rewa-0", "rewa-1"):
        first.log(record(name))
    known = {record("rewa-1").key}
    second = Tracker(tracking_uri, "s", "id", known)
    assert list(read_sweep(tracking_uri, "s").runs["trial"]) == ["rewa-1"]
    known.add(record("rewa-0").key)
    assert second.log(record("rewa-0"))
    assert not second.log(record("rewa-1"))
    Tracker(tracking_uri, "s", "id")
    assert sorted(read_sweep(tracking_uri, "s").runs["trial"]) == ["rewa-0", "rewa-1"]
