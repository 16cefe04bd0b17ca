"""A store holds one sweep of a name, each training once, also where writers raced."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from toy_records import record

from rewa.errors import UserError
from rewa.tracking import SweepTakenError, Tracker, read_sweep


def finished(tracker: Tracker) -> list[tuple[str, str, int]]:
    runs = tracker.client.search_runs([tracker.experiment_id], "tags.`rewa.trial` != ''")
    assert {run.info.status for run in runs} <= {"FINISHED"}
    tags = [run.data.tags for run in runs]
    return sorted((t["rewa.trial"], t["rewa.phase"], int(t["rewa.seed"])) for t in tags)


def test_another_sweep_of_the_same_name_is_refused_and_changes_nothing(tracking_uri: str) -> None:
    Tracker(tracking_uri, "s", "one").log(record())
    with pytest.raises(SweepTakenError, match=r"another sweep named 's'.*--name") as refused:
        Tracker(tracking_uri, "s", "two")
    assert "\n" not in str(refused.value)
    assert tracking_uri in str(refused.value)
    again = Tracker(tracking_uri, "s", "one")
    assert not again.log(record())
    assert finished(again) == [("rewa-0000", "search", 0)]


def test_trainings_without_an_identity_are_taken_over(tracking_uri: str) -> None:
    Tracker(tracking_uri, "s").log(record())
    assert not Tracker(tracking_uri, "s", "one").log(record())
    with pytest.raises(SweepTakenError):
        Tracker(tracking_uri, "s", "two")
    assert not Tracker(tracking_uri, "s").log(record()), "who has no identity asks for none"


def test_of_two_writers_that_raced_the_earlier_run_stays_and_is_read_once(tracking_uri: str) -> None:
    first, second = Tracker(tracking_uri, "s", "one"), Tracker(tracking_uri, "s", "one")
    assert first.log(record(seconds=1.0))
    assert second.log(record(seconds=2.0)), "it could not know"
    assert read_sweep(tracking_uri, "s").runs["seconds"].tolist() == [1.0]
    opened = Tracker(tracking_uri, "s", "one")
    assert finished(opened) == [("rewa-0000", "search", 0)]
    assert read_sweep(tracking_uri, "s").runs["seconds"].tolist() == [1.0]


def test_an_artifact_that_cannot_be_read_now_is_not_taken_for_missing(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a report made while the server stumbles would silently lack trainings."""
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr("rewa.tracking.artifacts.local_artifacts", lambda _: None)
    Tracker(tracking_uri, "s").log(record())

    def broken(*_: object, **__: object) -> str:
        raise MlflowException(
            "API request to http://x failed with exception (Caused by [Errno 111] Connection refused)"
        )

    monkeypatch.setattr(MlflowClient, "download_artifacts", broken)
    with pytest.raises(UserError, match=r"stopped answering, try again \(Connection refused"):
        read_sweep(tracking_uri, "s")
