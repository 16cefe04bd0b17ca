"""A real sweep with every method that trains networks, on real data, and its report.

What it survives is in tests/faults.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import pytest

from rewa.sparsity.frontier import RATIOS, THRESHOLDS
from rewa.sweep.folder import SweepFolder
from rewa.sweep.space_file import find_space, load_space
from rewa.sweep.studies import open_storage
from rewa.sweep_tables import FRONTIER_COLUMNS
from rewa.tracking import read_sweep

pytestmark = pytest.mark.timeout(600)  # the first test's time includes the sweep

TRIALS, SETTINGS, SEEDS = 3, 1, 2
METHODS = tuple(load_space(find_space("digits")).methods)


@dataclass(frozen=True)
class Run:
    """The tiny sweep of this file: where it is, and how its command ended."""

    folder: Path
    space: Path
    uri: str
    done: subprocess.CompletedProcess[str]

    def rewa(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*REWA, *words], cwd=self.folder.parent, capture_output=True, text=True, timeout=240
        )

    def sweep(self, *words: str) -> subprocess.CompletedProcess[str]:
        fixed = ["--output", str(self.folder), "--tracking-uri", self.uri]
        return self.rewa("sweep", str(self.space), *fixed, *words)


REWA = [sys.executable, "-c", "from rewa.cli import main; main()"]


def finished(folder: Path) -> dict[str, tuple[int, str]]:
    """Every result on disk: its time stamp and its content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_text())
        for path in folder.glob("*/*/result.json")
    }


def tiny_space(path: Path) -> None:
    """The default search space with a small budget."""
    text = find_space("digits").read_text()
    text = text.replace("epochs: 100", "epochs: 4").replace("trials: 40", f"trials: {TRIALS}")
    text = re.sub(r"confirm: \{.*?\}", f"confirm: {{settings: {SETTINGS}, seeds: {SEEDS}}}", text)
    path.write_text(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Run:
    home = tmp_path_factory.mktemp("sweep")
    tiny_space(home / "tiny.yaml")
    shutil.copy(migrated_store, home / "mlflow.db")
    folder, uri = home / "out", f"sqlite:///{home}/mlflow.db"
    words = ["sweep", str(home / "tiny.yaml"), "--output", str(folder), "--tracking-uri", uri]
    done = subprocess.run([*REWA, *words], cwd=home, capture_output=True, text=True, timeout=400)
    return Run(folder, home / "tiny.yaml", uri, done)


def test_it_comes_to_its_end(run: Run) -> None:
    assert run.done.returncode == 0, run.done.stderr
    assert "is complete" in run.done.stdout
    assert "next: python -m analysis.report" in run.done.stdout
    assert "trainings" in run.done.stderr  # progress was shown
    assert "(raylet)" not in run.done.stdout + run.done.stderr


def test_every_method_got_the_same_number_of_trials(run: Run) -> None:
    results = [json.loads(text) for _, text in finished(run.folder).values()]
    searched = Counter(r["method"] for r in results if r["phase"] == "search")
    assert searched == dict.fromkeys(METHODS, TRIALS)
    assert {r["seed"] for r in results if r["phase"] == "search"} == {0}
    confirmed = [r for r in results if r["phase"] == "confirm"]
    assert {r["seed"] for r in confirmed} == {1, 2}
    assert all(n <= SETTINGS * SEEDS for n in Counter(r["method"] for r in confirmed).values())
    assert {"rewa", "sgd_l1", "spred", "magnitude"} <= {r["method"] for r in confirmed}
    assert all(len(r["history"]) == 4 for r in results if r["status"] == "completed")


def test_optuna_knows_each_finished_trial_once_and_has_no_zombies(run: Run) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(SweepFolder(run.folder))
    names = optuna.get_all_study_names(storage)
    assert sorted(names) == sorted(f"digits/{method}" for method in METHODS)
    for name in names:
        trials = optuna.load_study(study_name=name, storage=storage).trials
        states = Counter(trial.state.name for trial in trials)
        assert states["COMPLETE"] == TRIALS
        assert states["RUNNING"] == 0
        first = [t for t in trials if t.number < 2]  # the known settings come first
        assert all("fixed_params" in trial.system_attrs for trial in first)
        for trial in trials:
            if trial.state.name == "COMPLETE":
                file = run.folder / "trials" / f"{name.split('/')[1]}-{trial.number:04d}/result.json"
                assert json.loads(file.read_text())["score"] == trial.value


def test_mlflow_has_each_training_once(run: Run) -> None:
    tables = read_sweep(run.uri, "digits")
    assert len(tables.runs) == len(finished(run.folder))
    assert not tables.runs.duplicated(["trial", "phase", "seed"]).any()
    assert tables.meta["trials_per_method"] == TRIALS

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=run.uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    states = Counter(r.info.status for r in client.search_runs([experiment.experiment_id]))
    assert states == {"FINISHED": len(tables.runs) + 1}  # and the summary run


@pytest.mark.slow
def test_train_repeats_a_confirmed_training_bit_by_bit(run: Run) -> None:
    """The command that the report prints for a setting must give what the report says of it."""
    folder = min((run.folder / "confirm").glob("rewa-*"))
    record = json.loads((folder / "result.json").read_text())
    words = [word for key, value in record["config"].items() for word in ("--set", f"{key}={value!r}")]
    again = folder.parent.parent.parent / "again"
    done = run.rewa(
        *["train", "digits", "rewa", *words, "--epochs", "4", "--seed", str(record["seed"])],
        *["--output", str(again), "--tracking-uri", run.uri],
    )
    assert done.returncode == 0, done.stderr
    assert (again / "frontier.csv").read_text() == (folder / "frontier.csv").read_text()


def test_running_it_again_runs_nothing(run: Run) -> None:
    before = finished(run.folder)
    again = run.sweep("--resume")
    assert again.returncode == 0, again.stderr
    assert "already complete" in again.stdout
    assert finished(run.folder) == before


@pytest.mark.slow
def test_a_running_or_changed_or_taken_sweep_is_refused(run: Run) -> None:
    taken = run.sweep()
    assert taken.returncode == 2
    assert "add --resume" in taken.stderr
    fewer = run.sweep("--resume", "--trials", "1")
    assert fewer.returncode == 2
    assert "can raise that, not lower it" in fewer.stderr
    other_seed = run.sweep("--resume", "--seed", "7")
    assert other_seed.returncode == 2
    original = run.space.read_text()
    try:
        run.space.write_text(original.replace("reference: 0.9", "reference: 0.7"))
        changed = run.sweep("--resume")
    finally:
        run.space.write_text(original)
    assert changed.returncode == 2
    assert "objective.reference: 0.9 -> 0.7" in changed.stderr

    from rewa.sweep.folder import SweepFolder

    holder = SweepFolder(run.folder)
    holder.lock()
    busy = run.sweep("--resume")
    holder.unlock()
    assert busy.returncode == 2
    assert "another sweep is running" in busy.stderr


def test_the_report_says_what_the_runs_say(run: Run) -> None:
    command = [sys.executable, "-m", "analysis.report", "--tracking-uri", run.uri]
    done = subprocess.run(
        [*command, "--sweep", "digits", "--output", str(run.folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    frontier = pd.read_csv(run.folder / "frontier.csv")
    columns = ["accuracy" if name == "metric" else name for name in FRONTIER_COLUMNS]
    assert list(frontier.columns[: len(columns)]) == columns
    assert {"lr", "K", "M", "epsilon", "weight_decay", "l1", "init"} <= set(frontier.columns)
    assert frontier["accuracy"].between(0, 1).all()
    per_run = frontier.groupby(["trial", "phase", "seed", "split"]).size()
    assert (per_run == len(RATIOS) + len(THRESHOLDS)).all()
    pareto = pd.read_csv(run.folder / "pareto.csv")
    assert set(pareto["method"]) == set(METHODS)
    assert pareto.groupby("method").size().eq(7).all()
    assert (run.folder / "frontier.png").read_bytes().startswith(b"\x89PNG")
    page = (run.folder / "report.html").read_text()
    assert "http://" not in page.split("</head>")[0]
    # one number, recomputed from the trial files
    row = pareto.query("method == 'magnitude' and question == 'accuracy@10x'").iloc[0]
    tests = []
    for seed in (1, 2):
        result = run.folder / "confirm" / f"{row.trial}-seed-{seed}" / "result.json"
        tests.append(json.loads(result.read_text())["metrics"]["test_accuracy/at_10x"])
    assert row.test_accuracy_mean == pytest.approx(sum(tests) / 2)
