"""One trial: its specification, and how a worker runs it."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from rewa.checkpoint import CheckpointFile, identity_digest
from rewa.description import describe, setting_of
from rewa.environment import commit
from rewa.methods import get_method
from rewa.outcome import TrainingResult
from rewa.packs import fit_one
from rewa.record import Record, failed_record, make_record
from rewa.storage import Store
from rewa.sweep.models import keep_model
from rewa.sweep.space import Objective
from rewa.sweep.stored_checkpoint import StoredCheckpoint
from rewa.training import pick_device
from rewa.workloads import Workload, get_workload

WORST_SCORE = 0.0
"""Score of a trial that diverged or failed: the least any frontier can have."""


class TrialSpec(BaseModel):
    """All a worker needs to know; plain data, so that any process can run it.

    Attributes:
        sampled: The values that Optuna drew, of which the config was made.
        device: "auto", "cpu" or "cuda".
        folder: The sweep's directory; checkpoints of long trials are kept below it. Empty: none are.
        storage: URI of the sweep's place in shared storage; checkpoints are kept there instead.
        model_seed: Weights of confirmations with this seed are kept, in the same place; default: of none.
        timeout: Seconds the trial may take.
        cpu: Cores of each process.
        gpu: GPUs of each process.
        workers: Processes that train the model together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sweep: str
    workload: str
    workload_settings: dict[str, Any]
    method: str
    trial: str
    phase: str
    seed: int
    config: dict[str, Any]
    sampled: dict[str, Any] = {}
    objective: Objective
    device: str = "auto"
    folder: str = ""
    storage: str = ""
    model_seed: int | None = None
    timeout: float = math.inf
    cpu: float = 1
    gpu: float = 0
    workers: int = 1

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies the training within its sweep: trial, phase, seed."""
        return self.trial, self.phase, self.seed

    @property
    def threads(self) -> int:
        """CPU threads of each process."""
        return max(1, int(self.cpu))

    def identity(self, workload: dict[str, Any]) -> dict[str, Any]:
        """Return what the record of this trial is labelled with."""
        return {
            "sweep": self.sweep,
            "workload": workload,
            "method": self.method,
            "trial": self.trial,
            "phase": self.phase,
            "seed": self.seed,
            "config": self.config,
            "sampled": self.sampled,
        }


def run_trial(spec: TrialSpec) -> Record:
    """Train, measure and score one trial. A trial that raises is recorded as failed, not raised.

    It is not tried again: with its seed it would raise again.
    """
    started = time.perf_counter()
    try:
        if spec.workers == 1:
            return run_here(spec)
        from rewa.sweep.together import run_together

        return run_together(spec)
    except Exception as error:  # a bug or a full GPU in one trial must not end the sweep
        return failed_trial(spec, f"{type(error).__name__}: {error}", time.perf_counter() - started)


def failed_trial(spec: TrialSpec, reason: str, seconds: float = 0.0) -> Record:
    """Return the record of a trial that did not finish."""
    described = {"name": spec.workload, **spec.workload_settings}
    failed = failed_record(reason, seconds, **spec.identity(described))
    return failed.model_copy(update={"score": WORST_SCORE})


def run_here(spec: TrialSpec) -> Record:
    """Train, measure and score one trial in this process.

    A long trial is taken up from its checkpoint if an earlier worker left one.
    """
    torch.set_num_threads(spec.threads)
    workload = workload_of(spec)
    checkpoint = checkpoint_of(spec)
    result = fit_one(
        workload, get_method(spec.method).from_values(spec.config), spec.seed, checkpoint=checkpoint
    )
    record = record_of(spec, workload, result)
    keep_model(spec, result.model)
    if checkpoint:
        checkpoint.remove()
    return record


def record_of(spec: TrialSpec, workload: Workload, result: TrainingResult) -> Record:
    """Return the scored record of a trial's outcome."""
    record = make_record(result, **spec.identity(describe(workload)))
    return record.model_copy(update={"score": score(record, spec.objective)})


def workload_of(spec: TrialSpec) -> Workload:
    """Return the trial's workload, built once per process."""
    return _workload(spec.workload, _hashable(spec.workload_settings), spec.device)


def checkpoint_of(spec: TrialSpec) -> CheckpointFile | None:
    """Return where a trial's state is kept: one file per training, whatever the number of its trial."""
    if not spec.folder and not spec.storage:
        return None
    workload = get_workload(spec.workload)
    config = workload.Config.parse(spec.workload_settings, f"workload {spec.workload!r}")
    identity = {
        "workload": [workload.label_for(config), setting_of(workload, spec.workload_settings)],
        "method": [spec.method, spec.config],
        "seed": spec.seed,
        "commit": commit(),
    }
    name = f"{spec.method.rpartition(':')[2]}-{identity_digest(identity)[:16]}.pt"
    if spec.storage:
        return StoredCheckpoint(Store(spec.storage), f"checkpoints/{name}", identity)
    return CheckpointFile(Path(spec.folder) / "checkpoints" / name, identity)


def score(record: Record, objective: Objective) -> float:
    """Return a record's objective value, from the validation split only."""
    metric_at = objective.curve(record)
    return objective.area(metric_at, record.metric) if metric_at else WORST_SCORE


@lru_cache(maxsize=2)
def _workload(name: str, settings: tuple[tuple[str, Any], ...], device: str) -> Workload:
    """Build a workload once per process: workers run many trials on the same data."""
    return get_workload(name).from_values(dict(settings), pick_device(device))


def _hashable(settings: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(settings.items()))
