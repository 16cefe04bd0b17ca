"""Writing a sweep's runs: one per training, once, whatever happened to earlier attempts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from rewa.credentials import redacted
from rewa.errors import UserError
from rewa.record import Key, Record
from rewa.run_payload import SWEEP_ID_TAG, metrics_of, params_of, tables_of, tags_of
from rewa.store_uri import sqlite_path
from rewa.tracking.artifacts import write_artifacts
from rewa.tracking.batch import log_batch
from rewa.tracking.store import (
    DERIVED_PHASES,
    FINISHED,
    META_ARTIFACT,
    RECORD_ARTIFACT,
    age,
    open_client,
    search,
    summary_run,
    told,
    training_key,
)
from rewa.tracking.view import show_comparison

if TYPE_CHECKING:
    from mlflow.entities import Run


class SweepTakenError(UserError):
    """The store holds another sweep of the same name, so nothing may be written there."""


class Tracker:
    """Writes one sweep's runs; every method may be repeated without writing anything twice.

    Opening one brings the store in order: what an earlier writer left half-written is deleted (it is written
    anew), and of a training that two writers finished the later run is deleted. After any error open a
    new one: a request may have been carried out although its answer was lost.

    Args:
        uri: Resolved tracking URI.
        sweep: Name of the sweep, which is also its experiment's.
        sweep_id: What tells this sweep from others of its name; empty outside sweeps.
            Trainings in the store without one are taken over.
        known: Keys of all trainings that there are; what the store has beside them is deleted (its result was
            damaged on disk, and it is run again). ``None``: whatever is there stays.

    Raises:
        SweepTakenError: If the experiment holds trainings of another sweep.
        UserError: If the store cannot be opened.
    """

    def __init__(
        self, uri: str, sweep: str, sweep_id: str = "", known: Collection[Key] | None = None
    ) -> None:
        self.uri, self.sweep, self.sweep_id, self.known = uri, sweep, sweep_id, known
        self.client = open_client(uri)
        self._finished: set[Key] = set()
        with told(uri, "cannot be opened"):
            self.experiment_id = self._experiment()
            self._put_in_order()

    def _put_in_order(self) -> None:
        """Find out what is finished and delete what is half-written or there twice."""
        # Listed in full before anything is deleted: a page is found by its offset.
        found = list(search(self.client, [self.experiment_id], f"tags.`rewa.sweep` = '{self.sweep}'"))
        trainings = [run for run in found if run.data.tags.get("rewa.phase") not in DERIVED_PHASES]
        if self.sweep_id:
            self._claim(trainings)
        for run in sorted(trainings, key=age):
            key = training_key(run)
            is_stray = self.known is not None and key not in self.known
            if run.info.status != FINISHED or key in self._finished or is_stray:
                self.client.delete_run(run.info.run_id)
            else:
                self._finished.add(key)

    def _claim(self, trainings: list[Run]) -> None:
        """Refuse those of another sweep and take over those of none."""
        ids = {run.info.run_id: run.data.tags.get(SWEEP_ID_TAG, "") for run in trainings}
        if set(ids.values()) - {"", self.sweep_id}:
            raise SweepTakenError(
                f"{redacted(self.uri)} holds trainings of another sweep named {self.sweep!r}; "
                "give this one a --name of its own, or another --tracking-uri"
            )
        for run in trainings:
            if not ids[run.info.run_id] and run.info.status == FINISHED:
                self.client.set_tag(run.info.run_id, SWEEP_ID_TAG, self.sweep_id)

    def _experiment(self) -> str:
        """Return the experiment of the sweep, created or brought back if need be."""
        found = self.client.get_experiment_by_name(self.sweep)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = None
        if path := sqlite_path(self.uri):
            location = (path.parent / "mlartifacts" / self.sweep).as_uri()
        return str(self.client.create_experiment(self.sweep, artifact_location=location))

    def log(self, record: Record) -> bool:
        """Write a training as a run, unless it is there.

        Returns:
            Whether a run was written.

        Raises:
            StoreError: If the store fails; whether anything was written then is known to a new tracker only.
        """
        if record.key in self._finished:
            return False
        # Each call is a transaction of its own, which SQLite waits for the disk to finish: as few as can be.
        tables = {f"{name}.json": json.dumps(table) for name, table in tables_of(record).items()}
        listed = [{"path": path, "type": "table"} for path in tables]
        tags = {**tags_of(record, self.sweep_id), "mlflow.loggedArtifacts": json.dumps(listed)}
        name = record.trial if record.phase == "search" else f"{record.trial} seed {record.seed}"
        with told(self.uri, "cannot be written"):
            run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
            write_artifacts(self.client, run, {**tables, RECORD_ARTIFACT: record.model_dump_json()})
            log_batch(self.client, run.info.run_id, metrics_of(record), params_of(record))
            self.client.set_terminated(run.info.run_id, FINISHED)
        self._finished.add(record.key)
        return True

    def log_summary(self, meta: Mapping[str, Any]) -> None:
        """Write or update the sweep's summary run and the experiment's comparison view."""
        with told(self.uri, "cannot be written"):
            run_id = summary_run(self.client, self.experiment_id, self.sweep)
            self.client.log_dict(run_id, dict(meta), META_ARTIFACT)
            self.client.set_terminated(run_id, FINISHED)
            show_comparison(self.client, self.experiment_id, self.sweep)
