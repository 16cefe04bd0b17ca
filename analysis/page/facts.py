"""Where the numbers come from: what compression counts, and the facts of the fairness box."""

from __future__ import annotations

from typing import Any

from analysis import text
from analysis.caveats import searched
from analysis.chosen import replaced_note
from analysis.tables import SweepRecord, all_methods, is_solver, section
from analysis.wording import Wording
from rewa.metric import Metric
from rewa.sweep_tables import DRAW_COLUMNS

DESCRIPTION = frozenset(
    (
        *("name", "model", "metric", "direction", "chance", "ideal", "headline_ratios"),
        *("epochs", "batch_size", "warmup", "eval_every", "precision"),
        *("train_size", "val_size", "test_size", "prunable_weights", "parameters"),
    )
)
"""Keys of a workload's description that every workload has; the others are settings of its own."""


def denominator(meta: dict[str, Any]) -> str:
    """Say what compression counts, with the numbers when they are known."""
    workload = section(meta, "workload")
    prunable, total = workload.get("prunable_weights"), workload.get("parameters")
    counts = ""
    if prunable and total:
        counts = f" Here: {text.number(prunable)} prunable weights of {text.number(total)} parameters."
    return (
        "Compression is prunable weights / prunable weights that are not zero; prunable are the "
        "weights of convolution and linear layers. \u201cTotal\u201d counts all parameters instead." + counts
    )


def fairness(record: SweepRecord, metric: Metric) -> list[tuple[str, str]]:
    """The facts of the fairness box; what the description of the sweep lacks is left out."""
    meta = record.meta
    workload, objective = section(meta, "workload"), section(meta, "objective")
    splits = [
        f"{text.number(size)} {label}"
        for label in ("train", "val", "test")
        if (size := workload.get(f"{label}_size"))
    ]
    counts = searched(record.runs)["method"].value_counts()
    per_method = meta.get("trials_per_method") or text.span([str(n) for n in sorted(counts)])
    goal = (
        f"{_area(metric, objective.get('reference', '?'))} over "
        f"log10(compression) up to {_plain(objective.get('max_compression', '?'))}x, criterion "
        f"{objective.get('criterion', '?')}{_axis(record, objective)}"
    )
    what = " ".join(str(workload[key]) for key in ("name", "model") if workload.get(key))
    confirm = _listed(meta.get("confirm_seeds"))
    if confirm and meta.get("confirm_settings"):
        confirm += f"; the best {meta['confirm_settings']} settings of each method"
    if note := replaced_note(record.runs, meta):
        confirm = f"{confirm}; {note}" if confirm else note
    versions = ", ".join(f"{k} {v}" for k, v in section(meta, "versions").items())
    wall = meta.get("wall_seconds")
    facts = {
        "Workload": what,
        "Workload settings": ", ".join(
            f"{key} {_plain(value)}"
            for key, value in workload.items()
            if key not in DESCRIPTION and isinstance(value, str | int | float)
        ),
        "Metric": _metric_text(metric),
        "Budget": _budget(record, workload),
        "Splits": ", ".join(splits),
        "Trials per method": str(per_method or ""),
        "Search seed": "" if meta.get("search_seed") is None else str(meta["search_seed"]),
        "Confirmation seeds": confirm,
        "Selection": f"on validation {metric.name} only; test is reported, never selected on",
        "Objective": goal if objective else "",
        "Started": str(meta.get("started") or ""),
        "Wall time": text.duration(float(wall)) if wall else "",
        "Hardware": str(meta.get("hardware") or ""),
        "Versions": versions,
        "Commit": str(meta.get("commit") or ""),
        "Command": str(meta.get("command") or ""),
    }
    return [(label, value) for label, value in facts.items() if value]


def tuned_rows(record: SweepRecord) -> list[dict[str, str]]:
    """What each method was given: the settings that were searched, trials and time.

    Returns:
        One row per method with ``method``, ``tuned`` (names as in the search space; what was drawn where the
        space is not on record), ``trials`` and ``seconds``, the sum over its trainings, diverged, failed and
        confirmation runs included.
    """
    space = section(section(record.meta, "space"), "methods")
    search = searched(record.runs)
    rows = []
    for method in all_methods(record):
        given = space.get(method)
        sampled = given.get("sample") if isinstance(given, dict) else None
        drawn = record.draws[record.draws["method"] == method].dropna(axis="columns", how="all")
        names = (
            list(sampled) if isinstance(sampled, dict) else [str(c) for c in drawn if c not in DRAW_COLUMNS]
        )
        own = record.runs[record.runs["method"] == method]
        rows.append(
            {
                "method": method,
                "tuned": f"{len(names)}: {', '.join(names)}" if len(names) else text.DASH,
                "trials": str(int((search["method"] == method).sum())),
                "seconds": text.duration(float(own["seconds"].astype(float).sum())),
            }
        )
    return rows


def _axis(record: SweepRecord, objective: dict[str, Any]) -> str:
    """Say whether the objective is after batch-norm recalibration; nothing where nobody asked."""
    if not objective.get("recalibrated"):
        return ""
    if record.frontier["recalibrated"].astype(bool).any():
        return ", after batch-norm recalibration"
    return ", without the recalibration asked for: the model has no batch norm"


def _area(metric: Metric, reference: object) -> str:
    """Name the area that the search maximises."""
    if metric.is_share:
        return f"area under validation {metric.name} above {reference}"
    shown = Wording(metric).reference(reference) if isinstance(reference, int | float) else reference
    return f"area between validation {metric.name} and {shown}"


def _metric_text(metric: Metric) -> str:
    """Explain a metric that does not explain itself."""
    if metric.is_share:
        return ""
    words = Wording(metric)
    return (
        f"{metric.name}, {words.comparative} is better; {words.no_skill}: {words.reference(metric.chance)}, "
        f"{words.limit}: {words.reference(metric.ideal)}"
    )


def _budget(record: SweepRecord, workload: dict[str, Any]) -> str:
    """Epochs and batches of a training, and who has none."""
    labels = (("epochs", "epochs"), ("batch_size", "examples per batch"))
    told = ", ".join(f"{workload[key]} {label}" for key, label in labels if workload.get(key))
    solvers = [method for method in all_methods(record) if is_solver(method)]
    if told and workload.get("precision", "fp32") != "fp32":
        told += f", {workload['precision']}"
    if told and solvers:
        told += f"; {text.join(solvers)} solve directly and have no epochs"
    return told


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values) if isinstance(values, list | tuple) else ""


def _plain(value: object) -> str:
    """Write 500.0 as 500."""
    return f"{value:g}" if isinstance(value, float) else str(value)
