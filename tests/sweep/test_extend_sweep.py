"""A finished sweep is given more trials, and one with damage and leftovers is made whole again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import yaml

from rewa.status.state import read_status
from rewa.sweep.confirm import pareto_settings
from rewa.sweep.folder import SweepFolder
from rewa.sweep.space_file import find_space, load_space
from rewa.sweep.studies import open_storage
from rewa.tracking import read_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

METHODS = ("sgd_l1", "magnitude")
FEW, MORE = 2, 4


@dataclass(frozen=True)
class Extended:
    """The sweep of this file, and what was there before it was extended."""

    folder: SweepFolder
    space: Path
    uri: str
    before: dict[str, tuple[int, bytes]]
    confirmed_before: dict[str, list[str]]

    def sweep(self, *words: str) -> subprocess.CompletedProcess[str]:
        fixed = ["--output", str(self.folder.path), "--tracking-uri", self.uri, "--resume"]
        return rewa(self.space.parent, "sweep", str(self.space), *fixed, *words)


def rewa(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rewa", *words]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)


def results(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.glob("*/*/result.json")
    }


def chosen(folder: SweepFolder, space: Path) -> dict[str, list[str]]:
    """The settings to confirm, chosen anew from the records of the search."""
    loaded = load_space(space)
    records = folder.records("search")
    return {
        method: [
            r.trial for r in pareto_settings([s for s in records if s.method == method], 1, loaded.objective)
        ]
        for method in METHODS
    }


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Extended:
    home = tmp_path_factory.mktemp("extended")
    values: dict[str, Any] = yaml.safe_load(find_space("digits").read_text())
    values["methods"] = {name: values["methods"][name] for name in METHODS}
    values.update(name="small", trials=FEW, confirm={"settings": 1, "seeds": 1})
    values["workload"]["epochs"] = 2
    (home / "small.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    shutil.copy(migrated_store, home / "mlflow.db")
    uri = f"sqlite:///{home}/mlflow.db"
    first = rewa(home, "sweep", "small.yaml", "--output", "out", "--tracking-uri", uri)
    assert first.returncode == 0, first.stderr
    folder = SweepFolder(home / "out")
    before, confirmed = results(folder.path), chosen(folder, home / "small.yaml")
    for name in ("checkpoints/dead.pt", "checkpoints/dead.pt.previous", "tune/left", "trials/x/.y.partial"):
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    found = Extended(folder, home / "small.yaml", uri, before, confirmed)
    more = found.sweep("--trials", str(MORE))
    assert more.returncode == 0, more.stderr
    return found


def test_what_was_there_is_untouched_and_every_method_has_more(extended: Extended) -> None:
    after = results(extended.folder.path)
    assert len(extended.before) == len(METHODS) * (FEW + 1)
    assert extended.before.items() <= after.items()
    searched = Counter(r.method for r in extended.folder.records("search"))
    assert searched == dict.fromkeys(METHODS, MORE)
    assert json.loads((extended.folder.path / "sweep.json").read_text())["trials_per_method"] == MORE


def test_the_studies_went_on(extended: Extended) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(extended.folder)
    assert sorted(optuna.get_all_study_names(storage)) == sorted(f"small/{name}" for name in METHODS)
    for name in METHODS:
        trials = optuna.load_study(study_name=f"small/{name}", storage=storage).trials
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * MORE
        assert [trial.number for trial in trials] == list(range(MORE))
        settings = {json.dumps(trial.params, sort_keys=True) for trial in trials}
        assert len(settings) == MORE, "no setting is tried again"


def test_confirmation_is_done_again_only_where_the_choice_changed(extended: Extended) -> None:
    now = chosen(extended.folder, extended.space)
    confirmed = {(r.method, r.trial) for r in extended.folder.records("confirm")}
    both = [*extended.confirmed_before.items(), *now.items()]
    assert confirmed == {(method, trial) for method, trials in both for trial in trials}
    meta = json.loads((extended.folder.path / "sweep.json").read_text())
    assert meta["confirmed"] == now


def test_mlflow_has_everything_once_and_the_report_follows(extended: Extended) -> None:
    tables = read_sweep(extended.uri, "small")
    assert len(tables.runs) == len(results(extended.folder.path))
    assert not tables.runs.duplicated(["trial", "phase", "seed"]).any()
    command = [sys.executable, "-m", "analysis.report", "--sweep", "small", "--tracking-uri", extended.uri]
    done = subprocess.run(
        [*command, "--output", str(extended.folder.path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answered = pd.read_csv(extended.folder.path / "pareto.csv").dropna(subset=["trial"])
    now = chosen(extended.folder, extended.space)
    assert {(row.method, row.trial) for row in answered.itertuples()} <= {
        (method, trial) for method, trials in now.items() for trial in trials
    }
    status = read_status(extended.folder.path)
    assert status.complete
    assert status.report


def test_nothing_is_left_lying_about(extended: Extended) -> None:
    left = {path.name for path in extended.folder.path.iterdir()}
    assert "checkpoints" not in left
    assert "tune" not in left
    assert not list(extended.folder.path.rglob(".*.partial"))
    assert read_status(extended.folder.path).disk.scratch == 0


def test_a_changed_space_is_refused_by_name(extended: Extended) -> None:
    original = extended.space.read_text()
    changed = yaml.safe_load(original)
    changed["objective"]["reference"] = 0.5
    changed["methods"]["sgd_l1"]["sample"]["lr"]["log_uniform"][1] = 0.9
    try:
        extended.space.write_text(yaml.safe_dump(changed))
        refused = extended.sweep()
    finally:
        extended.space.write_text(original)
    assert refused.returncode == 2
    assert "objective.reference: 0.9 -> 0.5" in refused.stderr
    assert "methods.sgd_l1.sample.lr.log_uniform[1]: 0.5 -> 0.9" in refused.stderr


def test_a_damaged_result_is_trained_again(extended: Extended) -> None:
    """The last test of this file: it changes the sweep."""
    before = results(extended.folder.path)
    hit = extended.folder.path / "trials" / "magnitude-0001" / "result.json"
    content = hit.read_bytes()
    hit.write_bytes(content[: len(content) // 2])
    assert not read_status(extended.folder.path).complete
    done = extended.sweep()
    assert done.returncode == 0, done.stderr
    assert "result.json.damaged" in done.stderr
    assert extended.folder.damaged() == [hit.with_name("result.json.damaged")]
    lost = {"trials/magnitude-0001/result.json"}
    after = results(extended.folder.path)
    assert {k: v for k, v in before.items() if k not in lost}.items() <= after.items()
    searched = Counter(r.method for r in extended.folder.records("search"))
    assert searched == dict.fromkeys(METHODS, MORE)
    again = [r for r in extended.folder.records("search") if f"trials/{r.trial}/result.json" not in before]
    old = json.loads(content)
    assert [(r.config, r.seed, r.score) for r in again] == [(old["config"], old["seed"], old["score"])]
