"""One trial on a worker: checkpoints that outlive the worker and the trial's number."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rewa.checkpoint import CheckpointFile
from rewa.packs import fit_one
from rewa.record import Record
from rewa.sweep import trial
from rewa.sweep.space import Objective
from rewa.sweep.trial import TrialSpec, run_trial
from rewa.training import Watch


class WorkerLostError(BaseException):
    """Not an Exception: nothing in the trial may catch it, as nothing catches kill -9."""


def spec(folder: Path, name: str, **changes: Any) -> TrialSpec:
    values = {
        "sweep": "s",
        "workload": "digits",
        "workload_settings": {"epochs": 4},
        "method": "rewa",
        "trial": name,
        "phase": "search",
        "seed": 3,
        "config": {"lr": 0.06, "K": 5, "M": 1.5, "weight_decay": 1e-3},
        "objective": Objective(max_compression=100, reference=0.5),
        "device": "cpu",
        "folder": str(folder),
    }
    return TrialSpec.model_validate({**values, **changes})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps done after each epoch, with a checkpoint at every one; the first worker vanishes in the third."""
    taken: list[int] = []

    def on_step(step: int, _: int) -> None:
        taken.append(step)
        if taken == [17, 34, 51]:
            raise WorkerLostError

    monkeypatch.setattr(trial, "CheckpointFile", partial(CheckpointFile, every=0))
    monkeypatch.setattr(trial, "fit_one", partial(fit_one, watch=Watch(on_step=on_step)))
    return taken


def outcome(record: Record) -> Any:
    return record.status, record.history, record.frontier, record.score


def test_a_trial_goes_on_under_a_new_number(tmp_path: Path, steps: list[int]) -> None:
    """17 steps an epoch: two epochs are kept, and the next worker does the other two."""
    with pytest.raises(WorkerLostError):
        run_trial(spec(tmp_path, "rewa-0000"))
    assert len(list(tmp_path.glob("checkpoints/*.pt"))) == 1
    again = run_trial(spec(tmp_path, "rewa-0007"))
    assert steps[3:] == [51, 68]
    assert not list(tmp_path.glob("checkpoints/*"))
    whole = run_trial(spec(tmp_path / "other", "rewa-0000"))
    assert again.trial == "rewa-0007"
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"config": {"lr": 0.07}}, {"workload_settings": {"epochs": 5}}]
)
def test_another_training_starts_at_its_beginning(
    tmp_path: Path, steps: list[int], change: dict[str, Any]
) -> None:
    with pytest.raises(WorkerLostError):
        run_trial(spec(tmp_path, "rewa-0000"))
    assert run_trial(spec(tmp_path, "rewa-0000", **change)).status == "completed"
    assert steps[3] == 17


def test_a_trial_that_raises_is_recorded(tmp_path: Path) -> None:
    record = run_trial(spec(tmp_path, "rewa-0000", config={"lr": -1}))
    assert record.status == "failed"
    assert "lr = -1" in record.reason
    assert record.score == 0
