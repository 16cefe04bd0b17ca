"""Descriptions of runs: from a curve to its trainings, from a training to the report, each written once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from toy_records import record

from rewa.mlflow_view import NOTE_TAG
from rewa.run_payload import CurvePoint
from rewa.tracking import Tracker, log_report, read_sweep

POINTS = {
    "rewa": [
        CurvePoint(1, 1, 0.9, 0.8, "rewa-0000"),
        CurvePoint(10, 10, 0.9, 0.8, "rewa-0000"),
        CurvePoint(100, 101.5, 0.7, 0.6, "rewa-0001"),
    ],
    "spred": [CurvePoint(1, 1, 0.8, 0.7, "spred-0003")],
}
CONFIRMED = [("rewa-0000", 1), ("rewa-0000", 2), ("rewa-0001", 1), ("rewa-0002", 1)]


@pytest.fixture
def tracker(tracking_uri: str) -> Tracker:
    tracker = Tracker(tracking_uri, "s")
    for trial in ("rewa-0000", "rewa-0001", "rewa-0002", "spred-0003"):
        tracker.log(record(trial))
    for trial, seed in CONFIRMED:
        tracker.log(record(trial, "confirm", seed))
    tracker.log_summary({})
    return tracker


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text("<p>hello</p>")
    return path


def runs(tracker: Tracker, phase: str) -> dict[str, Any]:
    found = tracker.client.search_runs([tracker.experiment_id], f"tags.`rewa.phase` = '{phase}'")
    return {run.info.run_name: run for run in found}


def linked(note: str) -> set[str]:
    return set(re.findall(r"\(#(/experiments/[^)?]*)", note))


def test_curves_lead_to_their_trainings_and_these_to_the_report(
    tracker: Tracker, page: Path, tracking_uri: str
) -> None:
    log_report(tracking_uri, "s", [page], POINTS)
    base = f"/experiments/{tracker.experiment_id}/runs/"
    (summary,) = runs(tracker, "summary").values()
    report = f"{base}{summary.info.run_id}/artifacts/report.html"
    confirmed = {name: f"{base}{run.info.run_id}" for name, run in runs(tracker, "confirm").items()}
    curves = {name: run.data.tags[NOTE_TAG] for name, run in runs(tracker, "frontier").items()}
    assert linked(curves["rewa"]) == {
        report,
        *(confirmed[f"{trial} seed {seed}"] for trial, seed in CONFIRMED[:3]),
    }
    assert "`rewa-0000`, used at 1x to 10x" in curves["rewa"]
    assert "`spred-0003`, used at 1x: from the search" in curves["spred"]
    for name, run in runs(tracker, "confirm").items():
        note = run.data.tags.get(NOTE_TAG, "")
        expected = {report, f"/experiments/{tracker.experiment_id}/runs"} if "0002" not in name else set()
        assert linked(note) == expected, "only those that the curves are made of"
    assert not any(NOTE_TAG in run.data.tags for run in runs(tracker, "search").values())
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    assert report in linked(experiment.tags[NOTE_TAG])
    ui = read_sweep(tracking_uri, "s").meta["ui"]
    assert ui["summary_run"] == summary.info.run_id


def test_a_second_report_writes_no_note_again_and_leaves_those_of_users_alone(
    tracker: Tracker, page: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = runs(tracker, "confirm")["rewa-0001 seed 1"].info.run_id
    tracker.client.set_tag(mine, NOTE_TAG, "my own words")
    written: list[tuple[str, str]] = []
    before = MlflowClient.set_tag

    def counted(self: MlflowClient, run_id: str, key: str, value: Any, *rest: Any) -> None:
        written.append((run_id, key))
        before(self, run_id, key, value, *rest)

    monkeypatch.setattr(MlflowClient, "set_tag", counted)
    log_report(tracking_uri, "s", [page], POINTS)
    assert len(written) == 2, "the two of rewa-0000"
    assert mine not in dict(written)
    written.clear()
    log_report(tracking_uri, "s", [page], POINTS)
    assert not written
    assert tracker.client.get_run(mine).data.tags[NOTE_TAG] == "my own words"


def test_without_confirmations_there_is_nothing_to_link(tracking_uri: str, page: Path) -> None:
    tracker = Tracker(tracking_uri, "s")
    tracker.log(record())
    log_report(tracking_uri, "s", [page], {"rewa": POINTS["rewa"][:1]})
    (curve,) = runs(tracker, "frontier").values()
    assert "from the search" in curve.data.tags[NOTE_TAG]
