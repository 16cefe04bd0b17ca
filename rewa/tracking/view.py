"""What the UI shows of a sweep: its report, one run per method, and the view that compares them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewa import mlflow_view
from rewa.credentials import brief
from rewa.methods import REGISTRY as METHODS
from rewa.metric import Metric
from rewa.run_payload import CurvePoint, curve_metrics, curve_tags
from rewa.sparsity.frontier import HEADLINE_RATIOS
from rewa.sweep.coordinates import DECIDES
from rewa.tracking.batch import log_batch
from rewa.tracking.notes import confirmations, curve_note, link_confirmations
from rewa.tracking.reading import read_meta, read_summary
from rewa.tracking.store import FINISHED, distinct, find_sweep, open_existing, search, summary_run, told

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


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
    uri, client = open_existing(tracking_uri)
    with told(uri):
        name, experiment_id = find_sweep(client, uri, sweep)
        run_id = summary_run(client, experiment_id, name)
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id, FINISHED)
        report = run_id
        query = f"tags.`rewa.sweep` = '{name}' and tags.`rewa.phase` = '{mlflow_view.CURVES_PHASE}'"
        for old in list(search(client, [experiment_id], query)):
            client.delete_run(old.info.run_id)
        metric, ratios = _workload_facts(read_meta(client, experiment_id, name))
        confirmed = confirmations(client, experiment_id, name)
        for method, points in curves.items():
            tags = curve_tags(name, method, mlflow_view.CURVES_PHASE, points, ratios)
            tags[mlflow_view.NOTE_TAG] = curve_note(experiment_id, report, method, points, confirmed)
            run_id = client.create_run(experiment_id, tags=tags, run_name=method).info.run_id
            log_batch(client, run_id, curve_metrics(points, metric.name, ratios))
            client.set_terminated(run_id, FINISHED)
        chosen = {point.trial for points in curves.values() for point in points}
        link_confirmations(client, experiment_id, report, {k: v for k, v in confirmed.items() if k in chosen})
        show_comparison(client, experiment_id, name)


def ui_address(tracking_uri: str | None, sweep: str | None) -> str:
    """Return the part of the UI's address, after the server's, that shows a sweep's comparison.

    Raises:
        UserError: If the store or the sweep is missing.
    """
    uri, client = open_existing(tracking_uri)
    with told(uri):
        name, experiment_id = find_sweep(client, uri, sweep)
        return show_comparison(client, experiment_id, name)


def show_comparison(client: MlflowClient, experiment_id: str, sweep: str) -> str:
    """Give the experiment its views of the methods' comparison and return the address of the first.

    Best effort, see ``mlflow_view``: a view that cannot be written is worth a warning only.
    """
    query = f"tags.`rewa.sweep` = '{sweep}'"
    found = distinct(client, experiment_id, query, "rewa.method")
    phases = distinct(client, experiment_id, query, "rewa.phase")
    order = (mlflow_view.CURVES_PHASE, "confirm", "search", "train")
    summary, meta = read_summary(client, experiment_id, sweep)
    metric, ratios = _workload_facts(meta)
    reference = meta.get("objective", {}).get("reference")
    renewed = f"{query} and metrics.`frontier/{metric.name}_recalibrated` > -1e300"
    view = mlflow_view.SweepView(
        sweep=sweep,
        methods=[m for m in METHODS if m in found] + sorted(found - set(METHODS)),
        ratios=[int(ratio) for ratio in ratios],
        phase=next((p for p in order if p in phases), "confirm"),
        metric=metric.name,
        lower_is_better=metric.direction == "min",
        limits=None if reference is None else _limits(metric, reference),
        recalibrated=bool(client.search_runs([experiment_id], renewed, max_results=1)),
        tuned=_tuned(meta) if "search" in phases else {},
        report=_with_report(client, summary),
    )
    try:
        return mlflow_view.install_view(client, experiment_id, view)
    except Exception as error:  # an undocumented format: never worth a sweep or a report
        log.warning("the comparison view could not be installed: %s", brief(error))
        return mlflow_view.view_url(experiment_id)


def _with_report(client: MlflowClient, summary: str) -> str:
    """Return the summary run if the report is among its files, else nothing."""
    if not summary:
        return ""
    there = {item.path for item in client.list_artifacts(summary)}
    return summary if mlflow_view.REPORT in there else ""


def _tuned(meta: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the settings that the search varied, by method, as their runs' parameters are named."""
    methods = meta.get("space", {}).get("methods", {})
    return {
        method: [DECIDES.get(name, name) for name in space.get("sample", {})]
        for method, space in methods.items()
    }


def _workload_facts(meta: Mapping[str, Any]) -> tuple[Metric, Sequence[float]]:
    """Return a sweep's metric and the compressions it is asked about."""
    workload = meta.get("workload", {})
    return Metric.from_description(workload), workload.get("headline_ratios") or HEADLINE_RATIOS


def _limits(metric: Metric, reference: float) -> tuple[float, float]:
    """Return the ends of the frontier's axis: from the objective's reference a little past the ideal."""
    beyond = metric.ideal if metric.is_share else metric.ideal + 0.1 * (metric.ideal - reference)
    return min(reference, beyond), max(reference, beyond)
