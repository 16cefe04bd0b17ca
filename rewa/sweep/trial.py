"""One trial: its specification, and the function that Ray Tune runs for it on a worker."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from rewa.methods import get_method
from rewa.optim import prunable_weights
from rewa.record import Record, describe_workload, failed_record, make_record
from rewa.sweep.space import Objective
from rewa.training import fit, pick_device
from rewa.workloads import Workload, get_workload

WORST_SCORE = 0.0
"""Score of a trial that diverged or failed: the least any frontier can have."""


class TrialSpec(BaseModel):
    """All a worker needs to know; plain data, so that any process can run it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sweep: str
    workload: str
    workload_settings: dict[str, Any]
    method: str
    trial: str
    phase: str
    seed: int
    config: dict[str, Any]
    objective: Objective
    device: str = "auto"
    threads: int = 1

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
        }


def run_trial(spec: TrialSpec) -> Record:
    """Train, measure and score one trial. A trial that raises is recorded as failed, not raised."""
    started = time.perf_counter()
    described: dict[str, Any] = {"name": spec.workload, **spec.workload_settings}
    try:
        torch.set_num_threads(spec.threads)
        workload = _workload(spec.workload, _hashable(spec.workload_settings), spec.device)
        described = describe(workload)
        result = fit(workload, get_method(spec.method).from_values(spec.config), spec.seed)
        record = make_record(result, **spec.identity(described))
        return record.model_copy(update={"score": score(record, spec.objective)})
    except Exception as error:  # a bug or a full GPU in one trial must not end the sweep
        reason = f"{type(error).__name__}: {error}"
        elapsed = time.perf_counter() - started
        failed = failed_record(reason, elapsed, **spec.identity(described))
        return failed.model_copy(update={"score": WORST_SCORE})


def score(record: Record, objective: Objective) -> float:
    """Return a record's objective value, from the validation split only."""
    metric_at = record.metric_at("val")
    return objective.area(metric_at, record.metric) if metric_at else WORST_SCORE


def describe(workload: Workload) -> dict[str, Any]:
    """Return a workload's settings, split sizes and parameter counts."""
    with torch.random.fork_rng():
        model = workload.build_model()
    counts = {
        "prunable_weights": sum(w.numel() for w in prunable_weights(model).values()),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return describe_workload(workload, counts)


def tune_trial(config: dict[str, Any]) -> None:
    """Run the trial in ``config["spec"]`` and report it to Ray Tune, once."""
    from ray import tune

    record = run_trial(TrialSpec.model_validate(config["spec"]))
    tune.report({"score": record.score, "record": record.model_dump_json()})


@lru_cache(maxsize=2)
def _workload(name: str, settings: tuple[tuple[str, Any], ...], device: str) -> Workload:
    """Build a workload once per process: workers run many trials on the same data."""
    return get_workload(name).from_values(dict(settings), pick_device(device))


def _hashable(settings: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(settings.items()))
