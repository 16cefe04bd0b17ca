"""The backlog and its thread against a store that fails by plan; time is what the pauses add up to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from toy_records import record

from rewa.record import Record
from rewa.sweep import backlog as module
from rewa.sweep import writer as writer_module
from rewa.sweep.backlog import FIRST_PAUSE, LONGEST_PAUSE, TRIES, Backlog
from rewa.sweep.writer import TrackingWriter
from rewa.tracking import SweepTakenError


class Store:
    """Runs as a server keeps them; ``outage`` says by the time whether it fails, and how."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.summaries: list[dict[str, object]] = []
        self.now = 0.0
        self.opened = 0
        self.outage: Callable[[float], str] = lambda _: ""
        self.poison: set[str] = set()

    def open(self) -> FakeTracker:
        self.opened += 1
        if self.outage(self.now):
            raise ConnectionError("Connection refused")
        return FakeTracker(self)


class FakeTracker:
    """What of a Tracker matters: it knows what was finished when it was opened."""

    def __init__(self, store: Store) -> None:
        self.store, self.known = store, set(store.runs)

    def log(self, one: Record) -> bool:
        kind = self.store.outage(self.store.now)
        if kind == "down" or one.trial in self.store.poison:
            raise ConnectionError("Connection refused")
        if one.trial in self.known:
            return False
        self.store.runs.append(one.trial)
        self.known.add(one.trial)
        if kind == "answer lost":
            raise ConnectionError("the connection was closed")
        return True

    def log_summary(self, meta: dict[str, object]) -> None:
        if self.store.outage(self.store.now):
            raise ConnectionError("Connection refused")
        self.store.summaries.append(meta)


def drive(backlog: Backlog, store: Store, until: float) -> None:
    """Step as the thread does, on the store's clock."""
    while not backlog.idle and store.now < until:
        store.now += backlog.step()


def made(store: Store) -> tuple[Backlog, list[str]]:
    told: list[str] = []
    return Backlog(store.open, told.append, "MLflow at http://x"), told  # type: ignore[arg-type]


@pytest.mark.parametrize("away", [60.0, 3600.0])
def test_what_came_while_the_store_was_away_is_written_once_soon_after_in_order(away: float) -> None:
    store = Store()
    backlog, told = made(store)
    backlog.waiting.append(record("rewa-0"))
    drive(backlog, store, 1)
    store.outage = lambda now: "down" if now < away else ""
    backlog.waiting.extend(record(f"rewa-{i}") for i in range(1, 20))
    drive(backlog, store, away + 100)
    assert backlog.idle
    assert sorted(store.runs) == sorted(f"rewa-{i}" for i in range(20))
    assert store.now <= away + LONGEST_PAUSE
    assert store.opened < 8 + away / LONGEST_PAUSE, "pauses grow"
    assert len(told) == 2, told
    assert "Connection refused" in told[0]
    assert "sweep goes on" in told[0]
    assert told[1] == "MLflow at http://x is back: 19 trainings written that had waited"
    assert not backlog.leftover


def test_a_lost_answer_is_not_written_again() -> None:
    store = Store()
    backlog, told = made(store)
    store.outage = lambda now: "answer lost" if now < FIRST_PAUSE else ""
    backlog.waiting.extend(record(f"rewa-{i}") for i in range(3))
    drive(backlog, store, 100)
    assert sorted(store.runs) == ["rewa-0", "rewa-1", "rewa-2"]
    assert told == [], "one stumble is not worth a word"


def test_a_training_that_cannot_be_written_does_not_hold_up_the_others() -> None:
    store = Store()
    store.poison = {"rewa-0"}
    backlog, told = made(store)
    backlog.waiting.extend(record(f"rewa-{i}") for i in range(5))
    drive(backlog, store, 1000)
    assert store.runs == ["rewa-1", "rewa-2", "rewa-3", "rewa-4"]
    assert [one.trial for one in backlog.leftover.records] == ["rewa-0"]
    assert sum("rewa-0 cannot be written" in line for line in told) == 1
    assert store.opened <= TRIES + 1
    backlog.retry_aside()
    store.poison = set()
    drive(backlog, store, 2000)
    assert store.runs[-1] == "rewa-0"
    assert not backlog.leftover


def test_the_summary_comes_last_and_after_trouble_in_a_store_put_in_order() -> None:
    store = Store()
    backlog, _ = made(store)
    backlog.waiting.extend(record(f"rewa-{i}") for i in range(3))
    store.outage = lambda now: "down" if now < 5 else ""
    backlog.summary = {"a": 1}
    drive(backlog, store, 100)
    before = store.opened
    assert store.summaries == [{"a": 1}]
    assert len(store.runs) == 3
    backlog.summary = {"a": 2}
    drive(backlog, store, 100)
    assert store.opened == before, "without new trouble it is not opened again"
    assert store.summaries == [{"a": 1}, {"a": 2}]


def test_what_is_left_is_told_in_a_sentence() -> None:
    store = Store()
    store.outage = lambda _: "down"
    backlog, _ = made(store)
    backlog.waiting.extend([record("rewa-0"), record("rewa-1")])
    backlog.summary = {}
    drive(backlog, store, 30)
    text = backlog.leftover.sentence("rewa sweep x --resume")
    assert text == (
        "2 trainings are not in MLflow yet (Connection refused); "
        "`rewa sweep x --resume` writes what is missing"
    )
    backlog.waiting.clear()
    assert backlog.leftover.sentence("x").startswith("the sweep's summary is not in MLflow yet")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)


@pytest.mark.usefixtures("quick")
def test_the_thread_writes_beside_the_sweep_and_all_of_it_by_its_end() -> None:
    store = Store()
    down = threading.Event()
    store.outage = lambda _: "down" if down.is_set() else ""
    told: list[str] = []
    writer = TrackingWriter("http://x", "s", notify=told.append, open_tracker=store.open)  # type: ignore[arg-type]
    writer.add(record("rewa-0"))
    deadline = time.monotonic() + 5
    while not store.runs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.runs == ["rewa-0"], "at once, not at the end"
    down.set()
    for i in range(1, 50):
        writer.add(record(f"rewa-{i}"))
    time.sleep(0.3)
    assert store.runs == ["rewa-0"]
    down.clear()
    left = writer.stop(5, {"m": 1})
    assert not left
    assert sorted(store.runs) == sorted(f"rewa-{i}" for i in range(50))
    assert store.summaries == [{"m": 1}]
    assert len(told) == 2, told


@pytest.mark.usefixtures("quick")
def test_the_end_waits_for_a_dead_store_as_long_as_it_is_told_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "SAY_AFTER", 0.4)
    store = Store()
    store.outage = lambda _: "down"
    told: list[str] = []
    writer = TrackingWriter("http://x", "s", notify=told.append, open_tracker=store.open)  # type: ignore[arg-type]
    for i in range(3):
        writer.add(record(f"rewa-{i}"))
    began = time.monotonic()
    left = writer.stop(0.8, {})
    assert 0.8 <= time.monotonic() - began < 4
    assert sorted(one.trial for one in left.records) == ["rewa-0", "rewa-1", "rewa-2"]
    assert left.summary
    assert left.reason == "Connection refused"
    assert len(told) == 2, told
    assert told[1].startswith("waiting up to 1 s for MLflow at http://x: 3 trainings")
    opened = store.opened
    time.sleep(0.3)
    assert store.opened == opened, "it has given up"


@pytest.mark.usefixtures("quick")
def test_a_store_that_hangs_costs_the_end_its_patience_only() -> None:
    store = Store()
    release = threading.Event()

    def hang() -> FakeTracker:
        release.wait(20)
        raise ConnectionError("late")

    writer = TrackingWriter("http://x", "s", notify=lambda _: None, open_tracker=hang)  # type: ignore[arg-type]
    writer.add(record("rewa-0"))
    began = time.monotonic()
    assert [one.trial for one in writer.stop(0.5, {}).records] == ["rewa-0"]
    assert time.monotonic() - began < 3
    release.set()
    assert store.runs == []


def test_progress_extends_the_end() -> None:
    """The patience is for silence, not for the number of trainings."""
    store = Store()
    slow = store.open

    def opened() -> FakeTracker:
        tracker = slow()
        log = tracker.log
        tracker.log = lambda one: (time.sleep(0.1), log(one))[1]  # type: ignore[method-assign]
        return tracker

    writer = TrackingWriter("http://x", "s", notify=lambda _: None, open_tracker=opened)  # type: ignore[arg-type]
    for i in range(10):
        writer.add(record(f"rewa-{i}"))
    assert not writer.stop(0.5, {})
    assert len(store.runs) == 10


def test_another_sweep_in_the_store_is_known_soon_and_never_tried_again() -> None:
    calls = []

    def taken() -> FakeTracker:
        calls.append(1)
        raise SweepTakenError("http://x holds trainings of another sweep named 's'")

    told: list[str] = []
    writer = TrackingWriter("http://x", "s", "id", notify=told.append, open_tracker=taken)  # type: ignore[arg-type]
    with pytest.raises(SweepTakenError, match="another sweep"):
        writer.check(wait=5)
    writer.add(record("rewa-0"))
    left = writer.stop(1)
    assert [one.trial for one in left.records] == ["rewa-0"]
    assert "another sweep" in left.reason
    assert len(calls) == 1
    assert told == ["nothing is written to MLflow: http://x holds trainings of another sweep named 's'"]
