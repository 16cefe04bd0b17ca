"""A task of several trials: each is run, recorded and reported as itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.tune
import torch
from pack_specs import spec

from rewa.checkpoint import CheckpointFile
from rewa.linear import LinearProblem, LinearSolution
from rewa.methods.base import MethodConfig, Solver
from rewa.methods.magnitude import Magnitude
from rewa.record import Record
from rewa.sweep import pack, trial
from rewa.sweep.pack import RECORDS, run_task, tune_task
from rewa.sweep.trial import TrialSpec, run_trial
from rewa.workloads.sparse_recovery import SparseRecovery


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)  # trials set it


class MeanOnly(Solver):
    """Fits the intercept, and no weight."""

    name, summary, Config = "mean_only", "predicts the mean", MethodConfig

    def solve(self, problem: LinearProblem, seed: int) -> LinearSolution:
        return LinearSolution(np.zeros(problem.inputs.shape[1]), float(problem.targets.mean()), {})


class Raises(Magnitude):
    """A method with a bug, where its weight decay says."""

    name, summary = "raises", "raises"

    def prepare(self, model: Any) -> Any:
        if self.config.weight_decay == 1:
            raise RuntimeError("nothing is prepared")
        return super().prepare(model)

    def scores(self, weights: Any, seed: int) -> Any:
        if self.config.weight_decay == 2:
            raise RuntimeError("nothing is scored")
        return super().scores(weights, seed)


def assert_close(one: Record, other: Record) -> None:
    """Equal up to rounding: a linear model alone goes another way than in a pack."""
    assert (one.key, one.status, one.reason) == (other.key, other.status, other.reason)
    assert one.score == pytest.approx(other.score, rel=1e-5)
    assert one.metrics == pytest.approx(other.metrics, rel=1e-4, abs=1e-5)
    assert [e.train_loss for e in one.history] == pytest.approx(
        [e.train_loss for e in other.history], rel=1e-5
    )
    assert len(one.frontier) == len(other.frontier)


def outcome(record: Record) -> Any:
    return (
        record.key,
        record.status,
        record.reason,
        record.history,
        record.frontier,
        record.score,
        record.metrics,
    )


def kept(specs: list[TrialSpec]) -> dict[int, Record]:
    """Run a task; each trial is told once."""
    found: dict[int, Record] = {}

    def keep(number: int, record: Record) -> None:
        assert number not in found
        found[number] = record

    run_task(specs, keep)
    return found


def mixed(folder: Path | None = None) -> list[TrialSpec]:
    return [
        spec("rewa-0000", "rewa", folder, K=3, M=1),
        spec("mean-0000", f"{__name__}:MeanOnly", folder).model_copy(update={"config": {}}),
        spec("magnitude-0000", folder=folder, lr=1e9),
        spec("rewa_adamw-0000", "rewa_adamw", folder),
        spec("spred-0000", "spred", folder),
    ]


def test_a_task_gives_what_its_trials_give(tmp_path: Path) -> None:
    found = kept(mixed(tmp_path))
    assert sorted(found) == list(range(5))
    for number, one in enumerate(mixed()):
        assert_close(found[number], run_trial(one))
    assert [found[n].status for n in range(5)] == ["completed", "completed", "diverged", *["completed"] * 2]
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize(("decay", "reason"), [(1, "nothing is prepared"), (2, "nothing is scored")])
def test_a_trial_that_raises_is_alone_in_that(decay: int, reason: str, tmp_path: Path) -> None:
    bad = spec("raises-0000", f"{__name__}:Raises", tmp_path, weight_decay=decay)
    good = mixed(tmp_path)
    found = kept([*good[:2], bad, *good[3:]])
    assert sorted(found) == list(range(5))
    assert (found[2].status, found[2].reason, found[2].score) == ("failed", f"RuntimeError: {reason}", 0)
    for number in (0, 1, 3, 4):
        assert_close(found[number], run_trial(good[number]))


def test_a_bad_setting_is_alone_in_that() -> None:
    found = kept([spec("magnitude-0000"), spec("magnitude-0001", lr=-1), spec("magnitude-0002")])
    assert [found[n].status for n in range(3)] == ["completed", "failed", "completed"]
    assert "lr = -1" in found[1].reason


class WorkerLostError(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches kill -9."""


def test_a_lost_task_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By trials under other numbers, in another task or alone, with the bits of a task that was not lost."""
    monkeypatch.setattr(trial, "CheckpointFile", partial(CheckpointFile, every=0))
    measure = SparseRecovery.findings

    def lost(*_: Any) -> Any:
        raise WorkerLostError

    monkeypatch.setattr(SparseRecovery, "findings", lost)
    specs = [spec(f"rewa-{i:04d}", "rewa", tmp_path, K=3, M=1, weight_decay=0.01 * i) for i in range(3)]
    with pytest.raises(WorkerLostError):
        kept(specs)
    assert len(list(tmp_path.glob("checkpoints/*.pt"))) == 3
    monkeypatch.setattr(SparseRecovery, "findings", measure)
    renamed = [one.model_copy(update={"trial": f"rewa-000{7 + i}"}) for i, one in enumerate(specs)]
    monkeypatch.setattr("rewa.packs.linear.LinearEnsemble.run_epoch", lost)  # all were trained to the end
    again = kept(renamed[:2]) | {2: run_trial(renamed[2])}
    monkeypatch.undo()
    whole = kept([one.model_copy(update={"folder": ""}) for one in renamed])
    assert [outcome(again[n]) for n in range(3)] == [outcome(whole[n]) for n in range(3)]


def reports_of(specs: list[TrialSpec], monkeypatch: pytest.MonkeyPatch, every: float) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(ray.tune, "report", sent.append)
    monkeypatch.setattr(pack, "REPORT_EVERY", every)
    tune_task({"specs": [one.model_dump() for one in specs]})
    return sent


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_what_tune_is_told(every: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record once, at the end at the latest; there is a report even of nothing new."""
    specs = mixed()
    sent = reports_of(specs, monkeypatch, every)
    told = Counter[str]()
    for report in sent:
        found = {n: Record.model_validate_json(text) for n, text in json.loads(report[RECORDS]).items()}
        told.update(list(found))
        assert all(specs[int(n)].trial == record.trial for n, record in found.items())
        assert report["score"] == max((record.score or 0 for record in found.values()), default=0)
    assert told == dict.fromkeys(map(str, range(5)), 1)
    assert len(sent) > 2 if every == 0 else len(sent) == 1
