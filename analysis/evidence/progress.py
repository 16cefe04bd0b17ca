"""Does the search still gain? The pooled validation hypervolume of a method's trials so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import moocore
import numpy as np
import pandas as pd

from analysis.caveats import searched
from analysis.hypervolume import area, box_corners, box_end, own_reference
from analysis.merged import merged_sweeps
from analysis.pareto import DIGITS
from analysis.summary import Summary
from analysis.tables import natural, section

KEY = ["method", "trial", "seed", "phase"]
PROGRESS_COLUMNS = (*("method", "number", "trial", "status", "seconds", "spent"), "hypervolume", "gain")
LAST = 0.25
"""Part of the trials that counts as the end of a search."""


def search_progress(summary: Summary) -> pd.DataFrame:
    """Follow every method's search, trial by trial.

    Args:
        summary: What `summarise` returned. Where nothing was searched, hand-made runs are followed.

    Returns:
        `PROGRESS_COLUMNS`, methods in display order, trials as they were numbered (of merged sweeps, one
        sweep after the other); ``number`` counts from 1. ``hypervolume`` is the area in [0, 1] that all
        validation points of the method's trials so far dominate, in the objective's criterion, above its
        reference and up to its maximal compression, after batch-norm recalibration if the objective says so;
        ``gain`` is what the trial added. ``seconds`` is what the trial cost in the unit of `time_unit`, and
        ``spent`` the sum so far. A diverged or failed trial costs and gains nothing; a time that is not known
        counts as none.
    """
    record, metric = summary.record, summary.metric
    runs = _in_order(searched(record.runs), record.meta)
    runs["seconds"] = runs["seconds"].astype(float).fillna(0.0) * _devices(record.meta)
    points = _points(summary)
    reference, cap = own_reference(record.meta, metric), box_end(record.meta, points)
    corners = {
        key: box_corners(own["compression"], own["metric"], reference, cap, metric)
        for key, own in points.groupby(KEY)
    }
    tables = [pd.DataFrame(columns=list(PROGRESS_COLUMNS))]
    for method in summary.methods:
        own = runs[runs["method"] == method].reset_index(drop=True)
        front, areas = np.empty((0, 2)), []
        for key in own[KEY].itertuples(index=False, name=None):
            new = corners.get(key)
            if new is not None and len(new):
                front = moocore.filter_dominated(np.vstack([front, new]), maximise=True)
            areas.append(area(front))
        own = own.assign(number=range(1, len(own) + 1), hypervolume=areas, spent=own["seconds"].cumsum())
        own["gain"] = own["hypervolume"].diff().fillna(own["hypervolume"])
        tables.append(own[list(PROGRESS_COLUMNS)])
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


def search_ends(progress: pd.DataFrame) -> pd.DataFrame:
    """What each method's search had come to in its last quarter.

    Args:
        progress: What `search_progress` returned.

    Returns:
        One row per method: ``trials``, ``hypervolume`` at the end, ``late`` (what the last quarter of the
        trials added, rounded up to whole trials), ``late_trials`` (how many these were), ``last`` (the number
        of the last trial that gained; 0 for none) with its name ``trial``, and ``spent``.
    """
    rows = []
    for method, own in progress.groupby("method", sort=False):
        late = math.ceil(LAST * len(own))
        gained = own[own["gain"].round(DIGITS) > 0.0]
        rows.append(
            {
                "method": method,
                "trials": len(own),
                "hypervolume": float(own["hypervolume"].iloc[-1]),
                "late": float(own["gain"].tail(late).sum()),
                "late_trials": late,
                "last": int(gained["number"].iloc[-1]) if len(gained) else 0,
                "trial": str(gained["trial"].iloc[-1]) if len(gained) else "",
                "spent": float(own["spent"].iloc[-1]),
            }
        )
    columns = ["method", "trials", "hypervolume", "late", "late_trials", "last", "trial", "spent"]
    return pd.DataFrame(rows, columns=columns)


def time_unit(meta: Mapping[str, Any]) -> str:
    """What the costs are counted in.

    A training's seconds times the devices it held (for one in a pack, its share of the pack's seconds):
    "GPU-seconds", or "CPU-core-seconds" without GPUs. Where the devices are not on record, of hand-made runs
    and of merged sweeps, which may have had different ones: "seconds of training".
    """
    resources = _resources(meta)
    if not resources:
        return "seconds of training"
    return "GPU-seconds" if float(resources.get("gpu") or 0.0) > 0.0 else "CPU-core-seconds"


def _resources(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {} if merged_sweeps(meta) else section(section(meta, "space"), "resources")


def _devices(meta: Mapping[str, Any]) -> float:
    """Devices that one trial holds: GPUs where it has any, else cores, of all its processes."""
    resources = _resources(meta)
    each = float(resources.get("gpu") or 0.0) or float(resources.get("cpu") or 1.0)
    return each * float(resources.get("workers") or 1.0)


def _in_order(runs: pd.DataFrame, meta: Mapping[str, Any]) -> pd.DataFrame:
    """Sort the runs by sweep, in the order they were merged in, and then as the trials were numbered."""
    places = {part["sweep"]: place for place, part in enumerate(merged_sweeps(meta))}
    keyed = runs.assign(_sweep=runs["sweep"].map(places).fillna(0), _trial=natural(runs["trial"].astype(str)))
    return keyed.sort_values(["_sweep", "_trial", "seed"], kind="stable").reset_index(drop=True)


def _points(summary: Summary) -> pd.DataFrame:
    """The validation points of all trials, as the objective takes them."""
    record = summary.record
    criterion = section(record.meta, "objective").get("criterion") or "ratio"
    frontier = record.frontier
    asked = (frontier["split"] == "val") & (frontier["criterion"] == criterion)
    return frontier[asked & (frontier["recalibrated"].astype(bool) == summary.recalibrated)]
