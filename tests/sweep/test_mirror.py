"""Finished trainings and checkpoints in shared storage outlive the machine that wrote them."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pack_specs import spec

from rewa.errors import UserError
from rewa.packs import fit_one
from rewa.record import Record
from rewa.storage import Store
from rewa.sweep import trial
from rewa.sweep.folder import SweepFolder
from rewa.sweep.mirror import Mirror, check_same, fetch, stored_meta
from rewa.sweep.space import Objective
from rewa.sweep.stored_checkpoint import StoredCheckpoint
from rewa.sweep.trial import failed_trial, run_trial
from rewa.training import Watch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/shared/sweep")


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "out")
    made.path.mkdir()
    made.write_meta({"id": "1", "sweep": "s"})
    return made


def saved(folder: SweepFolder, name: str, phase: str = "search") -> Record:
    record = failed_trial(spec(name).model_copy(update={"phase": phase}), "x")
    folder.save(record)
    return record


def contents(folder: SweepFolder) -> dict[str, bytes]:
    files = (path for part in ("trials", "confirm") for path in folder.path.glob(f"{part}/*/*"))
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in files}


def test_a_lost_directory_is_fetched_whole(store: Store, folder: SweepFolder, tmp_path: Path) -> None:
    saved(folder, "a-0000")  # by an earlier driver, which had no storage
    mirror = Mirror(store, folder)
    for name, phase in (("a-0001", "search"), ("a-0001", "confirm")):
        mirror.add(folder.record_folder(*saved(folder, name, phase).key))
    assert mirror.stop() == 0
    other = SweepFolder(tmp_path / "elsewhere")
    other.path.mkdir()
    assert not fetch(store.child("nothing"), other)
    assert fetch(store, other)
    assert contents(other) == contents(folder)
    assert other.read_meta() == folder.read_meta() == stored_meta(store)
    stamps = {path: path.stat().st_mtime_ns for path in other.path.rglob("*")}
    assert fetch(store, other)
    assert stamps == {path: path.stat().st_mtime_ns for path in other.path.rglob("*")}, "nothing twice"


def test_what_is_here_is_not_replaced(store: Store, folder: SweepFolder) -> None:
    record = saved(folder, "a-0000")
    Mirror(store, folder).stop()
    result = folder.record_folder(*record.key) / "result.json"
    result.write_text("mine")
    fetch(store, folder)
    assert result.read_text() == "mine"


def test_storage_that_is_away_costs_nothing_but_the_copies(store: Store, folder: SweepFolder) -> None:
    root = Path(store.uri.removeprefix("file://"))
    root.parent.mkdir(parents=True)
    root.write_text("a file where the folder should be")
    mirror = Mirror(store, folder)
    mirror.add(folder.record_folder(*saved(folder, "a-0000").key))
    assert mirror.stop() == 1
    root.unlink()
    assert Mirror(store, folder).stop() == 0, "the next driver copies what is missing"
    assert "trials/a-0000/result.json" in set(store.keys())


def test_another_sweep_in_the_storage_is_refused(store: Store, folder: SweepFolder) -> None:
    check_same(store, {"id": "1"})
    Mirror(store, folder).stop()
    check_same(store, {"id": "1"})
    with pytest.raises(UserError, match="holds another sweep"):
        check_same(store, {"id": "2"})


class MachineLostError(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A checkpoint after every epoch, in storage; the first machine is lost in the third of four."""
    steps: list[int] = []

    def on_step(step: int, _: int) -> None:
        steps.append(step)
        if steps == [17, 34, 51]:
            raise MachineLostError

    monkeypatch.setattr(trial, "StoredCheckpoint", partial(StoredCheckpoint, every=0))
    monkeypatch.setattr(trial, "fit_one", partial(fit_one, watch=Watch(on_step=on_step)))
    return steps


def long_trial(store: str) -> Any:
    return spec("rewa-0000", "rewa", K=5, M=1.5, weight_decay=1e-3).model_copy(
        update={
            "workload": "digits",
            "workload_settings": {"epochs": 4},
            "objective": Objective(max_compression=100, reference=0.5),
            "storage": store,
        }
    )


def outcome(record: Record) -> Any:
    return record.status, record.history, record.frontier, record.score


def test_a_training_goes_on_on_another_machine(
    store: Store, machine: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "first"))
    with pytest.raises(MachineLostError):
        run_trial(long_trial(store.uri))
    shutil.rmtree(tmp_path / "first")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "second"))
    assert len(store.keys("checkpoints")) == 2
    again = run_trial(long_trial(store.uri))
    assert machine[3:] == [51, 68]
    assert store.keys("checkpoints") == {}
    assert not list((tmp_path / "second").iterdir())
    assert outcome(again) == outcome(run_trial(long_trial("")))


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(store: Store, machine: list[int]) -> None:
    with pytest.raises(MachineLostError):
        run_trial(long_trial(store.uri))
    (newest,) = Path(store.uri.removeprefix("file://")).glob("checkpoints/*.pt")
    newest.write_bytes(newest.read_bytes()[:-1000])
    with pytest.warns(UserWarning, match="passed over"):
        again = run_trial(long_trial(store.uri))
    assert machine[3:] == [34, 51, 68]
    assert outcome(again) == outcome(run_trial(long_trial("")))


def test_storage_that_fails_does_not_stop_a_training(store: Store, machine: list[int]) -> None:
    root = Path(store.uri.removeprefix("file://"))
    root.parent.mkdir(parents=True)
    root.write_text("a file where the folder should be")
    machine.append(0)  # no machine is lost
    with pytest.warns(UserWarning, match="could not be"):
        record = run_trial(long_trial(store.uri))
    assert record.status == "completed"
