"""``rewa best``: which setting of a sweep to use for a compression or a loss, and what it gives."""

from __future__ import annotations

import json
import math
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewa.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.decision import Decision
    from rewa.sweep_source import Source

SweepArgument = Annotated[
    str,
    typer.Argument(help="The --output directory of a sweep (MLflow is not needed), or its name in MLflow."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(help="MLflow store of a name; default MLFLOW_TRACKING_URI, else results/mlflow.db here."),
]


def best_command(
    sweep: SweepArgument,
    compression: Annotated[
        float | None,
        typer.Option(help="Best setting at this compression, of the prunable weights, such as 100."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Most compression for this loss on validation. Accuracies: percentage points below dense. "
            "Errors: in the metric's own unit, above the best value that any setting attains."
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help="Ask one method only; default all.")] = None,
    tracking_uri: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Say which setting to use and what it gives. Exit status 1 where nothing answers."""
    if (compression is None) == (max_drop is None):
        raise UserError("ask one thing: give either --compression, such as 100, or --max-drop, such as 1.0")
    from analysis.decision import decide
    from analysis.summary import summarise
    from rewa.sweep_source import read_source

    source = read_source(sweep, tracking_uri)
    decision = decide(summarise(source.record), compression=compression, max_drop=max_drop, method=method)
    if as_json:
        print(json.dumps(as_data(decision, source), allow_nan=False))
    else:
        show(decision, source, sweep, tracking_uri)
    raise typer.Exit(1 if decision.answers.empty else 0)


def as_data(decision: Decision, source: Source) -> dict[str, Any]:
    """The decision as plain data; a number that is missing is null, one that is not finite a text."""
    from analysis import decision_text
    from analysis.decision import unfinished

    dense, summary = decision.summary.dense, decision.summary
    rows = [answer_data(row, decision) for row in decision.answers.to_dict("records")]
    nearest = [answer_data(row, decision) for row in decision.nearest.to_dict("records")]
    return {
        "sweep": summary.record.name,
        "question": decision.question.name,
        "metric": summary.metric.describe(),
        "recalibrated": summary.recalibrated,
        "asked_compression": decision.asked,
        "answered": bool(rows),
        "sentences": decision_text.sentences(decision),
        "notes": [*source.notes, *decision_text.notes(decision)],
        "finished": not unfinished(summary.record),
        "dense": None
        if dense is None
        else {"method": dense.method, "val": plain(dense.val), "test": plain(dense.test)},
        "best": rows[0] if rows else None,
        "answers": rows,
        "unable": list(decision.unable),
        "nearest": nearest[0] if nearest else None,
    }


def answer_data(row: dict[Any, Any], decision: Decision) -> dict[str, Any]:
    """One setting as plain data."""
    from analysis import text
    from analysis.commands import train_line

    record = decision.summary.record
    return {
        "method": row["method"],
        "trial": row["trial"],
        "phase": row["phase"],
        "target": row["value"],
        "compression": plain(row["compression"]),
        "compression_total": plain(row["compression_total"]),
        "val": plain(row["val_metric"]),
        "test_mean": plain(row["test_metric_mean"]),
        "test_std": plain(row["test_metric_std"]),
        "test_values": [plain(value) for value in row["test_values"]],
        "seeds": int(row["seeds"]),
        "first_seed": int(row["first_seed"]),
        "config": text.config_of(row, record.config_columns),
        "command": train_line(record, row),
    }


def plain(value: float) -> float | str | None:
    """A number that JSON has, else null for a missing and a text for an infinite one."""
    if math.isfinite(value):
        return float(value)
    return None if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"


def show(decision: Decision, source: Source, sweep: str, tracking_uri: str | None) -> None:
    """Print the decision: sentences, every method's answer, the setting in full and its command."""
    from rich.console import Console

    from analysis import decision_text, text
    from analysis.commands import train_line
    from analysis.decision import unfinished

    console = Console(highlight=False, markup=False)
    first, *others = decision_text.sentences(decision)
    console.print(first, style="bold")
    for sentence in others:
        console.print(sentence)
    for note in [*source.notes, *decision_text.notes(decision)]:
        console.print(f"note: {note}")
    following = [source.resume] if source.resume and unfinished(source.record) else []
    if not decision.answers.empty:
        console.print()
        console.print(answer_table(decision), crop=False)
        row = decision.answers.iloc[0].to_dict()
        config = text.config_of(row, source.record.config_columns)
        setting = " ".join(f"{name}={text.config_value(value)}" for name, value in config.items())
        console.print()
        console.print(f"setting of {row['trial']}: {setting}")
        print(f"train it again: {train_line(source.record, row)}")  # in one line however long, to be copied
        store = ["--tracking-uri", tracking_uri] if tracking_uri else []
        ask = ["--method", str(row["method"]), "--compression", f"{row['value']:g}", *store]
        following.append(shlex.join(["rewa", "calibrate", sweep, *ask]))
    if source.running:
        print("a driver is running there; ask again later")
    elif following:
        print(f"next: {following[0]}")
    if source.report:
        print(f"report: {source.report}")


def answer_table(decision: Decision) -> Table:
    """Every method's answer; the one to take first."""
    from rich.table import Table

    from analysis import decision_text, text

    summary = decision.summary
    words, unit = summary.words, " %" if summary.metric.is_share else ""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for name in ("compr.", "total", f"test{unit}", "min to max", f"val{unit}"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("seeds", no_wrap=True)
    for row in decision.answers.to_dict("records"):
        table.add_row(
            str(row["trial"]),
            text.ratio(row["compression"]),
            text.ratio(row["compression_total"]),
            words.mean_std(row["test_metric_mean"], row["test_metric_std"]),
            decision_text.extremes(row, summary).removesuffix(" %"),
            words.mean_std(row["val_metric"], math.nan),
            f"{row['seeds']} {row['phase']}",
        )
    for method in decision.unable:
        table.add_row(method, *[text.DASH] * 5, "no answer")
    return table
