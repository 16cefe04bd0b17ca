"""Descriptions of runs that lead from them to the report, and from a method's curve to its trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rewa.mlflow_view import NOTE_TAG, REPORT, artifact_path, run_path, view_url
from rewa.run_payload import CurvePoint
from rewa.tracking.store import FINISHED, search

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MARK = "Confirmation of setting "
"""How our own notes of confirmations begin; what a user wrote is left alone."""

Confirmations = Mapping[str, Sequence["Run"]]
"""The finished confirmations of a sweep by setting, in order of their seeds."""


def confirmations(client: MlflowClient, experiment_id: str, sweep: str) -> dict[str, list[Run]]:
    """Return a sweep's finished confirmations by setting: one query for a thousand."""
    query = f"tags.`rewa.sweep` = '{sweep}' and tags.`rewa.phase` = 'confirm'"
    found: dict[str, list[Run]] = {}
    runs = [run for run in search(client, [experiment_id], query) if run.info.status == FINISHED]
    for run in sorted(runs, key=lambda run: int(run.data.tags["rewa.seed"])):
        found.setdefault(run.data.tags["rewa.trial"], []).append(run)
    return found


def curve_note(
    experiment_id: str,
    report: str,
    method: str,
    points: Sequence[CurvePoint],
    confirmed: Confirmations,
) -> str:
    """Return the description of a method's curve: where it comes from, in links.

    Args:
        experiment_id: Of the sweep.
        report: The run that has the report.
        method: Name of the method.
        points: Of the curve.
        confirmed: Trainings of its settings.
    """
    ratios: dict[str, list[str]] = {}
    for point in points:
        ratios.setdefault(point.trial, []).append(f"{point.ratio:g}x")
    rows = []
    for trial, used in ratios.items():
        runs = [
            f"[seed {run.data.tags['rewa.seed']}](#{run_path(experiment_id, run.info.run_id)})"
            for run in confirmed.get(trial, ())
        ]
        rows.append(f"- `{trial}`, used at {_span(used)}: {', '.join(runs) or 'from the search'}")
    return (
        f"`{method}` as [the report](#{artifact_path(experiment_id, report, REPORT)}) has it: at each "
        "compression the setting that is best on validation, its mean over the confirmation seeds.\n\n"
        "The trainings behind it:\n\n" + "\n".join(rows)
    )


def link_confirmations(
    client: MlflowClient, experiment_id: str, report: str, confirmed: Confirmations
) -> int:
    """Describe confirmations with links to the report and the comparison, unless they say so already.

    Args:
        client: Of the store.
        experiment_id: Of the sweep.
        report: The run that has the report.
        confirmed: The runs; a request is made for each whose description has to change.

    Returns:
        How many were written.
    """
    written = 0
    for trial, runs in confirmed.items():
        for run in runs:
            note = (
                f"{MARK}`{trial}` on seed {run.data.tags['rewa.seed']}: see "
                f"[the report](#{artifact_path(experiment_id, report, REPORT)}) or "
                f"[compare the methods]({view_url(experiment_id).lstrip('/')})."
            )
            present = run.data.tags.get(NOTE_TAG, "")
            if note != present and (not present.strip() or present.startswith(MARK)):
                client.set_tag(run.info.run_id, NOTE_TAG, note)
                written += 1
    return written


def _span(ratios: Sequence[str]) -> str:
    """Write ratios as ``1x to 10x`` or ``1x and 50x``; those of a curve are many and mostly in a row."""
    return ratios[0] if len(ratios) == 1 else f"{ratios[0]} to {ratios[-1]}"
