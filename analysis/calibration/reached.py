"""How sparse each training made its model without losing anything, and what decided it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.caveats import searched
from analysis.commands import workload_name, workload_settings
from analysis.pareto import DIGITS
from analysis.summary import Summary
from analysis.tables import section
from analysis.text import config_of
from rewa.errors import UserError
from rewa.methods import Method, get_method
from rewa.metric import Metric
from rewa.workloads import Workload, get_workload

FITTED, AT_CHANCE, NO_POINTS = "fitted", "at chance", "not measured"


@dataclass(frozen=True)
class Knobs:
    """What decides how sparse a method makes a model.

    Attributes:
        penalty: The setting that does; None for a method that is not known.
        budget: Name of what it comes to over a training; None where that is not known.
    """

    penalty: str | None
    budget: str | None

    @property
    def default(self) -> str | None:
        """The budget where it is known: it has the learning rate and the number of steps in it."""
        return self.budget or self.penalty


def reached_table(summary: Summary, method: str, within: float) -> tuple[pd.DataFrame, Knobs]:
    """What every trial of a method's search reached, with its settings.

    Args:
        summary: The sweep; its recalibrated values where it is judged by those.
        method: One of its methods.
        within: Loss against its own unpruned model that a trial may have and still count as lossless: of a
            share in percentage points, of another metric in percent of the way from chance to ideal.

    Returns:
        One row per trial of the search (of hand-made runs, where nothing was searched; their seeds are rows
        of their own): trial, seed, ``state`` (one of ``fitted``, ``at chance``, ``diverged``, ``failed``,
        ``not measured``), ``unpruned`` (validation metric), ``reached`` (compression; NaN unless fitted),
        ``at_least`` (the largest target was still within), what was drawn, the config, and the budget. Then
        the names of the knobs.
    """
    runs = searched(summary.record.runs)
    own = runs[runs["method"] == method]
    points = summary.record.frontier
    points = points[
        (points["method"] == method)
        & (points["split"] == "val")
        & (points["criterion"] == "ratio")
        & (points["recalibrated"].astype(bool) == summary.recalibrated)
        & points["phase"].isin(own["phase"].unique())
    ]
    curves = dict(list(points.groupby(["trial", "seed"])))
    metric = summary.metric
    allowed = within / 100.0 * (1.0 if metric.is_share else metric.gain(metric.ideal, metric.chance))
    rows = []
    for run in own.to_dict("records"):
        identity = {"trial": run["trial"], "seed": run["seed"]}
        if run["status"] != "completed":
            rows.append({**identity, "state": run["status"]})
            continue
        curve = curves.get((run["trial"], run["seed"]))
        rows.append({**identity, **_reached(curve, metric, allowed)})
    known = own[["trial", "seed", *summary.record.config_columns]]
    columns = ["trial", "seed", "state", "unpruned", "reached", "at_least"]
    table = pd.DataFrame(rows, columns=columns).merge(known, on=["trial", "seed"], how="left")
    table = table.merge(_drawn(summary, method), on="trial", how="left")
    return _with_budget(table, summary, method)


def lossless_compression(
    ratios: np.ndarray[Any, np.dtype[np.float64]],
    values: np.ndarray[Any, np.dtype[np.float64]],
    metric: Metric,
    allowed: float,
) -> tuple[float, bool]:
    """The compression up to which a frontier stays within a loss of its own value at ratio 1.

    It is at the largest target that is within, or beyond it: where the straight line in (log compression,
    metric) from there to the next target crosses the bound.

    Args:
        ratios: Target ratios, rising, the first 1; shape (targets,).
        values: The metric there, of the same shape; NaN counts as the worst.
        metric: Which way is better.
        allowed: The loss, in the metric's unit.

    Returns:
        The compression to six digits; whether even the last target is within, so that it is a lower bound.
    """
    turned = np.where(np.isnan(values), metric.worst, values) * (1.0 if metric.direction == "max" else -1.0)
    bound = round(turned[0] - allowed, DIGITS)
    last = int(np.flatnonzero(turned.round(DIGITS) >= bound)[-1])
    if last == len(ratios) - 1:
        return float(ratios[-1]), True
    here, there = turned[last], turned[last + 1]
    share = (here - bound) / (here - there) if math.isfinite(there) else 0.0
    low, high = math.log(ratios[last]), math.log(ratios[last + 1])
    found = math.exp(low + float(np.clip(share, 0.0, 1.0)) * (high - low))
    return float(f"{found:.6g}"), False  # differences by rounding would have an order


def recorded_schedule_sum(meta: dict[str, Any]) -> float | None:
    """The sum of the learning-rate factors over a training of the sweep, from its description.

    The workload's own schedule is asked, told the recorded sizes of the splits instead of loading its data.

    Returns:
        The sum; None where the description lacks the sizes, or the workload's class is not to be found.
    """
    described = section(meta, "workload")
    sizes = {split: described.get(f"{split}_size") for split in ("train", "val", "test")}
    if not sizes["train"] or not described.get("epochs"):
        return None
    try:
        known = get_workload(workload_name(meta))
        given = {"epochs": described["epochs"], **workload_settings(meta)}
        given |= {key: described[key] for key in ("batch_size", "warmup") if key in described}
        sized: type[Workload] = type("Sized", (known,), {"split_sizes": property(lambda self: sizes)})
        workload = sized.__new__(sized)
        Workload.__init__(workload, known.Config.parse(given, ""), torch.device("cpu"))
        return workload.schedule_sum
    except UserError:
        return None


def _reached(curve: pd.DataFrame | None, metric: Metric, allowed: float) -> dict[str, Any]:
    """One trial's outcome, from its validation points."""
    if curve is None or not (curve["value"] == 1.0).any():
        return {"state": NO_POINTS}
    curve = curve.sort_values("value")
    ratios, values = (curve[name].to_numpy(dtype=float) for name in ("value", "metric"))
    unpruned = float(values[0])
    finite = values[np.isfinite(values)]
    margin = (Workload.collapse_margin or 0.0) if metric.is_share else 0.0
    if not math.isfinite(unpruned) or metric.gain(metric.best(finite.tolist()), metric.chance) <= margin:
        return {"state": AT_CHANCE, "unpruned": unpruned}
    reached, at_least = lossless_compression(ratios, values, metric, allowed)
    return {"state": FITTED, "unpruned": unpruned, "reached": reached, "at_least": at_least}


def _drawn(summary: Summary, method: str) -> pd.DataFrame:
    """What the search drew and the config does not hold under the same name, by trial."""
    draws = summary.record.draws
    own = draws[draws["method"] == method]
    known = {"method", "trial", *summary.record.config_columns}
    return own[["trial", *(name for name in own.columns if name not in known and own[name].notna().any())]]


def _with_budget(table: pd.DataFrame, summary: Summary, method: str) -> tuple[pd.DataFrame, Knobs]:
    """Add the budget of every trial, where the method and the schedule are known."""
    try:
        known: type[Method] = get_method(method)
    except UserError:
        return table, Knobs(None, None)
    penalty = known.penalty_setting if known.penalty_setting in table.columns else None
    total = recorded_schedule_sum(summary.record.meta)
    if total is None or not total > 0.0 or penalty is None:
        return table, Knobs(penalty, None)
    configs = [config_of(row, summary.record.config_columns) for row in table.to_dict("records")]
    try:
        budgets = [known.from_values(config).budget(total) for config in configs]
    except UserError:
        return table, Knobs(penalty, None)
    if not budgets or any(budget is None for budget in budgets):
        return table, Knobs(penalty, None)
    name = known.from_values(configs[0]).budget_name
    return table.assign(**{name: [float(budget or 0.0) for budget in budgets]}), Knobs(penalty, name)
