"""Opening an MLflow store and searching it: the calls that the rest of this package shares."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rewa import mlflow_view
from rewa.credentials import brief, redacted
from rewa.errors import UserError
from rewa.store_uri import resolve_uri, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RECORD_ARTIFACT = "record.json"
META_ARTIFACT = "sweep.json"
FINISHED = "FINISHED"
MODEL_PHASE = "model"
DERIVED_PHASES = ("summary", mlflow_view.CURVES_PHASE, MODEL_PHASE)
"""Phases of runs that are no trainings: they are made from the others."""

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # a server that hangs; MLflow waits 120 s
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""MLflow's settings, where the user has not set them."""


class StoreError(UserError):
    """A store that cannot be used, now.

    Attributes:
        reason: Why, without the store's name.
    """

    def __init__(self, uri: str, what: str, error: BaseException) -> None:
        self.reason = brief(error)
        super().__init__(f"tracking URI {redacted(uri)!r}: {what} ({self.reason})")


def open_client(uri: str) -> MlflowClient:
    """Return a client, creating the SQLite store's folder if need be.

    Left alone, MLflow repeats requests that got no answer, creations among them, and would make a run twice.
    Here it never does: who calls has to look what was carried out before trying again.

    Raises:
        StoreError: If the store cannot be opened.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    if path := sqlite_path(uri):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"tracking URI {uri!r}: {error.strerror}") from None
    try:
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # MLflow's, and those of the store's own drivers
        raise StoreError(uri, "cannot be opened", error) from None
    return client


def open_existing(tracking_uri: str | None) -> tuple[str, MlflowClient]:
    """Open a store that must be there already.

    Raises:
        UserError: If it is not.
    """
    uri = resolve_uri(tracking_uri)
    if (path := sqlite_path(uri)) and not path.is_file():
        raise UserError(f"no MLflow store at {path}; run a sweep first, or name the store's URI")
    return uri, open_client(uri)


@contextmanager
def told(uri: str, what: str = "stopped answering, try again") -> Iterator[None]:
    """Turn what a store raises while it is used into one sentence.

    Args:
        uri: The store.
        what: What could not be done.

    Raises:
        StoreError: For any error of MLflow, which wraps those of drivers, and of files and requests.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:  # requests' errors are OSErrors
        raise StoreError(uri, what, error) from None


def age(run: Run) -> tuple[int, str]:
    """Return what orders runs by when they began; ties the same way for everyone."""
    return int(run.info.start_time), str(run.info.run_id)


def training_key(run: Run) -> tuple[str, str, int]:
    """Return what identifies a training within its sweep."""
    tags = run.data.tags
    return tags["rewa.trial"], tags["rewa.phase"], int(tags["rewa.seed"])


def search(client: MlflowClient, experiments: list[str], query: str) -> Iterator[Run]:
    """Yield all runs that match, page by page."""
    token = None
    while True:
        with _collector_off():
            page = client.search_runs(experiments, query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def distinct(client: MlflowClient, experiment_id: str, query: str, tag: str) -> set[str]:
    """Return the values of a tag among the runs that match: a query for each, however many runs there are."""
    found: set[str] = set()
    while True:
        others = "".join(f" and tags.`{tag}` != '{value}'" for value in ["", *sorted(found)])
        page = client.search_runs([experiment_id], query + others, max_results=1)
        value = page[0].data.tags.get(tag) if page else None
        if value is None:
            return found
        found.add(value)


def summary_run(client: MlflowClient, experiment_id: str, sweep: str) -> str:
    """Return the sweep's summary run, created if need be."""
    query = f"tags.`rewa.sweep` = '{sweep}' and tags.`rewa.phase` = 'summary'"
    for run in search(client, [experiment_id], query):
        return str(run.info.run_id)
    tags = {"rewa.sweep": sweep, "rewa.phase": "summary"}
    run = client.create_run(experiment_id, tags=tags, run_name=f"{sweep} (summary)")
    return str(run.info.run_id)


def find_sweep(client: MlflowClient, uri: str, sweep: str | None) -> tuple[str, str]:
    """Return a sweep's name and experiment."""
    experiments = client.search_experiments(order_by=["last_update_time DESC"])
    names = [e.name for e in experiments if e.name != "Default"]
    if not names:
        raise UserError(f"the MLflow store {redacted(uri)} holds no sweep yet")
    if sweep is None:
        sweep = max(experiments, key=lambda e: _newest(client, e.experiment_id)).name
    if sweep not in names:
        raise UserError(f"no sweep {sweep!r} in {redacted(uri)} (there are: {', '.join(sorted(names))})")
    return sweep, next(str(e.experiment_id) for e in experiments if e.name == sweep)


def _newest(client: MlflowClient, experiment_id: str) -> int:
    """Return when an experiment's last run started, in ms; 0 without runs of ours."""
    found = client.search_runs(
        [experiment_id], "tags.`rewa.sweep` != ''", order_by=["start_time DESC"], max_results=1
    )
    return max((int(run.info.start_time) for run in found), default=0)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Keep the garbage collector from walking the heap again and again while many rows become objects."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
