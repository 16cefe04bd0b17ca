"""A real MLflow server on a real PostgreSQL: what SQLite gives, and nothing lost or doubled by its faults."""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from lossy_proxy import LossyProxy
from mlflow import MlflowClient
from toy_records import record

from analysis import report
from benchmarks.faults.servers import MlflowServer, Postgres
from rewa.record import Record
from rewa.sweep import backlog as backlog_module
from rewa.sweep.writer import TrackingWriter, finish
from rewa.tracking import Tracker, read_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_module, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(backlog_module, "LONGEST_PAUSE", 0.5)


def trainings(sweep: str, count: int) -> list[Record]:
    return [record(f"rewa-{i:04d}", sweep=sweep, seconds=float(i)) for i in range(count)]


def check_store(uri: str, sweep: str, expected: list[Record]) -> None:
    """Every training once, whole and FINISHED; nothing RUNNING, the summary included."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(sweep)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(runs)}
    tags = [run.data.tags for run in runs]
    found = Counter(
        (t["rewa.trial"], t["rewa.phase"], int(t["rewa.seed"])) for t in tags if "rewa.trial" in t
    )
    assert found == Counter(one.key for one in expected)
    assert sum(t["rewa.phase"] == "summary" for t in tags) == 1
    tables = read_sweep(uri, sweep)
    assert sorted(tables.runs["seconds"]) == sorted(one.seconds for one in expected)
    assert len(tables.frontier) == sum(len(one.frontier) for one in expected)
    for run in runs:
        if "rewa.trial" in run.data.tags:
            assert run.data.params["lr"] == "0.1"
            assert run.data.metrics["frontier/compression"] == 101.5


def wait_for(condition: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sweep_like() -> list[Record]:
    """Two methods, three trials each, the best confirmed on three seeds."""
    found = []
    for method in ("rewa", "sgd_l1"):
        found += [record(f"{method}-000{i}", sweep="digits", config={"lr": 0.1 * (i + 1)}) for i in range(3)]
        found += [record(f"{method}-0000", "confirm", seed, sweep="digits") for seed in (1, 2, 3)]
    return found


def test_postgres_gives_what_sqlite_gives_and_the_report_is_made_from_it(
    server: MlflowServer, tracking_uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    meta = {"sweep": "digits", "methods": ["rewa", "sgd_l1"], "trials_per_method": 3}
    for uri in (server.uri, tracking_uri):
        assert not finish(uri, "digits", "one", sweep_like(), meta)
    ours, theirs = read_sweep(server.uri, "digits"), read_sweep(tracking_uri, "digits")
    places = [tables.meta.pop("ui") for tables in (ours, theirs)]
    assert ours.meta == theirs.meta
    assert [place["base"] for place in places] == [server.uri, "http://127.0.0.1:5000"]
    pd.testing.assert_frame_equal(ours.frontier, theirs.frontier)
    pd.testing.assert_frame_equal(ours.layers, theirs.layers)
    pd.testing.assert_frame_equal(ours.runs.drop(columns="run_id"), theirs.runs.drop(columns="run_id"))
    pages = []
    for name, uri in (("ours", server.uri), ("theirs", tracking_uri)):
        words = ["--tracking-uri", uri, "--sweep", "digits", "--output", str(tmp_path / name)]
        assert report.main(words) == 0
        pages.append((tmp_path / name / "frontier.csv").read_text())
    assert pages[0] == pages[1]
    client = MlflowClient(tracking_uri=server.uri)
    (run,) = client.search_runs(
        [client.get_experiment_by_name("digits").experiment_id],  # type: ignore[union-attr]
        "tags.`rewa.phase` = 'summary'",
    )
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/"), "clients need no access to the directory"
    assert "report.html" in {item.path for item in client.list_artifacts(run.info.run_id)}
    out = capfd.readouterr()
    assert "View run" not in out.out
    assert "WARNING" not in out.err


def test_no_password_is_among_the_arguments_of_any_process(server: MlflowServer, postgres: Postgres) -> None:
    pids = server.pids()
    assert len(pids) >= 3, "rewa, mlflow and uvicorn"
    for pid in pids:
        assert postgres.password not in Path(f"/proc/{pid}/cmdline").read_text()
    assert any(postgres.password in Path(f"/proc/{pid}/environ").read_text() for pid in pids), (
        "it got there otherwise"
    )
    assert postgres.password not in server.log.read_text()


def test_a_server_that_dies_and_comes_back_gets_everything_once(server: MlflowServer) -> None:
    told: list[str] = []
    records = trainings("server-dies", 24)
    writer = TrackingWriter(server.uri, "server-dies", "one", notify=told.append)
    for one in records[:12]:
        writer.add(one)
    wait_for(lambda: len(writer.leftover.records) < 7)
    server.kill()  # while it writes
    for one in records[12:]:
        writer.add(one)
    time.sleep(2)
    assert len(writer.leftover.records) > 12
    server.start()
    left = writer.stop(30, {"m": 1})
    assert not left, left
    check_store(server.uri, "server-dies", records)
    assert len(told) == 2, told
    assert "Connection refused" in told[0] or "closed" in told[0]
    assert re.search(r"is back: \d+ trainings written that had waited", told[1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "crash"])
def test_a_database_that_restarts_between_and_during_writes_gets_everything_once(
    server: MlflowServer, postgres: Postgres, how: int
) -> None:
    sweep = f"database-{int(how)}"
    records = trainings(sweep, 32)
    writer = TrackingWriter(server.uri, sweep, "one", notify=lambda _: None)
    wait_for(lambda: writer.opened)
    postgres.restart(how)  # between writes: its connection is dead when the first training comes
    for one in records:
        writer.add(one)
    for waiting in (24, 16):
        wait_for(lambda waiting=waiting: len(writer.leftover.records) <= waiting)
        postgres.restart(how)
    wait_for(lambda: len(writer.leftover.records) <= 8)
    postgres.stop(how)
    time.sleep(1)
    postgres.start()
    left = writer.stop(30, {"m": 1})
    assert not left, left
    check_store(server.uri, sweep, records)
    postgres.restart(how)  # the server's idle connections are dead now
    check_store(server.uri, sweep, records)


def test_lost_answers_make_no_duplicates(server: MlflowServer) -> None:
    """Every kind of request that changes something is carried out and its answer lost, several times."""
    draw = random.Random(0)
    records = trainings("lossy", 22)
    with LossyProxy(server.port, lambda *_: "lose" if draw.random() < 0.12 else "pass") as proxy:
        writer = TrackingWriter(proxy.uri, "lossy", "one", notify=lambda _: None)
        for one in records:
            writer.add(one)
        left = writer.stop(60, {"m": 1})
        assert not left, left
    lost = Counter(kind for kind, fate in proxy.fates if fate == "lose")
    assert {"create", "log-batch", "update"} <= set(lost), lost
    assert lost["create"] >= 3
    check_store(server.uri, "lossy", records)


def test_a_creation_that_is_carried_out_long_after_the_client_gave_up_leaves_no_run(
    server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    fates = iter([4.0])

    def fate(_method: str, path: str) -> str | float:
        return next(fates, "pass") if path.endswith("runs/create") else "pass"

    records = trainings("late", 5)
    with LossyProxy(server.port, fate) as proxy:
        writer = TrackingWriter(proxy.uri, "late", "one", notify=lambda _: None)
        for one in records:
            writer.add(one)
        wait_for(lambda: not writer.leftover)
        for late in proxy.late:
            late.join()
        running = [r for r in runs_of(server.uri, "late") if r == "RUNNING"]
        assert running == ["RUNNING"], "the late one is there"
        left = writer.stop(30, {"m": 1})
        assert not left, left
    check_store(server.uri, "late", records)


def runs_of(uri: str, sweep: str) -> list[str]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(sweep)
    return [run.info.status for run in client.search_runs([found.experiment_id])]  # type: ignore[union-attr]


def test_the_sweep_of_a_driver_that_died_is_finished_by_the_next(server: MlflowServer) -> None:
    records = trainings("driver", 6)
    tracker = Tracker(server.uri, "driver", "one")
    for one in records[:3]:
        tracker.log(one)
    tags = {"rewa.sweep": "driver", "rewa.trial": "rewa-0003", "rewa.phase": "search", "rewa.seed": "0"}
    tracker.client.create_run(tracker.experiment_id, tags=tags)  # killed here
    assert not finish(server.uri, "driver", "one", records, {"m": 1})
    check_store(server.uri, "driver", records)
