"""MLflow: one run per training, written once, and read back as tables. The only file that imports it."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from rewa import mlflow_view
from rewa.errors import UserError
from rewa.methods import REGISTRY as METHODS
from rewa.record import HEADLINE_RATIOS, Record
from rewa.store_uri import check_store, resolve_uri, sqlite_path

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

RECORD_ARTIFACT = "record.json"
FRONTIER_ARTIFACT = "frontier.json"
META_ARTIFACT = "sweep.json"
FRONTIER_COLUMNS = (
    *("sweep", "method", "trial", "seed", "phase", "split", "criterion", "value"),
    *("compression", "compression_total", "accuracy"),
)
RUN_COLUMNS = (
    *("sweep", "method", "trial", "seed", "phase", "status", "reason", "score", "seconds"),
    "run_id",
)
CONFIG_ORDER = ("lr", "momentum", "weight_decay", "K", "M", "epsilon", "l1", "init")
FINISHED = "FINISHED"
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
        tags = {
            "rewa.sweep": self.sweep,
            "rewa.workload": str(record.workload["name"]),
            "rewa.method": record.method,
            "rewa.trial": record.trial,
            "rewa.phase": record.phase,
            "rewa.seed": str(record.seed),
            "rewa.status": record.status,
            "rewa.reason": record.reason[:5000],
            "rewa.commit": record.commit,
            **mlflow_view.run_tags(record.method),
        }
        name = record.trial if record.phase == "search" else f"{record.trial} seed {record.seed}"
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        run_id = run.info.run_id
        metrics, params = _metrics(record), _params(record)
        for start in range(0, max(1, len(metrics)), 1000):
            self.client.log_batch(
                run_id,
                metrics=metrics[start : start + 1000],
                params=params if start == 0 else [],
            )
        self.client.log_dict(run_id, _table(record), FRONTIER_ARTIFACT)
        self.client.set_tag(
            run_id,
            "mlflow.loggedArtifacts",
            json.dumps([{"path": FRONTIER_ARTIFACT, "type": "table"}]),
        )
        self.client.log_text(run_id, record.model_dump_json(), RECORD_ARTIFACT)
        self.client.set_terminated(run_id, FINISHED)
        self._finished.add(record.key)
        return True

    def log_summary(self, meta: dict[str, Any]) -> None:
        """Write or update the sweep's summary run and the experiment's comparison view."""
        run_id = _summary_run(self.client, self.experiment_id, self.sweep)
        self.client.log_dict(run_id, meta, META_ARTIFACT)
        self.client.set_terminated(run_id, FINISHED)
        _show_comparison(self.client, self.experiment_id, self.sweep)


def _metrics(record: Record) -> list[Any]:
    """Return a record's metrics: per epoch, the frontier (validation, by ratio) and headline numbers."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)

    def metric(name: str, value: float, step: int = 0) -> Any:
        return Metric(name, value, now, step)

    found = []
    for epoch in record.history:
        found.append(metric("epoch/train_loss", epoch.train_loss, epoch.epoch))
        found.append(metric("epoch/val_accuracy", epoch.val_accuracy, epoch.epoch))
    curve = [
        p
        for p in record.frontier
        if p.split == "val" and p.criterion == "ratio" and math.isfinite(p.compression)
    ]
    for point in curve:  # the target ratio is the step: the UI has a logarithmic axis for steps only
        found.append(metric("frontier/compression", point.compression, int(point.value)))
        found.append(metric("frontier/accuracy", point.accuracy, int(point.value)))
    found += [metric(name, value) for name, value in record.metrics.items()]
    found.append(metric("seconds", record.seconds))
    if record.score is not None:
        found.append(metric("score", record.score))
    return found


def _params(record: Record) -> list[Any]:
    """Return a record's config and recipe as MLflow parameters."""
    from mlflow.entities import Param

    values: dict[str, Any] = {
        "method": record.method,
        "workload": record.workload["name"],
        "seed": record.seed,
        **{key: record.workload[key] for key in ("epochs", "batch_size") if key in record.workload},
        **record.config,
    }
    return [Param(name, str(value)) for name, value in values.items()]


def _table(record: Record) -> dict[str, Any]:
    """Return the frontier in the layout of MLflow's table artifacts; infinity becomes null."""
    columns = ["split", "criterion", "value", "compression", "compression_total", "accuracy"]
    rows = [[getattr(point, column) for column in columns] for point in record.frontier]
    finite = [[None if value == float("inf") else value for value in row] for row in rows]
    return {"columns": columns, "data": finite}


def _key(run: Run) -> tuple[str, str, int]:
    """Return what identifies a run within its sweep."""
    tags = run.data.tags
    return tags["rewa.trial"], tags["rewa.phase"], int(tags["rewa.seed"])


def _search(client: MlflowClient, experiments: list[str], query: str) -> Iterator[Run]:
    """Yield all runs that match, page by page."""
    token = None
    while True:
        page = client.search_runs(experiments, query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _summary_run(client: MlflowClient, experiment_id: str, sweep: str) -> str:
    """Return the sweep's summary run, created if need be."""
    query = f"tags.`rewa.sweep` = '{sweep}' and tags.`rewa.phase` = 'summary'"
    for run in _search(client, [experiment_id], query):
        return str(run.info.run_id)
    tags = {"rewa.sweep": sweep, "rewa.phase": "summary"}
    run = client.create_run(experiment_id, tags=tags, run_name=f"{sweep} (summary)")
    return str(run.info.run_id)


# Reading ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as tables, for analysis.

    Attributes:
        name: Name of the sweep.
        meta: What was run: space, budget, seeds, versions; empty for hand-made runs.
        runs: One row per run, columns ``RUN_COLUMNS`` and then the config columns.
        frontier: One row per operating point, columns ``FRONTIER_COLUMNS`` and then the config's.
        config_columns: Names of the config columns, in display order.
    """

    name: str
    meta: dict[str, Any]
    runs: pd.DataFrame
    frontier: pd.DataFrame
    config_columns: list[str]


def read_sweep(tracking_uri: str | None, sweep: str | None) -> SweepRecord:
    """Read all finished runs of a sweep.

    Args:
        tracking_uri: As for :func:`resolve_uri`.
        sweep: Name of the sweep; ``None`` takes the newest in the store.

    Raises:
        UserError: If the store or the sweep is missing, or holds no finished run.
    """
    import pandas as pd

    uri, client = _open_existing(tracking_uri)
    name, experiment_id = _find_sweep(client, uri, sweep)
    meta: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    configs: dict[str, None] = {}
    workload: dict[str, Any] = {}
    for run in _search(client, [experiment_id], f"tags.`rewa.sweep` = '{name}'"):
        if run.data.tags.get("rewa.phase") == "summary":
            text = _read_artifact(client, run, META_ARTIFACT)
            meta = json.loads(text) if text else {}
            continue
        if run.data.tags.get("rewa.phase") in DERIVED_PHASES:
            continue
        text = _read_artifact(client, run, RECORD_ARTIFACT) if run.info.status == FINISHED else None
        if text is None:
            continue
        record = Record.model_validate_json(text)
        configs |= dict.fromkeys(record.config)
        workload = record.workload
        identity = {key: getattr(record, key) for key in ("method", "trial", "seed", "phase")}
        identity["sweep"] = name
        outcome = {key: getattr(record, key) for key in ("status", "reason", "score", "seconds")}
        runs.append({**identity, **outcome, "run_id": run.info.run_id, **record.config})
        points += [{**identity, **vars(point), **record.config} for point in record.frontier]
    if not runs:
        raise UserError(f"sweep {name!r} in {uri} has no finished run yet")
    known = [column for column in CONFIG_ORDER if column in configs]
    columns = known + [column for column in configs if column not in known]
    meta.setdefault("workload", workload)
    table = pd.DataFrame(runs, columns=[*RUN_COLUMNS, *columns])
    frontier = pd.DataFrame(points, columns=[*FRONTIER_COLUMNS, *columns])
    order = ["phase", "method", "trial", "seed"]
    return SweepRecord(
        name,
        meta,
        table.sort_values(order, ignore_index=True),
        frontier.sort_values(order, kind="stable", ignore_index=True),
        columns,
    )


@dataclass(frozen=True)
class CurvePoint:
    """One point of a method's recommended frontier, means over the confirmation seeds.

    Attributes:
        ratio: Target compression.
        compression: Actual compression.
        val_accuracy: On validation, where the setting was chosen.
        test_accuracy: On test.
        trial: The setting.
    """

    ratio: float
    compression: float
    val_accuracy: float
    test_accuracy: float
    trial: str


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
    for method, points in curves.items():
        _log_curve(client, experiment_id, name, method, points)
    _show_comparison(client, experiment_id, name)


def _log_curve(
    client: MlflowClient, experiment_id: str, sweep: str, method: str, points: Sequence[CurvePoint]
) -> None:
    """Write one method's recommended frontier as a run of its own."""
    from mlflow.entities import Metric

    tags = {
        "rewa.sweep": sweep,
        "rewa.method": method,
        "rewa.phase": mlflow_view.CURVES_PHASE,
        **mlflow_view.run_tags(method),
    }
    run_id = client.create_run(experiment_id, tags=tags, run_name=method).info.run_id
    now = int(time.time() * 1000)
    metrics = []
    for point in points:
        values = {
            "frontier/compression": point.compression,
            "frontier/accuracy": point.val_accuracy,
            "frontier/test_accuracy": point.test_accuracy,
        }
        metrics += [
            Metric(key, value, now, int(point.ratio)) for key, value in values.items() if math.isfinite(value)
        ]
        if point.ratio in HEADLINE_RATIOS and math.isfinite(point.test_accuracy):
            metrics.append(Metric(f"test_accuracy/at_{point.ratio:g}x", point.test_accuracy, now, 0))
            client.set_tag(run_id, f"rewa.trial_at_{point.ratio:g}x", point.trial)
    client.log_batch(run_id, metrics=metrics)
    client.set_terminated(run_id, FINISHED)


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
    runs = list(_search(client, [experiment_id], f"tags.`rewa.sweep` = '{sweep}'"))
    found = {m for run in runs if (m := run.data.tags.get("rewa.method"))}
    methods = [m for m in METHODS if m in found] + sorted(found - set(METHODS))
    phases = {run.data.tags.get("rewa.phase") for run in runs}
    order = (mlflow_view.CURVES_PHASE, "confirm", "search", "train")
    phase = next((p for p in order if p in phases), "confirm")
    summary = next((r for r in runs if r.data.tags.get("rewa.phase") == "summary"), None)
    text = _read_artifact(client, summary, META_ARTIFACT) if summary else None
    floor = json.loads(text).get("objective", {}).get("reference") if text else None
    try:
        return mlflow_view.install_view(client, experiment_id, sweep, methods, phase=phase, floor=floor)
    except Exception as error:  # an undocumented format: never worth a sweep or a report
        log.warning("the comparison view could not be installed: %s", _brief(error))
        return mlflow_view.view_url(experiment_id)


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
    location = urlparse(run.info.artifact_uri)
    if location.scheme in ("", "file"):
        path = Path(unquote(location.path)) / name
        return path.read_text() if path.is_file() else None
    from mlflow.exceptions import MlflowException

    with _quiet_downloads(), tempfile.TemporaryDirectory() as folder:
        try:
            return Path(client.download_artifacts(run.info.run_id, name, folder)).read_text()
        except (MlflowException, OSError):
            return None


@contextmanager
def _quiet_downloads() -> Iterator[None]:
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


__all__ = [
    "FRONTIER_COLUMNS",
    "RUN_COLUMNS",
    "CurvePoint",
    "SweepRecord",
    "Tracker",
    "check_store",
    "log_report",
    "read_sweep",
    "resolve_uri",
    "ui_address",
]
