"""What the faults' judge and counts find: planted losses, duplicates and zombies."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from optuna.storages.journal import JournalFileBackend

from benchmarks.faults import observe as observing
from benchmarks.faults.catalog import CATALOG
from benchmarks.faults.driver import Driver, is_alive
from benchmarks.faults.ground import Ground
from benchmarks.faults.ledger import BEGUN, ENDED, note, read, short, training_name, under_way
from benchmarks.faults.observe import observe
from benchmarks.faults.outcome import Outcome, judge
from benchmarks.faults.page import page
from benchmarks.faults.plan import Plan
from benchmarks.faults.trivial import MARKED, Raiser, Steady, Trivial, TrivialPack
from benchmarks.provenance import Provenance
from rewa.packs import can_pack
from rewa.sweep.space_file import load_space
from rewa.training import fit

GOOD = Outcome("none", planned=10, finished=4, kept=4, found=10, at_risk=2, repeated=2)


def test_an_outcome_that_keeps_its_promises_is_let_pass() -> None:
    assert judge(GOOD) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kept": 3}, "1 of 4 finished trainings lost or rewritten"),
        ({"found": 9}, "9 trainings at the end instead of 10"),
        ({"found": 11}, "11 trainings at the end instead of 10"),
        ({"finished": 10, "kept": 10}, "the fault came too late: all 10 had finished"),
        ({"twice_on_disk": 1}, "1 trainings twice on disk"),
        ({"again": 1}, "1 trainings begun again although they were finished"),
        ({"repeated": 3}, "3 trained to the end twice, at most 2 were under way"),
        ({"twice_in_optuna": 1}, "1 trials too many in Optuna"),
        ({"missing_in_optuna": 1}, "1 trials missing in Optuna"),
        ({"zombies_in_optuna": 1}, "1 trials still RUNNING in Optuna"),
        ({"twice_in_mlflow": 1}, "1 runs too many in MLflow"),
        ({"missing_in_mlflow": 1}, "1 runs missing in MLflow"),
        ({"zombies_in_mlflow": 1}, "1 runs still RUNNING in MLflow"),
        ({"failed": {"steady": "ValueError: x"}}, "a trial of steady failed: ValueError: x"),
        ({"failing": {"hanger": "timed"}}, "the marked trial of hanger is not recorded as failed"),
        (
            {"failing": {"hanger": "timed"}, "failed": {"hanger": "OSError: x"}},
            "the trial of hanger failed by 'OSError: x' instead of 'timed'",
        ),
        (
            {"attempts": {"raiser": 3}, "attempts_allowed": {"raiser": 2}},
            "the marked trial of raiser was begun 3 times instead of at most 2",
        ),
        ({"broken": ("exit status 0",)}, "exit status 0"),
    ],
)
def test_every_broken_promise_is_named(change: dict[str, Any], said: str) -> None:
    assert judge(replace(GOOD, **change)) == [said]


def test_a_second_failure_of_a_method_is_not_taken_for_the_marked_trial_s() -> None:
    found = replace(GOOD, failing={"raiser": "ValueError"}, failed={"raiser": "ValueError | OSError"})
    assert len(judge(found)) == 1


class Sweep:
    """A sweep's traces, written by hand: two trials of one method, a confirmation, all well."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ground = Ground(home, Plan(trials=2, methods=("steady",)))
        self.ground.out.mkdir()
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.ground.out / "optuna.log")))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(storage=storage, study_name="faults/steady")
        for number, lr in enumerate((0.1, 0.2)):
            self.study.tell(self.study.ask().number, 0.5)
            self.train(f"steady-{number:04d}", "search", 0, lr)
        for seed in (1, 2):
            self.train("steady-0001", "confirm", seed, 0.2)
        nothing = {"twice_in_mlflow": 0, "missing_in_mlflow": 0, "zombies_in_mlflow": 0}
        monkeypatch.setattr(observing, "_mlflow", lambda uri, keys: nothing)

    def train(self, trial: str, phase: str, seed: int, lr: float) -> None:
        folder = "trials" if phase == "search" else "confirm"
        name = trial if phase == "search" else f"{trial}-seed-{seed}"
        path = self.ground.out / folder / name / "result.json"
        path.parent.mkdir(parents=True)
        config = {"lr": lr, "fate": 1.0}
        identity = {"trial": trial, "phase": phase, "seed": seed, "method": "steady", "config": config}
        training = training_name("steady", config, seed)
        note(self.ground.home, BEGUN, training)
        time.sleep(0.01)  # file systems keep times more coarsely than clocks
        note(self.ground.home, ENDED, training)
        path.write_text(json.dumps({**identity, "status": "completed", "reason": ""}))

    def observed(self) -> Outcome:
        return observe(self.ground, "planted", time.monotonic())


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    return Sweep(tmp_path / "home", monkeypatch)


def test_a_whole_sweep_is_counted_as_whole(sweep: Sweep) -> None:
    sweep.ground.note_finished()
    found = sweep.observed()
    assert (found.finished, found.kept, found.found, found.planned) == (4, 4, 4, 4)
    sweep.ground.before.popitem()
    assert judge(sweep.observed()) == []


def test_what_is_lost_or_rewritten_is_seen(sweep: Sweep) -> None:
    sweep.ground.note_finished()
    first, second, third, _ = sorted(sweep.ground.out.glob("*/*/result.json"))
    first.unlink()
    second.write_text(second.read_text())  # the same bytes at another time
    third.write_text(third.read_text() + " ")
    found = sweep.observed()
    assert (found.finished, found.kept, found.found) == (4, 1, 3)


def test_duplicates_on_disk_and_in_the_ledger_are_seen(sweep: Sweep) -> None:
    sweep.train("steady-0002", "search", 0, 0.1)  # a trial that was run again under another number
    found = sweep.observed()
    assert (found.twice_on_disk, found.repeated, found.again) == (1, 1, 1)
    note(sweep.ground.home, BEGUN, training_name("steady", {"lr": 0.2, "fate": 1.0}, 0))
    assert sweep.observed().again == 2


def test_optuna_s_duplicates_losses_and_zombies_are_seen(sweep: Sweep) -> None:
    assert sweep.study.ask().number == 2
    found = sweep.observed()
    assert (found.twice_in_optuna, found.missing_in_optuna, found.zombies_in_optuna) == (0, 0, 1)
    sweep.study.tell(2, 0.7)  # complete without a result
    sweep.train("steady-0003", "search", 0, 0.4)  # a result without a trial
    found = sweep.observed()
    assert (found.twice_in_optuna, found.missing_in_optuna, found.zombies_in_optuna) == (1, 1, 0)


def test_the_ledger_knows_what_is_under_way(tmp_path: Path) -> None:
    note(tmp_path, BEGUN, "a")
    note(tmp_path, ENDED, "a")
    assert not under_way(read(tmp_path))
    note(tmp_path, BEGUN, "b")
    assert list(under_way(read(tmp_path)).values()) == ["b"]
    assert not under_way(read(tmp_path / "nowhere"))


def test_the_spaces_are_ones_that_rewa_accepts(tmp_path: Path) -> None:
    for name, fault in CATALOG.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(fault.plan.space(tmp_path)))
        loaded = load_space(path)
        assert loaded.trials * len(loaded.methods) == fault.plan.searched
        marked = [method for method in loaded.methods if short(method) in MARKED]
        assert all(loaded.methods[method].known[0]["fate"] == 0 for method in marked)


def test_the_trivial_workload_keeps_its_ledger_and_one_kind_can_be_packed(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    values = {"folder": str(tmp_path), "epochs": 2, "batch_size": 64, "pause": 0.0}
    workload = Trivial.from_values(values, torch.device("cpu"))
    method = Steady.from_values({"lr": 0.1})
    assert fit(workload, method, 5).status == "completed"
    events = [entry.event for entry in read(tmp_path)]
    assert events == ["begun", "epoch", "epoch", "ended"]
    assert {entry.training for entry in read(tmp_path)} == {
        training_name("steady", method.config.model_dump(), 5)
    }
    assert not can_pack(workload, Steady)
    assert can_pack(TrivialPack.from_values(values, torch.device("cpu")), Steady)
    with pytest.raises(ValueError, match="the marked trial raises"):
        fit(workload, Raiser.from_values({"lr": 0.1, "fate": 0.0}), 5)


def test_a_driver_is_swept_away_with_all_of_its_session(tmp_path: Path) -> None:
    driver = Driver(["sh", "-c", "sleep 60 & echo $!; exec sleep 60"], tmp_path, 0, {"PATH": "/usr/bin:/bin"})
    while not driver.out.strip():
        time.sleep(0.01)
    child = int(driver.out)
    driver.kill()
    assert is_alive(child)
    driver.sweep_away()
    assert not is_alive(child)


def test_the_page_says_what_was_kept_and_what_was_not() -> None:
    what = {"good": "a good one", "bad": "a bad one", "none": "not here"}
    outcomes = {"good": replace(GOOD, recovery=(1.0, 2.5)), "bad": replace(GOOD, fault="bad", kept=3)}
    text = page(outcomes, {"none": "needs root"}, what, "full", Provenance("benchmarks.faults"))
    assert "7 of 8 finished trainings kept" in text
    assert "broken promises after bad" in text
    assert "| a good one | 4, 4 | 10, 10 | 0 | 0 | 0 | 2.5 | kept |" in text
    assert "- a bad one: 1 of 4 finished trainings lost or rewritten" in text
    assert "not injected: needs root" in text
