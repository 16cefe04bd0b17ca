"""Reading a sweep back as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rewa.credentials import redacted
from rewa.errors import UserError
from rewa.record import Record
from rewa.store_uri import ui_base
from rewa.sweep_tables import SweepRecord, build_tables
from rewa.tracking.artifacts import read_artifact
from rewa.tracking.store import (
    DERIVED_PHASES,
    FINISHED,
    META_ARTIFACT,
    RECORD_ARTIFACT,
    age,
    find_sweep,
    open_existing,
    search,
    told,
    training_key,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

READERS = 4
"""Files asked for at once: a server takes a tenth of a second for each."""


def read_sweep(tracking_uri: str | None, sweep: str | None) -> SweepRecord:
    """Read all finished runs of a sweep.

    Its description is given ``ui``, from which pages link to the runs: ``base``, where the UI is
    (:func:`rewa.store_uri.ui_base`), ``experiment_id``, and ``summary_run``, empty where there is none.

    Args:
        tracking_uri: As for :func:`resolve_uri`.
        sweep: Name of the sweep; ``None`` takes the newest in the store.

    Raises:
        UserError: If the store or the sweep is missing, or holds no finished run.
    """
    uri, client = open_existing(tracking_uri)
    with told(uri):
        name, experiment_id = find_sweep(client, uri, sweep)
        summary, meta = read_summary(client, experiment_id, name)
        meta["ui"] = {"base": ui_base(uri), "experiment_id": experiment_id, "summary_run": summary}
        tables = build_tables(name, meta, _read_records(client, experiment_id, name))
    if tables.runs.empty:
        raise UserError(f"sweep {name!r} in {redacted(uri)} has no finished run yet")
    return tables


def _read_records(client: MlflowClient, experiment_id: str, sweep: str) -> Iterator[tuple[str, Record]]:
    """Yield run id and record of every finished training, once: one query a thousand runs, one file a run."""
    found = [
        run
        for run in search(client, [experiment_id], f"tags.`rewa.sweep` = '{sweep}'")
        if run.data.tags.get("rewa.phase") not in DERIVED_PHASES and run.info.status == FINISHED
    ]
    first: dict[tuple[str, str, int], Run] = {}
    for run in sorted(found, key=age):
        first.setdefault(
            training_key(run), run
        )  # where two writers raced, the next Tracker deletes the later
    with ThreadPoolExecutor(READERS) as readers:
        texts = readers.map(lambda run: read_artifact(client, run, RECORD_ARTIFACT), first.values())
        for run, text in zip(first.values(), texts, strict=True):
            if text:
                yield run.info.run_id, Record.model_validate_json(text)


def read_meta(client: MlflowClient, experiment_id: str, sweep: str) -> dict[str, Any]:
    """Return the description on the sweep's summary run; empty without one."""
    return read_summary(client, experiment_id, sweep)[1]


def read_summary(client: MlflowClient, experiment_id: str, sweep: str) -> tuple[str, dict[str, Any]]:
    """Return the sweep's summary run and the description on it; both empty without one."""
    query = f"tags.`rewa.sweep` = '{sweep}' and tags.`rewa.phase` = 'summary'"
    for run in search(client, [experiment_id], query):
        found: dict[str, Any] = json.loads(read_artifact(client, run, META_ARTIFACT) or "{}")
        return str(run.info.run_id), found
    return "", {}
