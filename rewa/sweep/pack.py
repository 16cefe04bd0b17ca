"""A worker's task: trials that share one process, each reported as itself."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rewa.methods import get_method
from rewa.outcome import TrainingResult
from rewa.packs import Training, fit_together
from rewa.record import Record
from rewa.sweep.models import keep_model
from rewa.sweep.trial import TrialSpec, checkpoint_of, failed_trial, record_of, run_trial, workload_of
from rewa.sweep.watchdog import Watchdog

log = logging.getLogger(__name__)

REPORT_EVERY = 1.0
"""Seconds between reports of a task whose trials end one after another; each costs the driver a turn."""

RECORDS, TIMED_OUT = "records", "timed_out"
"""Keys of a report: a JSON map from a trial's number in its task to its record; whether it is the last one of
a process that ends because its task took too long."""

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
        specs: Of one workload and one phase.
        keep: Told the number of every trial and its record, as soon as there is one.
    """
    waiting = dict(enumerate(specs))

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
    """Run the trials in ``config["specs"]`` and report them to Ray Tune as they end.

    A task that takes longer than its trials may is ended with its process: a trial that was alone is reported
    as failed before, those of a pack are left to be run alone.
    """
    specs = [TrialSpec.model_validate(spec) for spec in config["specs"]]
    reports = _Reports(len(specs))
    allowed = specs[0].timeout

    def expired(where: str) -> None:
        late = None
        if len(specs) == 1:
            late = failed_trial(specs[0], f"timed out after {allowed:g} s at {where}", allowed)
        reports.send_last(late)

    with Watchdog(allowed * len(specs), expired):
        run_task(specs, reports.keep)
        reports.send()


class _Reports:
    """Collects records and reports them to Tune, not too often; used by a training and its watchdog.

    Args:
        count: Number of trials.
    """

    def __init__(self, count: int) -> None:
        self._left = count
        self._records: dict[int, Record] = {}
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def keep(self, number: int, record: Record) -> None:
        """Take a record."""
        with self._lock:
            self._records[number] = record
            self._left -= 1
            if self._left and time.monotonic() - self._last >= REPORT_EVERY:
                self._send()

    def send(self) -> None:
        """Report what has not been."""
        with self._lock:
            self._send()

    def send_last(self, late: Record | None) -> None:
        """Report what has not been, and a single trial that took too long; the process will end."""
        with self._lock:
            if late is not None and self._left:
                self._records[0] = late
            self._send(**{TIMED_OUT: True})

    def _send(self, **more: Any) -> None:
        from ray import tune

        texts = {number: record.model_dump_json() for number, record in self._records.items()}
        best = max((record.score or 0.0 for record in self._records.values()), default=0.0)
        tune.report({"score": best, RECORDS: json.dumps(texts), **more})
        self._records.clear()
        self._last = time.monotonic()


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
        keep_model(specs[number], result.model)
        if checkpoint := checkpoints[number]:
            checkpoint.remove()
        done(number, record)

    fit_together(workload, trainings, on_result)
