"""The Tune callback that hands over every finished trial at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from rewa.record import Record, failed_record
from rewa.sweep.pack import RECORDS
from rewa.sweep.trial import WORST_SCORE, TrialSpec

OnRecord = Callable[[Record], None]

MAX_WORKER_LOSSES = 3
"""How often a task is started again after its worker vanished (a trial that raises is not)."""


class Keeper(Callback):
    """Turns Tune's results into records; lives in the driver, and Tune's pickled copy is never used.

    Args:
        on_record: Called for every finished trial, before Tune decides anything on it.
    """

    def __init__(self, on_record: OnRecord) -> None:
        self.on_record = on_record

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep the records that the worker reported."""
        for record in json.loads(result.get(RECORDS, "{}")).values():
            self.on_record(Record.model_validate_json(record))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Keep the trials of a task that lost its worker too often as failed; those reported before stay."""
        reason = f"the worker was lost {MAX_WORKER_LOSSES + 1} times"
        for values in trial.config["specs"]:
            spec = TrialSpec.model_validate(values)
            identity = spec.identity({"name": spec.workload, **spec.workload_settings})
            record = failed_record(reason, 0.0, **identity)
            self.on_record(record.model_copy(update={"score": WORST_SCORE}))
