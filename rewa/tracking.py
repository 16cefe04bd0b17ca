"""MLflow: one run per training, written once, and read back as tables. The only file that imports it."""

from __future__ import annotations

import gc
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from rewa import mlflow_view
from rewa.errors import UserError
from rewa.methods import REGISTRY as METHODS
from rewa.metric import Metric
from rewa.record import Record
from rewa.run_payload import (
    CurvePoint,
    MetricPoint,
    curve_metrics,
    curve_tags,
    metrics_of,
    params_of,
    tables_of,
    tags_of,
)
from rewa.sparsity.frontier import HEADLINE_RATIOS
from rewa.store_uri import resolve_uri, sqlite_path
from rewa.sweep_tables import SweepRecord, build_tables

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RECORD_ARTIFACT = "record.json"
META_ARTIFACT = "sweep.json"
FINISHED = "FINISHED"
BATCH = 1000
"""Metrics and parameters that MLflow takes in one call."""
DERIVED_PHASES = ("summary", mlflow_view.CURVES_PHASE)
"""Phases of runs that are no trainings: they are made from the others."""

log = logging.getLogger(__name__)


def _client(uri: str) -> MlflowClient:
    """Return a client, creating the SQLite store's folder if need be.

    Raises:
        UserError: If the store cannot be opened.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if path := sqlite_path(uri):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"tracking URI {uri!r}: {error.strerror}") from None
    try:
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise UserError(f"tracking URI {uri!r}: cannot be opened ({_brief(error)})") from None
    except Exception as error:  # the store's own drivers raise their own errors
        raise UserError(f"tracking URI {uri!r}: cannot be opened ({_brief(error)})") from None
    return client


class Tracker:
    """Writes one sweep's runs; every method may be repeated without writing anything twice.

    Args:
        uri: Resolved tracking URI.
        sweep: Name of the sweep, which is also its experiment's.

    Raises:
        UserError: If the store cannot be opened.
    """

    def __init__(self, uri: str, sweep: str) -> None:
        self.uri, self.sweep = uri, sweep
        self.client = _client(uri)
        self.experiment_id = self._experiment()
        self._finished: set[tuple[str, str, int]] = set()
        for run in _search(self.client, [self.experiment_id], f"tags.`rewa.sweep` = '{sweep}'"):
            if run.data.tags.get("rewa.phase") in DERIVED_PHASES:
                continue
            if run.info.status == FINISHED:
                self._finished.add(_key(run))
            else:  # half-written when its driver died; it is written anew
                self.client.delete_run(run.info.run_id)

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
        """
        if record.key in self._finished:
            return False
        # Each call is a transaction of its own, which SQLite waits for the disk to finish: as few as can be.
        tables = {f"{name}.json": json.dumps(table) for name, table in tables_of(record).items()}
        listed = [{"path": path, "type": "table"} for path in tables]
        tags = {**tags_of(record), "mlflow.loggedArtifacts": json.dumps(listed)}
        name = record.trial if record.phase == "search" else f"{record.trial} seed {record.seed}"
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        _write_artifacts(self.client, run, {**tables, RECORD_ARTIFACT: record.model_dump_json()})
        _log_batch(self.client, run.info.run_id, metrics_of(record), params_of(record))
        self.client.set_terminated(run.info.run_id, FINISHED)
        self._finished.add(record.key)
        return True

    def log_summary(self, meta: dict[str, Any]) -> None:
        """Write or update the sweep's summary run and the experiment's comparison view."""
        run_id = _summary_run(self.client, self.experiment_id, self.sweep)
        self.client.log_dict(run_id, meta, META_ARTIFACT)
        self.client.set_terminated(run_id, FINISHED)
        _show_comparison(self.client, self.experiment_id, self.sweep)


def _log_batch(
    client: MlflowClient, run_id: str, points: Sequence[MetricPoint], params: Mapping[str, str] | None = None
) -> None:
    """Write parameters and metrics, in one call where MLflow allows: a thousand of both at most."""
    from mlflow.entities import Metric as LoggedMetric
    from mlflow.entities import Param

    now = int(time.time() * 1000)
    metrics = [LoggedMetric(name, value, now, step) for name, value, step in points]
    listed = [Param(key, value) for key, value in (params or {}).items()]
    first = BATCH - len(listed)
    client.log_batch(run_id, metrics=metrics[:first], params=listed)
    for start in range(first, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def _write_artifacts(client: MlflowClient, run: Run, texts: Mapping[str, str]) -> None:
    """Write text artifacts, straight to disk where they are local."""
    if folder := _local_artifacts(run):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
        return
    with _quiet_artifacts(), tempfile.TemporaryDirectory() as upload:
        for name, text in texts.items():
            (Path(upload) / name).write_text(text)
        client.log_artifacts(run.info.run_id, upload)


def _key(run: Run) -> tuple[str, str, int]:
    """Return what identifies a run within its sweep."""
    tags = run.data.tags
    return tags["rewa.trial"], tags["rewa.phase"], int(tags["rewa.seed"])


def _search(client: MlflowClient, experiments: list[str], query: str) -> Iterator[Run]:
    """Yield all runs that match, page by page."""
    token = None
    while True:
        with _collector_off():
            page = client.search_runs(experiments, query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _distinct(client: MlflowClient, experiment_id: str, query: str, tag: str) -> set[str]:
    """Return the values of a tag among the runs that match: a query for each, however many runs there are."""
    found: set[str] = set()
    while True:
        others = "".join(f" and tags.`{tag}` != '{value}'" for value in ["", *sorted(found)])
        page = client.search_runs([experiment_id], query + others, max_results=1)
        value = page[0].data.tags.get(tag) if page else None
        if value is None:
            return found
        found.add(value)


def _summary_run(client: MlflowClient, experiment_id: str, sweep: str) -> str:
    """Return the sweep's summary run, created if need be."""
    query = f"tags.`rewa.sweep` = '{sweep}' and tags.`rewa.phase` = 'summary'"
    for run in _search(client, [experiment_id], query):
        return str(run.info.run_id)
    tags = {"rewa.sweep": sweep, "rewa.phase": "summary"}
    run = client.create_run(experiment_id, tags=tags, run_name=f"{sweep} (summary)")
    return str(run.info.run_id)


# Reading ---------------------------------------------------------------------------------------------


def read_sweep(tracking_uri: str | None, sweep: str | None) -> SweepRecord:
    """Read all finished runs of a sweep.

    Args:
        tracking_uri: As for :func:`resolve_uri`.
        sweep: Name of the sweep; ``None`` takes the newest in the store.

    Raises:
        UserError: If the store or the sweep is missing, or holds no finished run.
    """
    uri, client = _open_existing(tracking_uri)
    name, experiment_id = _find_sweep(client, uri, sweep)
    meta = _read_meta(client, experiment_id, name)
    tables = build_tables(name, meta, _read_records(client, experiment_id, name))
    if tables.runs.empty:
        raise UserError(f"sweep {name!r} in {uri} has no finished run yet")
    return tables


def _read_records(client: MlflowClient, experiment_id: str, sweep: str) -> Iterator[tuple[str, Record]]:
    """Yield run id and record of every finished training: one query a thousand runs, one file a run."""
    for run in _search(client, [experiment_id], f"tags.`rewa.sweep` = '{sweep}'"):
        if run.data.tags.get("rewa.phase") in DERIVED_PHASES or run.info.status != FINISHED:
            continue
        if text := _read_artifact(client, run, RECORD_ARTIFACT):
            yield run.info.run_id, Record.model_validate_json(text)


def log_report(
    tracking_uri: str | None, sweep: str, files: list[Path], curves: Mapping[str, Sequence[CurvePoint]]
) -> None:
    """Keep a report with its sweep: files on the summary run, and one run per method for the UI.

    The methods' runs (``rewa.phase = frontier``) hold what the report's figure shows, so that the UI
    compares recommended settings; the mean of all confirmation runs would compare choices of settings.

    Args:
        tracking_uri: As for :func:`resolve_uri`.
        sweep: Name of the sweep.
        files: The report's files.
        curves: The recommended frontier of each method; replaces those logged before.

    Raises:
        UserError: If the store or the sweep is missing.
    """
    uri, client = _open_existing(tracking_uri)
    name, experiment_id = _find_sweep(client, uri, sweep)
    run_id = _summary_run(client, experiment_id, name)
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id, FINISHED)
    query = f"tags.`rewa.sweep` = '{name}' and tags.`rewa.phase` = '{mlflow_view.CURVES_PHASE}'"
    for old in _search(client, [experiment_id], query):
        client.delete_run(old.info.run_id)
    metric, ratios = _workload_facts(_read_meta(client, experiment_id, name))
    for method, points in curves.items():
        tags = curve_tags(name, method, mlflow_view.CURVES_PHASE, points, ratios)
        run_id = client.create_run(experiment_id, tags=tags, run_name=method).info.run_id
        _log_batch(client, run_id, curve_metrics(points, metric.name, ratios))
        client.set_terminated(run_id, FINISHED)
    _show_comparison(client, experiment_id, name)


def ui_address(tracking_uri: str | None, sweep: str | None) -> str:
    """Return the part of the UI's address, after the server's, that shows a sweep's comparison.

    Raises:
        UserError: If the store or the sweep is missing.
    """
    uri, client = _open_existing(tracking_uri)
    name, experiment_id = _find_sweep(client, uri, sweep)
    return _show_comparison(client, experiment_id, name)


def _show_comparison(client: MlflowClient, experiment_id: str, sweep: str) -> str:
    """Give the experiment its views of the methods' comparison and return the address of the first.

    Best effort, see ``mlflow_view``: a view that cannot be written is worth a warning only.
    """
    query = f"tags.`rewa.sweep` = '{sweep}'"
    found = _distinct(client, experiment_id, query, "rewa.method")
    methods = [m for m in METHODS if m in found] + sorted(found - set(METHODS))
    phases = _distinct(client, experiment_id, query, "rewa.phase")
    order = (mlflow_view.CURVES_PHASE, "confirm", "search", "train")
    phase = next((p for p in order if p in phases), "confirm")
    meta = _read_meta(client, experiment_id, sweep)
    metric, ratios = _workload_facts(meta)
    reference = meta.get("objective", {}).get("reference")
    try:
        return mlflow_view.install_view(
            client,
            experiment_id,
            sweep,
            methods,
            [int(ratio) for ratio in ratios],
            phase=phase,
            metric=metric.name,
            lower_is_better=metric.direction == "min",
            limits=None if reference is None else _limits(metric, reference),
        )
    except Exception as error:  # an undocumented format: never worth a sweep or a report
        log.warning("the comparison view could not be installed: %s", _brief(error))
        return mlflow_view.view_url(experiment_id)


def _read_meta(client: MlflowClient, experiment_id: str, sweep: str) -> dict[str, Any]:
    """Return the description on the sweep's summary run; empty without one."""
    query = f"tags.`rewa.sweep` = '{sweep}' and tags.`rewa.phase` = 'summary'"
    for run in _search(client, [experiment_id], query):
        found: dict[str, Any] = json.loads(_read_artifact(client, run, META_ARTIFACT) or "{}")
        return found
    return {}


def _workload_facts(meta: Mapping[str, Any]) -> tuple[Metric, Sequence[float]]:
    """Return a sweep's metric and the compressions it is asked about."""
    workload = meta.get("workload", {})
    return Metric.from_description(workload), workload.get("headline_ratios") or HEADLINE_RATIOS


def _limits(metric: Metric, reference: float) -> tuple[float, float]:
    """Return the ends of the frontier's axis: from the objective's reference a little past the ideal."""
    beyond = metric.ideal if metric.is_share else metric.ideal + 0.1 * (metric.ideal - reference)
    return min(reference, beyond), max(reference, beyond)


def _open_existing(tracking_uri: str | None) -> tuple[str, MlflowClient]:
    """Open a store that must be there already."""
    uri = resolve_uri(tracking_uri)
    if (path := sqlite_path(uri)) and not path.is_file():
        raise UserError(f"no MLflow store at {path}; run a sweep first, or name the store's URI")
    return uri, _client(uri)


def _find_sweep(client: MlflowClient, uri: str, sweep: str | None) -> tuple[str, str]:
    """Return a sweep's name and experiment."""
    experiments = client.search_experiments(order_by=["last_update_time DESC"])
    names = [e.name for e in experiments if e.name != "Default"]
    if not names:
        raise UserError(f"the MLflow store {uri} holds no sweep yet")
    if sweep is None:
        sweep = max(experiments, key=lambda e: _newest(client, e.experiment_id)).name
    if sweep not in names:
        raise UserError(f"no sweep {sweep!r} in {uri} (there are: {', '.join(sorted(names))})")
    return sweep, next(str(e.experiment_id) for e in experiments if e.name == sweep)


def _newest(client: MlflowClient, experiment_id: str) -> int:
    """Return when an experiment's last run started, in ms; 0 without runs of ours."""
    found = client.search_runs(
        [experiment_id], "tags.`rewa.sweep` != ''", order_by=["start_time DESC"], max_results=1
    )
    return max((int(run.info.start_time) for run in found), default=0)


def _read_artifact(client: MlflowClient, run: Run, name: str) -> str | None:
    """Return a text artifact, straight from disk where it is local; ``None`` if it is missing."""
    if folder := _local_artifacts(run):
        path = folder / name
        return path.read_text() if path.is_file() else None
    from mlflow.exceptions import MlflowException

    with _quiet_artifacts(), tempfile.TemporaryDirectory() as download:
        try:
            return Path(client.download_artifacts(run.info.run_id, name, download)).read_text()
        except (MlflowException, OSError):
            return None


def _local_artifacts(run: Run) -> Path | None:
    """Return the directory of a run's artifacts, if it is on this machine."""
    location = urlparse(run.info.artifact_uri)
    return Path(unquote(location.path)) if location.scheme in ("", "file") else None


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


@contextmanager
def _quiet_artifacts() -> Iterator[None]:
    """Switch MLflow's own progress bars off."""
    before = os.environ.get("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"]
        else:
            os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = before


def _brief(error: Exception) -> str:
    """Return the first line of an error's text."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
