"""An output directory with damaged records, and what of it is cleaned away."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewa.errors import UserError
from rewa.record import RESULT_FILE as RECORD_RESULT_FILE
from rewa.record import Record
from rewa.sparsity.frontier import OperatingPoint
from rewa.sweep.folder import SweepFolder
from rewa.sweep.housekeeping import clean, clean_store, present_checkpoints
from rewa.sweep.layout import DAMAGED_FILE, RESULT_FILE


def record(method: str = "rewa", number: int = 0, phase: str = "search", **changes: Any) -> Record:
    values: dict[str, Any] = {
        "sweep": "tiny",
        "workload": {"name": "digits", "epochs": 2, "metric": "accuracy"},
        "method": method,
        "trial": f"{method}-{number:04d}",
        "phase": phase,
        "seed": 0 if phase == "search" else 1,
        "config": {"lr": 0.1, "K": 9},
        "status": "completed",
        "score": 0.5 + number / 100,
        "seconds": 1.0,
        "metrics": {"test_accuracy/at_100x": 0.9},
        "history": [],
        "frontier": [OperatingPoint("val", "ratio", 1.0, 1.0, 1.0, 0.9, False)],
        "versions": {"rewa": "0.1.0", "python": "3.11"},
        "commit": "0123abc",
        "hardware": "2 cores",
    }
    return Record(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """A sweep of four trainings: three of the search, one confirmation."""
    found = SweepFolder(tmp_path / "out")
    for number in range(3):
        found.save(record(number=number))
    found.save(record(number=1, phase="confirm"))
    return found


def test_records_come_back(folder: SweepFolder) -> None:
    assert [r.key for r in folder.records("search")] == [(f"rewa-{n:04d}", "search", 0) for n in range(3)]
    assert folder.records("confirm") == [record(number=1, phase="confirm")]
    assert folder.damaged() == []
    assert RESULT_FILE == RECORD_RESULT_FILE


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "last byte gone": lambda content: content[:-1],
    "no UTF-8": lambda content: content.replace(b"completed", b"comp\xffeted"),
    "a key changed": lambda content: content.replace(b'"status"', b'"stat5s"'),
    "a word changed": lambda content: content.replace(b"completed", b"comqleted"),
    "its name changed": lambda content: content.replace(b"rewa-0001", b"rewa-0003"),
    "nothing but zeros": lambda content: bytes(len(content)),
    "a list": lambda content: b"[]",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_result_is_set_aside_and_is_not_finished(folder: SweepFolder, kind: str) -> None:
    path = folder.record_folder("rewa-0001", "search", 0) / RESULT_FILE
    content = DAMAGE[kind](path.read_bytes())
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="rewa-0001.*is damaged and was moved to result.json.damaged"):
        left = folder.records("search")
    assert [r.trial for r in left] == ["rewa-0000", "rewa-0002"]
    assert not folder.has("rewa-0001", "search", 0)
    assert folder.damaged() == [path.with_name(DAMAGED_FILE)]
    assert folder.damaged()[0].read_bytes() == content, "it is kept for whoever wants to look"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        assert len(folder.records("search")) == 2
    folder.save(record(number=1))
    assert len(folder.records("search")) == 3


def _parses(content: bytearray) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_flipped_bit_or_cut_ends_a_resumption(folder: SweepFolder, data: st.DataObject) -> None:
    whole = record(number=1)
    folder.save(whole)
    path = folder.record_folder("rewa-0001", "search", 0) / RESULT_FILE
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    path.write_bytes(bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if b'"rewa": "0.1.0"' not in content and _parses(content):
            return  # whole, and of another version as far as anyone can tell: the test below
        found = {r.trial: r for r in folder.records("search")}
    assert set(found) in ({"rewa-0000", "rewa-0002"}, {"rewa-0000", "rewa-0001", "rewa-0002"})
    assert ("rewa-0001" in found) == folder.has("rewa-0001", "search", 0)


def test_a_result_of_another_version_is_not_thrown_away(folder: SweepFolder) -> None:
    path = folder.record_folder("rewa-0001", "search", 0) / RESULT_FILE
    values = json.loads(path.read_bytes())
    values["versions"]["rewa"] = "0.9.0"
    del values["seconds"]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="not a result of this version"):
        folder.records("search")
    assert path.is_file()


def test_a_glance_at_the_lock_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    """`rewa status` may hold a shared lock for an instant; another driver holds it for good."""
    import fcntl
    import threading

    folder = SweepFolder(tmp_path / "out")
    folder.lock()
    folder.unlock()
    descriptor = os.open(folder.path / ".lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    threading.Timer(0.15, os.close, [descriptor]).start()
    folder.lock()
    started = time.monotonic()
    with pytest.raises(UserError, match="another sweep is running"):
        SweepFolder(folder.path).lock()
    assert time.monotonic() - started < 2.0
    folder.unlock()


def fill(folder: Path, names: dict[str, int]) -> None:
    for name, size in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def listed(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_clean_removes_what_nobody_needs_and_nothing_else(folder: SweepFolder) -> None:
    fill(folder.path, {"sweep.json": 5, "optuna.log": 5, "report.html": 5, "confirm/notes.txt": 3})
    kept = listed(folder.path)
    live = {"checkpoints/rewa-1.pt": 100, "checkpoints/rewa-1.pt.previous": 90}
    dead = {
        "checkpoints/rewa-2.pt": 1000,
        "checkpoints/rewa-2.pt.previous": 2000,
        "checkpoints/rewa-3.pt.previous": 4000,
        "checkpoints/.rewa-1.pt.partial": 8000,
        "checkpoints/.rewa-2.pt.0123abc.partial": 16000,
        "tune/trials/state.json": 32000,
        "tune/x": 64000,
        "trials/rewa-0009/.result.json.0123.partial": 128000,
        ".status.json.partial": 256000,
    }
    fill(folder.path, {**live, **dead})
    assert present_checkpoints(folder.path) == {
        folder.path / "checkpoints" / f"rewa-{n}.pt" for n in (1, 2, 3)
    }
    freed = clean(folder.path, {folder.path / "checkpoints" / "rewa-1.pt"})
    assert listed(folder.path) == kept | set(live)
    assert freed == sum(dead.values())
    assert not (folder.path / "tune").exists()
    assert clean(folder.path, set()) == 190
    assert listed(folder.path) == kept
    assert not (folder.path / "checkpoints").exists()
    assert clean(folder.path, set()) == 0


def test_clean_lets_files_be_that_are_being_written(folder: SweepFolder) -> None:
    partial = folder.path / "trials" / "rewa-0000" / ".result.json.1.partial"
    fill(folder.path, {"trials/rewa-0000/.result.json.1.partial": 10, "checkpoints/.a.pt.partial": 10})
    assert clean(folder.path, set(), before=time.time() - 60) == 0
    assert partial.is_file()
    for path in (partial, folder.path / "checkpoints" / ".a.pt.partial"):
        os.utime(path, (1.0, 1.0))
    assert clean(folder.path, set(), before=time.time() - 60) == 20


def test_clean_does_not_follow_links(folder: SweepFolder, tmp_path: Path) -> None:
    fill(tmp_path, {"elsewhere/precious.pt": 10, "elsewhere/.x.partial": 10})
    (folder.path / "trials" / "link").symlink_to(tmp_path / "elsewhere")
    (folder.path / "tune").symlink_to(tmp_path / "elsewhere")
    clean(folder.path, set())
    assert listed(tmp_path / "elsewhere") == {"precious.pt", ".x.partial"}


def test_clean_store_keeps_live_names() -> None:
    class Fake:
        def __init__(self) -> None:
            self.files = {"checkpoints/a.pt": 1, "checkpoints/a.pt.previous": 2, "checkpoints/b.pt": 4}

        def keys(self, below: str) -> dict[str, int]:
            return {key: size for key, size in self.files.items() if key.startswith(below)}

        def remove(self, key: str) -> None:
            del self.files[key]

    store = Fake()
    assert clean_store(store, {Path("/somewhere/a.pt")}) == 4  # type: ignore[arg-type]
    assert set(store.files) == {"checkpoints/a.pt", "checkpoints/a.pt.previous"}
