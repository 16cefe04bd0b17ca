"""A worker's task: trials that share one process, each reported as itself."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rewa.methods import get_method
from rewa.outcome import TrainingResult
from rewa.packs import Training, fit_together
from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.trial import TrialSpec, checkpoint_of, record_of, run_trial, workload_of

log = logging.getLogger(__name__)

REPORT_EVERY = 1.0
"""Seconds between reports of a task whose trials end one after another; each costs the driver a turn."""

SCORES, RECORDS = "scores", "records"
"""Keys of a report: JSON maps from a trial's number in its task to its score, and to its record."""

OnRecord = Callable[[int, Record], None]


@dataclass(frozen=True)
class Packing:
    """How many trials a worker is given at once.

    Attributes:
        size: At most so many.
        concurrency: Workers.
        methods: Methods whose trials are packed; all others come alone.
    """

    size: int = 1
    concurrency: int = 1
    methods: frozenset[str] = frozenset()

    def share(self, count: int) -> int:
        """Return how many of so many trials each task takes: as many rounds as need be, all alike.

        It holds for all tasks until none is left; asked anew in between, it would give ever smaller ones.
        """
        rounds = math.ceil(count / (self.size * self.concurrency))
        return math.ceil(count / (rounds * self.concurrency)) if rounds else 0


def run_task(specs: Sequence[TrialSpec], keep: OnRecord) -> None:
    """Run trials, together where their workload allows; one that raises is recorded as failed.

    Args:
        specs: Of one workload and one phase; those whose result is in the sweep's directory are passed over.
        keep: Told the number of every trial and its record, as soon as there is one.
    """
    waiting = {number: spec for number, spec in enumerate(specs) if not _is_finished(spec)}

    def done(number: int, record: Record) -> None:
        del waiting[number]
        keep(number, record)

    if len(waiting) > 1 and all(spec.workers == 1 for spec in waiting.values()):
        try:
            _run_together(dict(waiting), done)
        except Exception as error:  # whose fault it was shows when each is run alone
            log.warning("a pack of %d trials failed (%s); they are run one by one", len(waiting), error)
    for number, spec in list(waiting.items()):
        done(number, run_trial(spec))


def tune_task(config: dict[str, Any]) -> None:
    """Run the trials in ``config["specs"]`` and report them to Ray Tune as they end."""
    from ray import tune

    records: dict[int, Record] = {}
    reported = time.monotonic()

    def report() -> None:
        nonlocal reported
        scores = {number: record.score for number, record in records.items()}
        tune.report(
            {
                "score": max((score or 0.0 for score in scores.values()), default=0.0),
                SCORES: json.dumps(scores),
                RECORDS: json.dumps({n: record.model_dump_json() for n, record in records.items()}),
            }
        )
        records.clear()
        reported = time.monotonic()

    def keep(number: int, record: Record) -> None:
        records[number] = record
        if time.monotonic() - reported >= REPORT_EVERY and len(records) < len(specs):
            report()

    specs = [TrialSpec.model_validate(spec) for spec in config["specs"]]
    run_task(specs, keep)
    report()


def _run_together(specs: dict[int, TrialSpec], done: OnRecord) -> None:
    """Train a pack."""
    numbers = list(specs)
    first = specs[numbers[0]]
    torch.set_num_threads(first.threads)
    workload = workload_of(first)
    checkpoints = {number: checkpoint_of(spec) for number, spec in specs.items()}
    trainings = [
        Training(get_method(spec.method).from_values(spec.config), spec.seed, checkpoints[number])
        for number, spec in specs.items()
    ]

    def on_result(position: int, result: TrainingResult) -> None:
        number = numbers[position]
        record = record_of(specs[number], workload, result)
        if checkpoint := checkpoints[number]:
            checkpoint.remove()
        done(number, record)

    fit_together(workload, trainings, on_result)


def _is_finished(spec: TrialSpec) -> bool:
    """Return whether the trial's record is on disk: the task was begun before on a worker that was lost."""
    return bool(spec.folder) and SweepFolder(Path(spec.folder)).has(spec.trial, spec.phase, spec.seed)
