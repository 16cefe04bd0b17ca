"""Write the report of a sweep: ``python -m analysis.report --sweep digits``.

What comes out: report.html (one self-contained page), report.md (the short of it, for a pull request),
frontier.png, pareto.csv (which setting for which question), frontier.csv and frontier.parquet (every
operating point of every run) and runs.parquet. Sweeps of one search space are merged into one report by
``--sweep FIRST --sweep SECOND``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.merge import merge
from analysis.page.next_steps import next_steps
from analysis.page.writing import folder_name, write_files
from analysis.recalibration import paired
from analysis.summary import Summary, summarise
from analysis.tables import SweepRecord, check_record
from rewa import tracking
from rewa.errors import UserError
from rewa.run_payload import CurvePoint


def write_report(record: SweepRecord, output: Path) -> list[Path]:
    """Write the report's files; each appears whole or not at all.

    Args:
        record: The sweep, as `rewa.tracking.read_sweep` returns it.
        output: Directory, made if it is missing.

    Returns:
        The paths of report.html, report.md, frontier.png, pareto.csv, frontier.csv, frontier.parquet and
        runs.parquet.

    Raises:
        UserError: A table lacks a column, or the directory cannot be written.
    """
    check_record(record)
    return write_files(summarise(record), output)


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
        output = arguments.output or Path("results") / folder_name(record.name)
        check_record(record)
        summary = summarise(record)
        files = write_files(summary, output)
        if len(read) == 1:  # a merged one belongs to no sweep
            tracking.log_report(arguments.tracking_uri, record.name, files, _curves(summary))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page, *others = files
    print("\n".join(summary.headline))
    print(f"report: {page}")
    print(f"beside it: {', '.join(path.name for path in others)}")
    for what, command in next_steps(summary)[:-1]:  # the last one is told below
        print(f"{what}: {command}")
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


if __name__ == "__main__":
    sys.exit(main())
