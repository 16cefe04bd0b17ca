"""Write the report of a sweep: ``python -m analysis.report --sweep digits``.

Four files come out: report.html (one self-contained page), frontier.csv (every operating point of
every run), pareto.csv (which setting for which question) and frontier.png. Sweeps of one search space
are merged into one report by ``--sweep FIRST --sweep SECOND``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from analysis import figures
from analysis.csv_bytes import csv_bytes
from analysis.merge import merge
from analysis.merged import merged_sweeps
from analysis.page import context
from analysis.parts import PARTS, Part
from analysis.questions import PARETO_COLUMNS
from analysis.recalibration import paired
from analysis.summary import Summary, summarise
from analysis.tables import SweepRecord, check_record, named_metric
from rewa import tracking
from rewa.errors import UserError
from rewa.run_payload import CurvePoint
from rewa.sweep_tables import FRONTIER_COLUMNS

TEMPLATE = "report.html.j2"


def write_report(record: SweepRecord, output: Path) -> list[Path]:
    """Write the report's files; each appears whole or not at all.

    Args:
        record: The sweep, as `rewa.tracking.read_sweep` returns it.
        output: Directory, made if it is missing.

    Returns:
        The paths of report.html, frontier.csv, pareto.csv and frontier.png.

    Raises:
        UserError: A table lacks a column, or the directory cannot be written.
    """
    check_record(record)
    return _write(summarise(record), output)


def render(summary: Summary, frontier_png: bytes, links: Mapping[str, str] | None = None) -> str:
    """Render the page.

    Args:
        summary: What `summarise` returned.
        frontier_png: The frontier figure for wide screens and paper.
        links: Addresses of the reports of merged sweeps, by name.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    runs = summary.record.runs
    images = {
        "frontier_wide": frontier_png,
        "frontier_narrow": figures.png(_frontier(summary, narrow=True)),
        "search_wide": figures.png(figures.search_figure(runs), dpi=130),
        "search_narrow": figures.png(figures.search_figure(runs, narrow=True)),
    }
    uris = {name: figures.data_uri(image) for name, image in images.items()}
    parts = [found for part in PARTS if (found := _rendered(part, summary))]
    return environment.get_template(TEMPLATE).render(**context(summary, links), images=uris, parts=parts)


def _rendered(part: Part, summary: Summary) -> dict[str, Any] | None:
    """A section's data and pictures, each for wide and narrow screens; None where it says nothing."""
    block = part.block(summary)
    if block is None:
        return None
    wide, narrow = (part.figures(summary, block, is_narrow) for is_narrow in (False, True))
    images = {
        name: {
            "wide": figures.data_uri(figures.png(figure, dpi=130)),
            "narrow": figures.data_uri(figures.png(narrow[name])),
        }
        for name, figure in wide.items()
    }
    return {"template": f"parts/{part.name}.html.j2", "block": block, "images": images}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__)
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow store (default: rewa's own)")
    parser.add_argument(
        "--sweep",
        metavar="NAME",
        action="append",
        default=[],
        help="sweep to report (default: the newest); several of one search space are merged",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="where to write (default: results/<sweep>)"
    )
    arguments = parser.parse_args(argv)
    try:
        names: list[str | None] = arguments.sweep or [None]
        read = [tracking.read_sweep(arguments.tracking_uri, name) for name in names]
        record = merge(read)
        output = arguments.output or Path("results") / _folder_name(record.name)
        check_record(record)
        summary = summarise(record)
        files = _write(summary, output)
        if len(read) == 1:  # a merged one belongs to no sweep
            tracking.log_report(arguments.tracking_uri, record.name, files, _curves(summary))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page, *others = files
    print("\n".join(summary.headline))
    print(f"report: {page}")
    print(f"beside it: {', '.join(path.name for path in others)}")
    for one in read:
        print(f"runs: rewa ui --sweep {one.name}")
    return 0


def _curves(summary: Summary) -> dict[str, list[CurvePoint]]:
    """The figure's lines, for the tracker, raw and recalibrated."""
    renewed = not summary.renewed.empty
    return {
        str(method): [
            CurvePoint(
                ratio=float(point["value"]),
                compression=float(point["compression"]),
                val_metric=float(point["val_metric_raw"]),
                test_metric=float(point["test_metric_mean_raw"]),
                trial=str(point["trial"]),
                val_recalibrated=float(point["val_metric_renewed"]) if renewed else None,
                test_recalibrated=float(point["test_metric_mean_renewed"]) if renewed else None,
            )
            for point in points.to_dict("records")
        ]
        for method, points in paired(summary).groupby("method", sort=False)
    }


def _write(summary: Summary, output: Path) -> list[Path]:
    record = summary.record
    _make(output)
    metric = summary.metric
    frontier = named_metric(record.frontier[[*FRONTIER_COLUMNS, *record.config_columns]], metric)
    pareto = named_metric(summary.answers[[*PARETO_COLUMNS, *record.config_columns]], metric)
    image = figures.png(_frontier(summary))
    contents = {
        "report.html": render(summary, image, _links(summary, output)).encode(),
        "frontier.csv": csv_bytes(frontier),
        "pareto.csv": pareto.to_csv(index=False).encode(),
        "frontier.png": image,
    }
    try:
        return [_replace(output / name, content) for name, content in contents.items()]
    except OSError as error:
        raise UserError(f"cannot write the report into {output}: {error.strerror}") from error


def _links(summary: Summary, output: Path) -> dict[str, str]:
    """Find the reports of merged sweeps in folders of their names beside the output directory."""
    names = [str(part["sweep"]) for part in merged_sweeps(summary.record.meta)]
    pages = {name: Path("..") / _folder_name(name) / "report.html" for name in names}
    return {name: page.as_posix() for name, page in pages.items() if (output / page).is_file()}


def _folder_name(sweep: str) -> str:
    return re.sub(r"[^\w.-]+", "_", sweep)


def _make(output: Path) -> None:
    """Make the directory before the work, so that a bad one is told at once."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the report into {output}: {error.strerror}") from error


def _frontier(summary: Summary, *, narrow: bool = False) -> Figure:
    metric = summary.metric
    how = ", batch norm recalibrated" if summary.recalibrated else ""
    title = f"{summary.record.name}: test {metric.name} against compression{how}"
    return figures.frontier_figure(summary.points, summary.dense, title, metric, narrow=narrow)


def _replace(path: Path, content: bytes) -> Path:
    """Write a file beside its place, then move it there in one step."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


if __name__ == "__main__":
    sys.exit(main())
