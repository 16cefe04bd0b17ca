"""Scaling of the report: seconds to write a run into MLflow, and to make the report of so many runs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.progress import Meter
from benchmarks.scaling_clock import quantile, seconds_of
from benchmarks.scaling_runs import records, sweep_meta
from rewa.errors import RunError
from rewa.tracking import Tracker, read_sweep

SIZES: Mapping[str, tuple[int, ...]] = {"smoke": (10,), "full": (10, 100, 1000, 10_000)}
TARGET_RUNS, TARGET_SECONDS, TARGET_WRITING = 1000, 30.0, 0.1
SWEEP = "scale"
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
"""Tables of MLflow's SQLite store that a run has rows in."""
IMPORTS = "import torch, mlflow.store.tracking.sqlalchemy_store, pandas, seaborn, jinja2, scipy.stats"


def measure(scale: str) -> list[dict[str, Any]]:
    """Write sweeps of every size into stores of their own, and make their reports in fresh processes.

    Returns:
        One row per size; times in seconds.
    """
    rows: list[dict[str, Any]] = []
    sizes = SIZES[scale]
    with Meter("report", sum(sizes)) as meter, tempfile.TemporaryDirectory(prefix="rewa-scaling-") as folder:
        for size in sizes:
            home = Path(folder) / str(size)
            store = home / "mlflow.db"
            uri = f"sqlite:///{store}"
            home.mkdir()
            if rows:  # the first store's empty tables, which take seconds to make
                shutil.copy(Path(folder) / "empty.db", store)
            else:
                Tracker(uri, "empty")
                shutil.copy(store, Path(folder) / "empty.db")
            row = {"runs": size, **_write(uri, size, meter)}
            row |= _reading(uri)
            row |= _floors(store)
            row |= _report(uri, home / "report")
            row["over_floor"] = row["report_seconds"] / row["report_floor_seconds"]
            row["writing_over_floor"] = row["write_seconds"] / row["write_floor_seconds"]
            rows.append(row)
            shutil.rmtree(home)
    return rows


def _write(uri: str, runs: int, meter: Meter) -> dict[str, float]:
    """Write a sweep through the tracker, as a sweep does; the median run's time is told."""
    tracker = Tracker(uri, SWEEP)
    seconds = []
    for record in records(SWEEP, runs):
        seconds.append(seconds_of(lambda record=record: tracker.log(record)))  # type: ignore[misc]
        meter.advance(1)
    tracker.log_summary(sweep_meta(SWEEP, runs))
    return {"write_seconds": quantile(seconds), "write_p90": quantile(seconds, 0.9)}


def _reading(uri: str) -> dict[str, Any]:
    """Read a sweep as the report does, and count what that asks of the store."""
    with _statements() as statements:
        start = time.perf_counter()
        tables = read_sweep(uri, SWEEP)
        seconds = time.perf_counter() - start
    return {"read_seconds": seconds, "statements": len(statements), "operating_points": len(tables.frontier)}


@contextmanager
def _statements() -> Iterator[list[str]]:
    """Note every SQL query within the block."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("PRAGMA"):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def _report(uri: str, output: Path) -> dict[str, Any]:
    """Make the report in a fresh process and return its time, memory and sizes."""
    words = [sys.executable, "-m", "analysis.report", "--tracking-uri", uri, "--sweep", SWEEP]
    seconds, peak = _fresh([*words, "--output", str(output)])
    sizes = {
        f"{path.suffix[1:]}_mb": path.stat().st_size / 1e6
        for path in (output / "report.html", output / "frontier.csv")
    }
    return {"report_seconds": seconds, "report_peak_mb": peak, **sizes}


def _floors(store: Path) -> dict[str, float]:
    """Time what cannot be left out: imports and one look at every record; a run's rows in one transaction."""
    imports, _ = _fresh([sys.executable, "-c", IMPORTS])
    files = sorted(store.parent.glob(f"mlartifacts/{SWEEP}/*/artifacts/record.json"))
    parsing = seconds_of(lambda: [json.loads(file.read_text()) for file in files])
    return {
        "import_seconds": imports,
        "parse_seconds": parsing,
        "report_floor_seconds": imports + parsing,
        "write_floor_seconds": insert_seconds(store, store.parent / "again.db"),
        "store_mb": store.stat().st_size / 1e6,
        "artifacts_mb": sum(f.stat().st_size for f in store.parent.glob("mlartifacts/**/*.json")) / 1e6,
    }


def insert_seconds(store: Path, scratch: Path, runs: int = 20) -> float:
    """Insert the rows of some runs into empty tables, a transaction a run; return the median time.

    Args:
        store: A store that holds runs.
        scratch: The database to write, not there yet.
        runs: How many runs at most.
    """
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(scratch)) as target:
        marks = ", ".join("?" for _ in TABLES)
        found = source.execute(
            f"SELECT sql FROM sqlite_master WHERE tbl_name IN ({marks}) AND sql IS NOT NULL ORDER BY type "
            "DESC",
            TABLES,
        )
        for (statement,) in found:
            target.execute(statement)
        target.commit()
        query = "SELECT run_uuid FROM runs WHERE status = 'FINISHED' LIMIT ?"
        seconds = []
        for (run,) in source.execute(query, (runs,)).fetchall():
            rows = {
                t: source.execute(f"SELECT * FROM {t} WHERE run_uuid = ?", (run,)).fetchall() for t in TABLES
            }
            start = time.perf_counter()
            for name, values in rows.items():
                if values:
                    columns = ", ".join("?" for _ in values[0])
                    target.executemany(f"INSERT INTO {name} VALUES ({columns})", values)
            target.commit()
            seconds.append(time.perf_counter() - start)
    return quantile(seconds)


def _fresh(words: Sequence[str]) -> tuple[float, float]:
    """Run a command and return its seconds and its largest memory in 10^6 bytes (Linux counts in KiB)."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=complaints)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise RunError(f"{' '.join(words[1:3])}: {said[-1]}")
    return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e6


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say whether the report and the writing of runs are within their targets."""
    at = {row["runs"]: row for row in rows}
    row = at.get(TARGET_RUNS, rows[-1])
    met = "within" if row["report_seconds"] < TARGET_SECONDS else "beyond"
    kept = "within" if row["write_seconds"] <= TARGET_WRITING else "beyond"
    others = "".join(
        f", of {runs:,} in {other['report_seconds']:.1f} s"
        for runs, other in at.items()
        if runs > row["runs"]
    )
    aim = f"target: {TARGET_SECONDS:g} s at {TARGET_RUNS:,}"
    return (
        f"the report of {row['runs']:,} runs is made in {row['report_seconds']:.1f} s, {met} the target "
        f"({aim}){others}, and a run is written in {row['write_seconds']:.3f} s, {kept} the target of "
        f"{TARGET_WRITING:g} s"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section's table and what it means."""
    lines = [
        "| runs | report | floor | ratio | of it reading | SQL queries | memory | page | frontier.csv | "
        "writing a run | floor | ratio | store | artifacts |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['runs']:,} | {row['report_seconds']:.1f} s | {row['report_floor_seconds']:.1f} s "
            f"| {row['over_floor']:.1f} | {row['read_seconds']:.1f} s | {row['statements']} "
            f"| {row['report_peak_mb']:.0f} MB | {row['html_mb']:.2f} MB | {row['csv_mb']:.1f} MB "
            f"| {1e3 * row['write_seconds']:.0f} ms | {1e3 * row['write_floor_seconds']:.1f} ms "
            f"| {row['writing_over_floor']:.1f} | {row['store_mb']:.0f} MB | {row['artifacts_mb']:.0f} MB |"
        )
    return [
        *lines,
        "",
        "Runs are copies of the kept sweep on digits with varied settings and accuracies: five methods, "
        "100 epochs of history, 66 operating points; one run in five is a confirmation. Report: `python "
        "-m analysis.report` in a fresh process, reading from SQLite, writing page, figures and tables, "
        "and keeping them in MLflow. Its floor: the imports of the packages it stands on, in a fresh "
        "process, and one parse of every run's record. A thousand runs are read by one search, whose rows "
        "MLflow fetches in a handful of queries, and one file each.",
        "",
        "Writing: the median of `Tracker.log`. Its floor: the same rows inserted by sqlite3 in one "
        "transaction a run.",
        "",
        "To come closer: a third of what reading takes is MLflow making objects of every run's tags, "
        "parameters and latest metrics, of which the report needs three; a query of its own to MLflow's "
        "tables would save it, at the price of depending on their layout. Writing is MLflow's own "
        "log_batch, an object a metric; logging the epochs' history thinned out would save most of it.",
    ]
