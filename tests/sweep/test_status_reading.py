"""What `rewa status` counts against a plain count of what is there; damage is told, not raised."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from status_sweep import META, TOTAL, fill, run, shown
from test_sweep_folder import record

from rewa.status.state import read_status
from rewa.status.trainings import HEAD, TrainingReader
from rewa.sweep.folder import SweepFolder


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    found = SweepFolder(tmp_path / "out")
    found.path.mkdir()
    found.write_meta(META)
    return found


TRAININGS = st.lists(
    st.tuples(
        st.sampled_from(["rewa", "sgd_l1", "my.module:Method"]),
        st.integers(0, 4),
        st.sampled_from(["search", "confirm"]),
        st.sampled_from(["completed", "diverged", "failed"]),
        st.floats(0, 1),
    ),
    max_size=8,
    unique_by=lambda t: t[:3],
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TRAININGS)
def test_counts_and_best_are_those_of_a_plain_count(
    tmp_path_factory: pytest.TempPathFactory, given_trainings: list[tuple[str, int, str, str, float]]
) -> None:
    folder = SweepFolder(tmp_path_factory.mktemp("counted"))
    folder.write_meta(META)
    for method, number, phase, state, score in given_trainings:
        folder.save(record(method, number, phase, status=state, score=score, reason="why"))
    status = read_status(folder.path)
    assert status.finished == len(given_trainings)
    expected = Counter((m, state) for m, _, phase, state, _ in given_trainings if phase == "search")
    for method, found in status.methods.items():
        counted = {name: getattr(found, name) for name in ("completed", "diverged", "failed")}
        assert counted == {name: expected[method, name] for name in counted}
        assert found.confirmed == sum(t[0] == method and t[2] == "confirm" for t in given_trainings)
        scores = {
            f"{m}-{n:04d}": s
            for m, n, phase, state, s in given_trainings
            if (m, phase, state) == (method, "search", "completed")
        }
        assert (found.best is None) == (not scores)
        if found.best:
            assert found.best.score == max(scores.values()) == scores[found.best.trial]
    failed = [f"{m}-{n:04d}" for m, n, _, state, _ in given_trainings if state == "failed"]
    assert (status.last_failure.trial if status.last_failure else None) in (failed or [None])
    sizes = sum(path.stat().st_size for path in folder.path.rglob("*/*/*"))
    assert status.disk.records == sizes
    assert all(len(line) <= 80 or line == f"next: {status.next}" for line in shown(status).splitlines())


@pytest.mark.parametrize("entries", [0, 3, 40, 4000])
def test_the_head_of_a_file_says_what_the_whole_says(folder: SweepFolder, entries: int) -> None:
    """Also where an own workload's description is longer than the head, or holds braces and quotes."""
    workload = {"name": "own", **{f"key{i}": '}"metrics": {\u00e4' for i in range(entries)}}
    kept = record(workload=workload, reason='a "reason",\n}', score=0.25)
    folder.save(kept)
    size = (folder.record_folder(*kept.key) / "result.json").stat().st_size
    assert (size > HEAD) == (entries > 100)
    (found,) = TrainingReader(folder.path).read().trainings
    assert (found.method, found.trial, found.phase, found.seed) == ("rewa", "rewa-0000", "search", 0)
    assert (found.status, found.reason, found.score) == ("completed", kept.reason, 0.25)
    assert found.config == kept.config


def test_a_record_is_read_once_unless_it_changes(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rewa.status import trainings

    reads: list[str] = []
    real = trainings._read
    monkeypatch.setattr(trainings, "_read", lambda path, *a: (reads.append(path), real(path, *a))[1])
    fill(folder)
    reader = TrainingReader(folder.path)
    assert len(reader.read().trainings) == len(reads) == TOTAL
    assert len(reader.read().trainings) == len(reads) == TOTAL
    folder.save(record("rewa", 0, score=0.9))
    assert max(t.score or 0 for t in reader.read().trainings) == 0.9
    assert len(reads) == TOTAL + 1


def test_damage_is_told_not_raised(folder: SweepFolder) -> None:
    fill(folder)
    with run(folder, TOTAL):
        pass
    rng = random.Random(5)
    whole = {path: path.read_bytes() for path in sorted(folder.path.rglob("*.json"))}
    for _ in range(150):
        path = rng.choice([folder.path / "sweep.json", folder.path / "status.json", *list(whole)[:3]])
        content = bytearray(whole[path])
        for _ in range(rng.choice([1, 1, 20])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        shown(read_status(folder.path))
        path.write_bytes(whole[path])
    for path, content in (("sweep.json", "[1, 2]"), ("status.json", "{"), ("sweep.json", '{"methods": 3}')):
        (folder.path / path).write_text(content)
        status = read_status(folder.path)
        assert status.finished == TOTAL
        assert any("damaged" in note for note in status.notes) or content == '{"methods": 3}'
    (folder.path / "trials" / "rewa-0001" / "result.json").write_bytes(b"")
    status = read_status(folder.path)
    assert status.finished == TOTAL - 1
    assert "trials/rewa-0001/result.json is damaged" in " ".join(shown(status).split())
    with pytest.warns(UserWarning, match="moved"):
        folder.records("search")
    assert any("1 damaged result was moved aside" in note for note in read_status(folder.path).notes)


@pytest.mark.slow
def test_ten_thousand_records_take_less_than_three_seconds(folder: SweepFolder) -> None:
    history = [{"epoch": i, "train_loss": 0.5, "val_metric": 0.9, "lr": 0.1} for i in range(1, 300)]
    text = record(number=0, history=history).model_dump_json(indent=1)
    for number in range(10_000):
        place = folder.record_folder(f"rewa-{number:04d}", "search", 0)
        place.mkdir(parents=True)
        (place / "result.json").write_text(text.replace("rewa-0000", f"rewa-{number:04d}"))
    started = time.perf_counter()
    assert read_status(folder.path).finished == 10_000
    assert time.perf_counter() - started < 3.0
