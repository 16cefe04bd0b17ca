"""The Tune callback that hands over every finished trial at once, and sees to what lost workers leave."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from rewa.record import Record
from rewa.sweep.pack import RECORDS, TIMED_OUT
from rewa.sweep.tasks import Loss, Tasks
from rewa.sweep.watchdog import GRACE

OnRecord = Callable[[Record], None]

NODE_DIED = ("node has died", "node was terminated", "preempted")
"""What Ray says of a worker whose machine went."""

GUESSES = "Some common causes"
"""Where Ray begins to guess why a process ended."""


class Keeper(Callback):
    """Turns Tune's results into records; lives in the driver, and Tune's pickled copy is never used.

    Args:
        on_record: Keeps a record.
        tasks: Told of every record that is kept, and of every task that is lost.
        on_step: Called whenever Tune has looked what there is to do.
    """

    def __init__(self, on_record: OnRecord, tasks: Tasks, on_step: Callable[[], None] = lambda: None) -> None:
        self.on_record, self.tasks, self.on_step = on_record, tasks, on_step
        self._timed_out: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Pass it on."""
        self.on_step()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep the records that the worker reported."""
        if result.get(TIMED_OUT):
            self._timed_out.add(trial.trial_id)
        for record in json.loads(result.get(RECORDS, "{}")).values():
            self._keep(trial.trial_id, Record.model_validate_json(record))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Have the task's unfinished trials done again, or keep them as failed."""
        timed_out = trial.trial_id in self._timed_out
        silent = not timed_out and self._took(trial) > self.tasks.allowed(trial.trial_id) + GRACE
        loss = loss_of(_last_error(trial.error_file), timed_out or silent, silent)
        for record in self.tasks.lost(trial.trial_id, loss):
            self._keep(trial.trial_id, record)

    def _took(self, trial: Any) -> float:
        """Return for how many seconds Tune saw a task running; 0 if it never began."""
        began = trial.run_metadata.start_time
        return time.time() - began if began else 0.0

    def _keep(self, task: str, record: Record) -> None:
        """Keep a record, and only then let the studies know."""
        self.on_record(record)
        self.tasks.finished(task, record)


def loss_of(error: str, timed_out: bool, silent: bool = False) -> Loss:
    """Return what is known of a worker's end from Ray's text about it."""
    flat = " ".join(error.split())
    node_died = any(words in flat for words in NODE_DIED)
    return Loss(_told(flat), node_died, timed_out, silent)


def _told(text: str) -> str:
    """Return the sentence of Ray's that says most."""
    _, found, detail = text.partition("Worker exit detail: ")
    said = detail if found else text
    said = said.partition(GUESSES)[0].strip().rstrip(".")
    return (said or "no reason is known")[:300]


def _last_error(path: str | None) -> str:
    """Return the newest of a Tune trial's errors."""
    if not path or not Path(path).is_file():
        return ""
    return Path(path).read_text(errors="replace").rpartition("Failure # ")[2].partition("\n")[2]
