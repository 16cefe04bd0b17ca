"""The files of a report: what each holds, and how they are written."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis import figures
from analysis.merged import merged_sweeps
from analysis.page.csv_bytes import csv_bytes
from analysis.page.curves import curves
from analysis.page.frontier_figure import frontier_figure
from analysis.page.markdown import markdown
from analysis.page.rendering import render
from analysis.page.rows import numbered_front
from analysis.questions import PARETO_COLUMNS
from analysis.summary import Summary
from analysis.tables import named_metric
from rewa import atomic
from rewa.errors import UserError
from rewa.sweep_tables import FRONTIER_COLUMNS


def write_files(summary: Summary, output: Path) -> list[Path]:
    """Write a report's files; each appears whole or not at all.

    Args:
        summary: What `summarise` returned.
        output: Directory, made if it is missing.

    Returns:
        Their paths, report.html first.

    Raises:
        UserError: The directory cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)  # before the work, so that a bad one is told at once
        found = contents(summary, _neighbours(summary, output))
        for name, content in found.items():
            with atomic.replacing(output / name) as file:
                file.write(content)
    except OSError as error:
        raise UserError(f"cannot write the report into {output}: {error.strerror}") from error
    return [output / name for name in found]


def contents(summary: Summary, reports: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """What each file holds; the same summary gives the same bytes.

    Args:
        summary: What `summarise` returned.
        reports: Addresses of the reports of merged sweeps, by name.
    """
    record, metric = summary.record, summary.metric
    frontier = named_metric(record.frontier[[*FRONTIER_COLUMNS, *record.config_columns]], metric)
    drawn = curves(summary, numbered_front(summary))
    image = figures.png(frontier_figure(drawn))
    return {
        "report.html": render(summary, drawn, image, reports).encode(),
        "report.md": markdown(summary).encode(),
        "frontier.png": image,
        "pareto.csv": pareto(summary).to_csv(index=False).encode(),
        "frontier.csv": csv_bytes(frontier),
        "frontier.parquet": parquet_bytes(frontier),
        "runs.parquet": parquet_bytes(record.runs),
    }


def pareto(summary: Summary) -> pd.DataFrame:
    """The table of pareto.csv: which setting answers which question, per method.

    ``recalibrated`` says whether its values are after batch-norm recalibration.
    """
    answers = summary.answers.assign(recalibrated=summary.recalibrated)
    columns = [*PARETO_COLUMNS, "recalibrated", *summary.record.config_columns]
    return named_metric(answers[columns], summary.metric)


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as Parquet, its columns typed.

    A column that mixes texts with other values, such as a setting that is ``auto`` or a number, is written as
    texts: Parquet has one type per column.
    """
    mixed = {
        str(name): column.map(str, na_action="ignore").astype("str")
        for name, column in table.items()
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in PLAIN
    }
    texts = {
        str(name): column.astype("str")
        for name, column in table.items()
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty")
    }
    buffer = io.BytesIO()
    table.assign(**mixed, **texts).to_parquet(buffer, index=False)
    return buffer.getvalue()


PLAIN = ("string", "empty", "boolean", "integer", "floating", "mixed-integer-float")
"""What pandas calls the contents of a column of objects that have one type in Parquet."""


def folder_name(sweep: str) -> str:
    """The folder of a sweep's report: its name, with what a path cannot hold replaced."""
    return re.sub(r"[^\w.-]+", "_", sweep)


def _neighbours(summary: Summary, output: Path) -> dict[str, str]:
    """Find the reports of merged sweeps in folders of their names beside the output directory."""
    names = [str(part["sweep"]) for part in merged_sweeps(summary.record.meta)]
    pages = {name: Path("..") / folder_name(name) / "report.html" for name in names}
    return {name: page.as_posix() for name, page in pages.items() if (output / page).is_file()}
