"""The scaling benchmark counts what happens, copies real sweeps faithfully, and writes its page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from analysis.pareto import mean_frontier
from analysis.summary import summarise
from benchmarks import scaling, scaling_clock, scaling_frontier, scaling_report, scaling_runs
from rewa.metric import ACCURACY
from rewa.sparsity import frontier
from rewa.sweep_tables import build_tables
from rewa.tracking import Tracker


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_made_sweep_is_like_the_kept_one() -> None:
    """Shares of phases and of diverged trials, all points of every method, other numbers in every run."""
    made = list(scaling_runs.records("s", 200))
    assert len({record.key for record in made}) == len(made) == 200
    assert Counter(r.method for r in made) == dict.fromkeys(scaling_runs.METHODS, 40)
    confirmed = [r for r in made if r.phase == "confirm"]
    assert len(confirmed) == 5 * 2 * 3
    searched = {r.trial: r for r in made if r.phase == "search"}
    assert all(searched[r.trial].config == r.config for r in confirmed), "a confirmation repeats a setting"
    assert all(searched[r.trial].status == "completed" for r in confirmed)
    assert sum(r.status == "diverged" for r in searched.values()) == 5 * 4
    kept = pd.read_csv(scaling_runs.KEPT)
    for record in made:
        if record.status == "completed":
            assert len(record.frontier) == 66
            assert len(record.history) == 100
            assert set(record.config) <= set(kept.columns)
    numbers = [tuple(p.metric for p in r.frontier) for r in made if r.frontier]
    assert len(set(numbers)) == len(numbers)
    assert made == list(scaling_runs.records("s", 200)), "the same every time"
    with pytest.raises(ValueError, match="multiple of 5"):
        next(scaling_runs.records("s", 12))


def test_the_report_of_a_made_sweep_compares_all_methods() -> None:
    pairs = ((str(i), record) for i, record in enumerate(scaling_runs.records("s", 100)))
    tables = build_tables("s", scaling_runs.sweep_meta("s", 100), pairs)
    summary = summarise(tables)
    assert set(summary.points["method"]) == set(scaling_runs.METHODS)
    assert (mean_frontier(tables.frontier, tables.config_columns, ACCURACY)["seeds"] == 3).all()


def test_a_second_sort_and_a_second_pass_would_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = [scaling_frontier._measure(10**4, 0.0)]
    assert row["sorts"] == 1
    assert row["forward_passes"] == row["distinct_models"] < row["operating_points"] == 33
    ranked = frontier.rank_weights

    def twice(*arguments: object) -> object:
        torch.zeros(2).argsort()
        Tensor.sort(torch.zeros(2))
        return ranked(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(frontier, "rank_weights", twice)
    assert scaling_frontier._measure(10**4, 0.0)["sorts"] == 3


def test_peak_memory_is_that_of_the_block() -> None:
    if not scaling_clock.CLEAR_REFS.exists():
        pytest.skip("only Linux tells the peak")
    with scaling_clock.PeakMemory() as peak:
        torch.ones(4 * 10**7).add(1.0)  # two vectors of 160 MB, gone afterwards
    assert peak.mb == pytest.approx(320, abs=80)  # what is freed meanwhile counts against it


def test_reading_does_not_query_per_run(tracking_uri: str) -> None:
    counts = []
    for runs in (10, 40):
        tracker = Tracker(tracking_uri, scaling_report.SWEEP)
        for record in scaling_runs.records(scaling_report.SWEEP, runs):
            tracker.log(record)
        counts.append(scaling_report._reading(tracking_uri)["statements"])
    assert counts[0] == counts[1] < 20


def test_a_runs_rows_are_all_inserted_again(tracking_uri: str, tmp_path: Path) -> None:
    tracker = Tracker(tracking_uri, scaling_report.SWEEP)
    for record in scaling_runs.records(scaling_report.SWEEP, 10):
        tracker.log(record)
    store = Path(tracking_uri.removeprefix("sqlite:///"))
    assert scaling_report.insert_seconds(store, tmp_path / "again.db") > 0

    def rows(path: Path) -> dict[str, int]:
        import sqlite3

        with sqlite3.connect(path) as opened:
            tables = scaling_report.TABLES
            return {t: opened.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}

    assert rows(tmp_path / "again.db") == rows(store)
    assert rows(store)["metrics"] > 10 * 200


def test_the_command_writes_page_figures_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--scale", "smoke", "--part", "step", "--output", str(tmp_path), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["scaling", *words, "--json", str(tmp_path / "own.json")])
    scaling.main()
    page = (tmp_path / "README.md").read_text()
    assert page in capsys.readouterr().out
    first = page.split("\n\n")[1]
    assert first.startswith("A step of ReWA over 1e+05 parameters takes ")
    assert "a toy size" in page.lower()
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((tmp_path / "own.json").read_text())["figures"]
    assert [row["parameters"] for row in figures["step"]] == [10**4, 10**5, 10**4]
    assert all(row["rewa_seconds"] > 0 for row in figures["step"])


@pytest.mark.slow
@pytest.mark.benchmark_command
def test_the_whole_command_runs(tmp_path: Path) -> None:
    words = [sys.executable, "-m", scaling.MODULE, "--scale", "smoke", "--output", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "scaling.json").read_text())["figures"]
    assert set(found) == {"report", "frontier", "step"}
    assert found["report"][0]["report_seconds"] > found["report"][0]["import_seconds"] > 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"report.png", "frontier.png", "step.png"}
